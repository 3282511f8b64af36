// Owns the page of docs/tickets.md that sends a ticket along: watches the task to its end, then looks at it once more.
//   node ticket_page.mjs PORT GATEWAY TASK       serves the page on that port, as its origin has to be listed
import { createServer } from "node:http";

import { open } from "./browser.mjs";
import { documented } from "./readme.mjs";

const [port, gateway, task] = process.argv.slice(2);
const server = createServer((_, response) => {
  response.setHeader("Content-Type", "text/html");
  response.end('<!doctype html><title>A page</title><link rel="icon" href="data:,">');
});
await new Promise((resolve) => server.listen(Number(port), "127.0.0.1", resolve));

/** Runs in the page, below the lines of docs/tickets.md. */
async function visit(gateway, task, tell) {
  const closed = new Promise((resolve) => {
    const source = watch(gateway, task, (seen) => tell({ watched: seen.status }));
    source.onerror = () => source.readyState === EventSource.CLOSED && resolve();
  });
  await closed;
  tell({ looked: (await look(gateway, task)).status });
  tell({ refused: (await look(gateway, { ...task, poll_url: "/v1/tasks/another" })).error.code });
}

const { browser, page } = await open();
try {
  await page.exposeFunction("tell", (seen) => console.log(JSON.stringify(seen)));
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.addScriptTag({ content: documented("function watch(gateway") });
  await page.evaluate(`(${visit})(${JSON.stringify(gateway)}, ${task}, tell)`);
} finally {
  await browser.close();
  server.close();
}
