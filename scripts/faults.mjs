// Runs tests of `tests/faults` against the built worker, and lets them write RELIABILITY.md.
import { createRequire } from "node:module";
import { join } from "node:path";
import { buildWorker } from "./artifacts.mjs";
import { installPackages } from "./toolchain.mjs";
import { ROOT, show } from "./toolkit.mjs";

/** Runs the tests whose name begins so. */
export async function runFaults(name, env = {}) {
  await Promise.all([buildWorker(), installPackages()]);
  await show("cargo", ["test", "--locked", "--release", "--test", "faults", "--", name, "--nocapture"], {
    env: {
      WORKERD_BIN: process.env.WORKERD_BIN ?? createRequire(import.meta.url)("workerd").default,
      RELIABILITY_MD: join(ROOT, "RELIABILITY.md"),
      ...env,
    },
  });
}
