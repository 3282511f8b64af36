// Owns the client from npm: eventsource, as Node programs use it. Prints what it sees, one JSON a line.
import { EventSource } from "eventsource";

import { watch } from "./watch.mjs";

await watch(EventSource, process.argv[2], (seen) => console.log(JSON.stringify(seen)));
