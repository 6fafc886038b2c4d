// `npm run soak`: ten thousand uploads with faults, and their figures into RELIABILITY.md. SOAK_UPLOADS and SOAK_SEED choose others.
// Each key is a file that is synced to the disk of TMPDIR: TMPDIR=/dev/shm makes a quarter of an hour a matter of minutes.
import { runFaults } from "./faults.mjs";
import { main } from "./toolkit.mjs";

await main(() => runFaults("of_many_uploads", { SOAK_UPLOADS: process.env.SOAK_UPLOADS ?? "10000" }));
