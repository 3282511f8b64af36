// Owns the finding of code in the README: what stands there is what the tests run.
import { readFileSync } from "node:fs";

/** The one block of JavaScript that holds these words. */
export function readme(words) {
  const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code).filter((code) => code.includes(words));
  if (blocks.length !== 1) throw new Error(`${blocks.length} blocks of README.md hold "${words}"`);
  return blocks[0];
}
