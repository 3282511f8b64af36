// Owns the client of our own: taskgate.js, as Node programs use it. Prints what it sees, one JSON a line.
//   node taskgate_js.mjs one URL                   each state, what is told beside, and what the signal holds then
//   node taskgate_js.mjs many URL URL …            the items of all of them
//   node taskgate_js.mjs leave URL URL …           the first item of all of them, and leaves
//   node taskgate_js.mjs crowd URL URL …           each by itself, with its URL
//   node taskgate_js.mjs tickets URL SECRET TTL    with tickets that end after TTL seconds
//   node taskgate_js.mjs size                      its bytes, compressed
import { getEventListeners } from "node:events";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { watch, watchAll } from "../../clients/js/taskgate.js";
import { sign } from "./ticket.mjs";
import { follow } from "./watch.mjs";

const [mode, ...rest] = process.argv.slice(2);
const tell = (seen) => console.log(JSON.stringify(seen));
const on = (event) => tell(event);

if (mode === "size") {
  tell({ size: gzipSync(readFileSync(new URL("../../clients/js/taskgate.js", import.meta.url)), { level: 9 }).length });
} else if (mode === "many") {
  await follow(watchAll(rest, { on }), tell);
} else if (mode === "leave") {
  for await (const item of watchAll(rest, { on })) {
    tell({ task: item });
    break;
  }
  // What was aborted ends within a few turns of the event loop.
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
  tell({ over: true, timers: process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length });
} else if (mode === "crowd") {
  await Promise.all(rest.map((url) => follow(watch(url), tell, url)));
} else {
  const [url, secret, seconds] = rest;
  const ticket = () => {
    tell({ signed: true });
    return sign(secret, Number(seconds), url.split("/").pop());
  };
  const { signal } = new AbortController();
  await follow(watch(url, { on, signal, ticket: secret && ticket }), tell);
  tell({ listeners: getEventListeners(signal, "abort").length });
}
