// `npm run reliability`: makes every fault happen to the built worker, and writes what came of it into RELIABILITY.md.
import { runFaults } from "./faults.mjs";
import { main } from "./toolkit.mjs";

await main(() => runFaults("every_fault"));
