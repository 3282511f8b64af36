// Owns the client of our own: taskgate.js, as Node programs use it. Prints what it sees, one JSON a line.
//   node taskgate_js.mjs one URL                   each state, and what is told beside
//   node taskgate_js.mjs many URL URL …            the items of all of them
//   node taskgate_js.mjs crowd URL URL …           each by itself, with its URL
//   node taskgate_js.mjs tickets URL SECRET TTL    with tickets that end after TTL seconds
//   node taskgate_js.mjs size                      its bytes, compressed
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { TaskgateError, watch, watchAll } from "../../clients/js/taskgate.js";

const [mode, ...rest] = process.argv.slice(2);
const tell = (seen) => console.log(JSON.stringify(seen));
const on = (event) => tell(event);

async function follow(states, name) {
  try {
    for await (const task of states) tell(name ? { task, of: name } : { task });
    tell(name ? { over: name } : { over: true });
  } catch (error) {
    tell({ error: error instanceof TaskgateError ? error.code : String(error) });
  }
}

/** A function that signs tickets as a back end does, and says so. */
function signer(secret, seconds, id) {
  const part = (content) => Buffer.from(JSON.stringify(content)).toString("base64url");
  return () => {
    tell({ signed: true });
    const claims = { tasks: [id], exp: Math.floor(Date.now() / 1000) + seconds };
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  };
}

if (mode === "size") {
  tell({ size: gzipSync(readFileSync(new URL("../../clients/js/taskgate.js", import.meta.url)), { level: 9 }).length });
} else if (mode === "many") {
  await follow(watchAll(rest, { on }));
} else if (mode === "crowd") {
  await Promise.all(rest.map((url) => follow(watch(url), url)));
} else {
  const [url, secret, seconds] = rest;
  const ticket = secret && signer(secret, Number(seconds), url.split("/").pop());
  await follow(watch(url, { on, ticket }));
}
