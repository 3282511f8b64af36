// Owns the back end of docs/tickets.md in JavaScript: runs its very lines, and prints what the page would get.
import { mkdtempSync, writeFileSync } from "node:fs";
import { documented } from "./readme.mjs";

// Inside node_modules, where its import finds the library, and git does not look.
const directory = mkdtempSync(new URL("node_modules/documented-", import.meta.url).pathname);
writeFileSync(`${directory}/backend.mjs`, documented("function createVideo"));
const { createVideo } = await import(`${directory}/backend.mjs`);
console.log(JSON.stringify(await createVideo(...process.argv.slice(2))));
