// `npm run fuzz`: the fuzz targets one after another, for long. `-- --target NAME --runs N` for one of them, or for less.
import { parseArgs } from "node:util";
import { buildTargets, fuzz, hasCxx, TARGETS } from "./fuzzing.mjs";
import { Failure, main } from "./toolkit.mjs";

const DEFAULT_RUNS = 10_000_000;

await main(async () => {
  const { targets, runs } = options();
  if (!(await hasCxx())) {
    throw new Failure("A C++ compiler is missing: libFuzzer is compiled by it. On Debian and Ubuntu: sudo apt-get install g++");
  }
  const binaries = await buildTargets();
  for (const target of targets) await fuzz(binaries, target, { runs });
});

function options() {
  let values;
  try {
    ({ values } = parseArgs({ options: { target: { type: "string" }, runs: { type: "string" } } }));
  } catch (error) {
    throw new Failure(error.message);
  }
  const { target, runs = `${DEFAULT_RUNS}` } = values;
  if (target !== undefined && !Object.hasOwn(TARGETS, target)) {
    throw new Failure(`There is no target "${target}". There are: ${Object.keys(TARGETS).join(", ")}.`);
  }
  if (!/^[1-9]\d{0,11}$/.test(runs)) throw new Failure(`--runs has to be a number of executions, not "${runs}".`);
  return { targets: target === undefined ? Object.keys(TARGETS) : [target], runs: Number(runs) };
}
