// Owns a page in a browser without a driver: the page reports by itself what it sees, and each report is a line here.
//   node browser_page.mjs MODE URL…          a mode of in_page.mjs
//   SECRET=… TTL=… node browser_page.mjs …   signs the tickets that the page asks for
// CHROMIUM or FIREFOX names the program.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";

import { flags } from "./browser.mjs";
import { sign } from "./ticket.mjs";

const [mode, ...urls] = process.argv.slice(2);
const { CHROMIUM, FIREFOX, SECRET, TTL } = process.env;
const PAGE = `<!doctype html><title>A page</title><link rel="icon" href="data:,">
<script src="/polyfill.js"></script><script type="module" src="/in_page.mjs"></script>`;

const file = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
const answers = {
  "/": ["text/html", () => PAGE],
  "/front": ["text/html", () => "<!doctype html><title>In front</title>"],
  "/in_page.mjs": ["text/javascript", () => file("in_page.mjs")],
  "/watch.mjs": ["text/javascript", () => file("watch.mjs")],
  "/polyfill.js": ["text/javascript", () => file("node_modules/event-source-polyfill/src/eventsource.js")],
  "/task": ["application/json", () => JSON.stringify({ mode, urls })],
  "/ticket": ["text/plain", () => sign(SECRET, Number(TTL), urls[0].split("/").pop())],
};

const server = createServer(async (request, response) => {
  if (request.url === "/tell") {
    let text = "";
    for await (const part of request.setEncoding("utf8")) text += part;
    console.log(text);
    return response.end();
  }
  const [type, body] = answers[request.url] ?? ["text/plain", () => ""];
  response.setHeader("Content-Type", type);
  response.end(body());
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/`;

const profile = mkdtempSync(`${tmpdir()}/profile-`);
// Whatever else Firefox would fetch goes to a proxy that is not there. This machine is reached without it.
const preferences = {
  "network.proxy.type": 1,
  "network.proxy.http": "127.0.0.1",
  "network.proxy.http_port": 9,
  "network.proxy.ssl": "127.0.0.1",
  "network.proxy.ssl_port": 9,
  "app.normandy.enabled": false,
  "app.update.enabled": false,
  "browser.aboutwelcome.enabled": false,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.homepage_override.mstone": "ignore",
  "datareporting.policy.dataSubmissionEnabled": false,
  "dom.disable_open_during_load": false,
  "extensions.update.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "toolkit.telemetry.enabled": false,
};
const lines = Object.entries(preferences).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
writeFileSync(`${profile}/user.js`, lines.join(""));

const command = FIREFOX
  ? [FIREFOX, "--headless", "--no-remote", "--profile", profile, url]
  : [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-popup-blocking", ...flags, `--user-data-dir=${profile}`, url];
// The browser ends with this program, however that ends.
const browser = spawn("setpriv", ["--pdeathsig", "KILL", ...command], {
  env: { ...process.env, HOME: profile, XDG_CACHE_HOME: profile, XDG_CONFIG_HOME: profile },
  stdio: ["ignore", "ignore", "inherit"],
});
browser.on("exit", (code) => process.exit(code ?? 1));
// Whoever started this has seen enough when it closes standard input.
await new Promise((resolve) => process.stdin.on("close", resolve).resume());
browser.removeAllListeners("exit").once("exit", () => process.exit(0)).kill("SIGKILL");
