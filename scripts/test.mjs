// `npm test`: from nothing to all tests passed. It stops at the first step that fails.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildBackendMock, buildWorker, BUNDLE } from "./artifacts.mjs";
import { buildTargets, fuzz, hasCxx, TARGETS } from "./fuzzing.mjs";
import { checkRustComponents, installPackages, installTools, TOOLS_BIN, WASM_TARGET } from "./toolchain.mjs";
import { Failure, main, ROOT, show } from "./toolkit.mjs";

// Cloudflare takes 3 MB compressed on the free plan. These limits are far lower, since an isolate starts faster with less.
const MAX_WASM_BYTES = 1_000_000;
const MAX_BUNDLE_GZIP_BYTES = 400_000;

// A few seconds a target. Executions are counted and chance is fixed, so that a slower machine tests the same.
const FUZZ = { runs: 100_000, seed: 1 };

const cargo = (args, env) => show("cargo", args.split(" "), { env });

await main(async () => {
  heading("Set-up");
  await checkRustComponents();
  await Promise.all([installPackages(), installTools()]);

  heading("Formatting");
  await cargo("fmt --all --check");

  heading("Lints");
  await show("node", ["scripts/structure.mjs"]);
  await cargo("clippy --locked --workspace --all-targets -- -D warnings");
  await cargo("clippy --locked --test e2e --test faults -- -D warnings");
  await cargo(`clippy --locked --lib --tests --target ${WASM_TARGET} -- -D warnings`);

  heading("Tests of the core and of backend-mock");
  await cargo("test --locked --workspace");

  heading("Fuzzing, for a moment");
  await fuzzAll();

  heading("Tests of the edge, as WebAssembly");
  await cargo(`test --locked --lib --target ${WASM_TARGET}`, {
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: join(TOOLS_BIN, "wasm-bindgen-test-runner"),
  });

  heading("Build");
  await Promise.all([buildWorker(), buildBackendMock()]);
  await checkBundleSize();

  heading("End-to-end tests, in workerd");
  // Optimised, since the tests hash every byte that they send.
  await cargo("test --locked --release --test e2e --test faults", {
    WORKERD_BIN: process.env.WORKERD_BIN ?? createRequire(import.meta.url)("workerd").default,
  });
});

function heading(text) {
  console.log(`\n== ${text}`);
}

async function fuzzAll() {
  if (!(await hasCxx())) {
    console.log("There is no C++ compiler, and libFuzzer needs one: the targets have run over their seeds alone, with the tests.");
    return;
  }
  const binaries = await buildTargets();
  for (const target of Object.keys(TARGETS)) await fuzz(binaries, target, FUZZ);
}

async function checkBundleSize() {
  const files = await Promise.all(BUNDLE.map((file) => readFile(join(ROOT, file))));
  const wasm = files[BUNDLE.findIndex((file) => file.endsWith(".wasm"))].length;
  const gzip = gzipSync(Buffer.concat(files)).length;
  console.log(`bundle: wasm ${wasm} of ${MAX_WASM_BYTES} bytes, all of it in gzip ${gzip} of ${MAX_BUNDLE_GZIP_BYTES} bytes`);
  if (wasm > MAX_WASM_BYTES || gzip > MAX_BUNDLE_GZIP_BYTES) throw new Failure("The bundle is too large.");
}
