// Owns the client that is a browser: its own EventSource, on a page of another origin, as with a dev server.
import { createServer } from "node:http";

import { open } from "./browser.mjs";
import { watch } from "./watch.mjs";

const server = createServer((_, response) => {
  response.setHeader("Content-Type", "text/html");
  response.end('<!doctype html><title>A page</title><link rel="icon" href="data:,">');
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const { browser, page } = await open();
try {
  await page.exposeFunction("tell", (seen) => console.log(JSON.stringify(seen)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.evaluate(`(${watch})(EventSource, ${JSON.stringify(process.argv[2])}, tell)`);
} finally {
  await browser.close();
  server.close();
}
