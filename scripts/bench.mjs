// `npm run bench`: builds the worker and measures it, with the options that follow `--`.
import { createRequire } from "node:module";
import { buildWorker } from "./artifacts.mjs";
import { installPackages } from "./toolchain.mjs";
import { main, show } from "./toolkit.mjs";

await main(async () => {
  await Promise.all([buildWorker(), installPackages()]);
  await show("cargo", ["run", "--locked", "--release", "--package", "bench", "--", ...process.argv.slice(2)], {
    env: { WORKERD_BIN: process.env.WORKERD_BIN ?? createRequire(import.meta.url)("workerd").default },
  });
});
