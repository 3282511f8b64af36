// Owns the reader of an example in examples/frameworks: builds it with Vite, serves what was built, opens it in a browser,
// and prints what the app shows, one JSON a line, whenever that changes. When its standard input closes it presses the
// app's button, says so, and stays.
//   node frameworks.mjs react|vue|svelte URL
//   node frameworks.mjs react|vue|svelte URL PICTURE.png SECONDS SCHEME WIDTH     takes its picture instead
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { extname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { open } from "./browser.mjs";

const [name, url, picture, seconds, colorScheme, width] = process.argv.slice(2);
const examples = new URL("../../examples/frameworks/", import.meta.url);
const require = createRequire(new URL("package.json", examples));
const { build } = await import(pathToFileURL(require.resolve("vite")));

const outDir = `${tmpdir()}/built-${name}-${process.pid}`;
await build({
  root: fileURLToPath(new URL(name, examples)),
  configFile: fileURLToPath(new URL("vite.config.js", examples)),
  logLevel: "error",
  build: { outDir },
});
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  response.setHeader("Content-Type", types[extname(pathname)] ?? "text/html");
  response.end(readFileSync(`${outDir}${pathname === "/" ? "/index.html" : pathname}`));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const site = `http://127.0.0.1:${server.address().port}/`;

/** Runs in the page. */
function observe(tell) {
  const app = document.getElementById("app");
  let told;
  const look = () => {
    const text = (selector) => app.querySelector(selector)?.textContent;
    const status = text(".status");
    const bar = app.querySelector("progress")?.position;
    const json = JSON.stringify({ status, bar, trouble: text("[role=alert]"), button: text("button") });
    if (json !== told) tell(json);
    told = json;
  };
  new MutationObserver(look).observe(app, { subtree: true, childList: true, attributes: true, characterData: true });
  look();
}

const viewport = { width: Number(width ?? 900), height: 600 };
const { browser, page } = await open({ viewport, colorScheme: colorScheme ?? "light" });
page.on("pageerror", (error) => console.log(JSON.stringify({ broken: String(error) })));
await page.exposeFunction("tell", (json) => console.log(json));
await page.goto(`${site}?${new URLSearchParams({ url })}`);
if (picture) {
  await page.waitForTimeout(seconds * 1000);
  await page.screenshot({ path: picture, fullPage: true });
  await browser.close();
  process.exit();
}
await page.evaluate(`(${observe})(tell)`);
await new Promise((resolve) => process.stdin.on("close", resolve).resume());
await page.locator("#app button").click();
console.log(JSON.stringify({ pressed: true }));
