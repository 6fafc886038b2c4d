// The two things that are built: the worker's bundle in `build`, and `target/release/backend-mock`.
import { createHash } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkRust, installPackages, installTools, TOOLS_BIN } from "./toolchain.mjs";
import { probe, ROOT, run, step } from "./toolkit.mjs";

export const BUNDLE = ["build/index.js", "build/index_bg.wasm"];

// A cargo profile of the root Cargo.toml.
const WORKER_PROFILE = "wasm";
const WORKER_INPUTS = [".cargo", "Cargo.lock", "Cargo.toml", "package-lock.json", "scripts/artifacts.mjs", "src"];
const WORKER_STAMP = join(ROOT, ".tools", "worker.stamp");

/** Builds the worker, unless `build` holds what these inputs give. */
export async function buildWorker() {
  const inputs = await fingerprint(WORKER_INPUTS);
  if ((await readFile(WORKER_STAMP, "utf8").catch(() => null)) === `${inputs} ${await fingerprint(BUNDLE)}`) return;

  await Promise.all([checkRust(), installPackages(), installTools()]);
  const env = {
    // What is named here, worker-build does not download.
    WASM_BINDGEN_BIN: join(TOOLS_BIN, "wasm-bindgen"),
    WASM_OPT_BIN: join(ROOT, "node_modules", "binaryen", "bin", "wasm-opt"),
    ESBUILD_BIN: join(ROOT, "node_modules", "esbuild", "bin", "esbuild"),
    // It would take the place of the flags in .cargo/config.toml, and the worker would lose its SIMD.
    RUSTFLAGS: undefined,
  };
  await step("worker", (report) => run(join(TOOLS_BIN, "worker-build"), ["--profile", WORKER_PROFILE], { env, report }));
  await writeFile(WORKER_STAMP, `${inputs} ${await fingerprint(BUNDLE)}`);
}

/** Builds backend-mock; cargo itself knows what there is to do. */
export async function buildBackendMock() {
  await checkRust();
  await step("backend-mock", (report) => run("cargo", ["build", "--release", "--package", "backend-mock"], { report }));
}

/** A hash over the compiler's version and the contents of files and folders; a missing one counts as empty. */
async function fingerprint(paths) {
  const hash = createHash("sha256").update(`${await probe("rustc", ["--version"])}\n`);
  for (const path of paths) {
    for (const file of await filesOf(path)) {
      const content = await readFile(join(ROOT, file));
      hash.update(`${file} ${content.length}\n`).update(content);
    }
  }
  return hash.digest("hex");
}

async function filesOf(path) {
  const stats = await stat(join(ROOT, path)).catch(() => null);
  if (!stats?.isDirectory()) return stats ? [path] : [];
  const names = (await readdir(join(ROOT, path))).sort();
  return (await Promise.all(names.map((name) => filesOf(join(path, name))))).flat();
}
