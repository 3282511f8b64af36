// Owns what a page does for a test. It reports by POST, in order, to the server that it came from.
import { follow, watch as watchStream } from "./watch.mjs";

const { mode, urls } = await (await fetch("/task")).json();

let told = Promise.resolve();
const tell = (seen) => {
  told = told.then(() => fetch("/tell", { method: "POST", body: JSON.stringify(seen) }));
};
addEventListener("error", ({ message }) => tell({ broken: message }));
addEventListener("unhandledrejection", ({ reason }) => tell({ broken: String(reason) }));

/** As pages get it: from the gateway, which is another origin. */
const taskgate = () => import(new URL("/taskgate.js", urls[0]));

/** A tab in front of this one, and the proof that the browser holds back the timers of this one. */
async function moveToBackground() {
  open("/front");
  while (document.visibilityState !== "hidden") await new Promise((resolve) => setTimeout(resolve, 10));
  for (let late = 0; late < 500; ) {
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 10));
    late = performance.now() - start;
  }
  tell({ throttled: true });
}

const modes = {
  eventsource: () => watchStream(EventSource, urls[0], tell),
  polyfill: () => watchStream(window.EventSourcePolyfill, urls[0], tell),
  one: async () => follow((await taskgate()).watch(urls[0], { on: tell }), tell),
  many: async () => follow((await taskgate()).watchAll(urls, { on: tell }), tell),
  async background() {
    await moveToBackground();
    await modes.one();
  },
  async tickets() {
    const ticket = async () => {
      tell({ signed: true });
      return (await fetch("/ticket")).text();
    };
    await follow((await taskgate()).watch(urls[0], { on: tell, ticket }), tell);
  },
};
await modes[mode]();
