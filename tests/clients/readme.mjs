// Owns the search for code in docs/tickets.md: the tests run exactly the code that the page shows.
import { readFileSync } from "node:fs";

/** The one block of JavaScript that holds these words. */
export function documented(words) {
  const text = readFileSync(new URL("../../docs/tickets.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code).filter((code) => code.includes(words));
  if (blocks.length !== 1) throw new Error(`${blocks.length} blocks of docs/tickets.md hold "${words}"`);
  return blocks[0];
}
