// Owns the back end of the README in JavaScript: runs its very lines, and prints what the page would get.
import { mkdtempSync, writeFileSync } from "node:fs";
import { readme } from "./readme.mjs";

// Inside node_modules, where its import finds the library, and git does not look.
const directory = mkdtempSync(new URL("node_modules/readme-", import.meta.url).pathname);
writeFileSync(`${directory}/backend.mjs`, readme("function createVideo"));
const { createVideo } = await import(`${directory}/backend.mjs`);
console.log(JSON.stringify(await createVideo(...process.argv.slice(2))));
