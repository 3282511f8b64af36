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

function brightColumns(video) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 96 }).getContext("2d");
  canvas.drawImage(video, 0, 0);
  const columns = Array.from({ length: 10 }, (_, column) => canvas.getImageData(column * 16 + 8, 48, 1, 1).data);
  return columns.filter(([red, green, blue]) => red + green + blue > 380).length;
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
  /** Plays a film of the sandbox, in which one column more is bright in each second, and seeks in it. */
  async film() {
    const video = Object.assign(document.createElement("video"), { muted: true, crossOrigin: "anonymous" });
    const once = (name) => new Promise((resolve, reject) => {
      video.addEventListener(name, resolve, { once: true });
      video.onerror = () => reject(video.error.message);
    });
    const loaded = once("loadeddata");
    video.src = urls[0];
    document.body.append(video);
    await loaded;
    tell({ film: [video.duration, video.videoWidth, video.videoHeight] });
    for (const time of [7.5, 2.5]) {
      const seeked = once("seeked");
      video.currentTime = time;
      await seeked;
      for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
      tell({ at: time, bright: brightColumns(video) });
    }
    await video.play();
    while (video.currentTime < 3.2) await once("timeupdate");
    tell({ played: true });
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
