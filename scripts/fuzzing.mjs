// The fuzz targets under libFuzzer: how they are built and run. cargo-fuzz and a nightly Rust are not needed for that, as
// the compiler's part of it, counting which branches were taken, is in a stable Rust too.
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { checkRust } from "./toolchain.mjs";
import { Failure, probe, ROOT, run, step } from "./toolkit.mjs";

/** The targets, each with its dictionary. */
export const TARGETS = {
  multipart: "multipart",
  upload: "multipart",
  request_head: "multipart",
  file_name: "multipart",
  telegram_answer: "json",
  credentials_answer: "json",
  jwt_expiry: "json",
};

// What cargo-fuzz would pass without a sanitizer: memory is safe here, and what is looked for are panics and wrong answers.
const COVERAGE = [
  "-Cpasses=sancov-module",
  "-Cllvm-args=-sanitizer-coverage-level=4",
  "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
  "-Cllvm-args=-sanitizer-coverage-pc-table",
  "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
// Of the root Cargo.toml.
const PROFILE = "fuzz";
const FOLDER = join("target", "fuzzing");

const MAX_INPUT_BYTES = 1024;
// An input over one of these is a finding: it would have to be a thousand times slower, or larger, than any seed.
const MAX_INPUT_SECONDS = 60;
const MAX_RSS_MB = 1024;
// Of a run that has ended with a finding: before that, libFuzzer tells of everything that it tries and likes.
const SHOWN_LINES = 60;

/** Whether libFuzzer, which is C++, can be compiled here. */
export async function hasCxx() {
  return (await probe(process.env.CXX ?? "c++", ["--version"])) !== null;
}

/** Builds all targets, and returns the folder that they are in. */
export async function buildTargets() {
  await checkRust();
  const host = (await probe("rustc", ["-vV"])).match(/^host: (.+)$/m)[1];
  // With a target that is named, the flags reach the targets alone and no build script.
  const where = ["--profile", PROFILE, "--target", host];
  await step("fuzz targets", (report) =>
    run("cargo", ["build", "--locked", "--package", "fuzz", "--features", "libfuzzer", "--bins", ...where], {
      env: { RUSTFLAGS: COVERAGE.join(" ") },
      report,
    }),
  );
  return join("target", host, PROFILE);
}

/**
 * Runs a target for so many executions. With a `seed` the run is the same each time; without, it goes on with what earlier
 * ones have found, and by another way.
 */
export async function fuzz(binaries, target, { runs, seed }) {
  const isSame = seed !== undefined;
  const corpus = join(FOLDER, isSame ? "fixed" : "corpus", target);
  const findings = join(FOLDER, "findings");
  if (isSame) await rm(join(ROOT, corpus), { recursive: true, force: true });
  for (const folder of [corpus, findings]) await mkdir(join(ROOT, folder), { recursive: true });
  const options = {
    runs,
    ...(isSame ? { seed } : {}),
    max_len: MAX_INPUT_BYTES,
    timeout: MAX_INPUT_SECONDS,
    rss_limit_mb: MAX_RSS_MB,
    dict: join("fuzz", "dictionaries", TARGETS[target]),
    artifact_prefix: `${join(findings, target)}-`,
  };
  const args = Object.entries(options).map(([name, value]) => `-${name}=${value}`);
  // What is new is written into the first folder of the two.
  const folders = [corpus, join("fuzz", "seeds", target)];
  await step(`${target}, ${runs} executions`, (report) =>
    run(join(ROOT, binaries, target), [...args, ...folders], { report, shownLines: SHOWN_LINES }),
  ).catch((failure) => {
    throw new Failure(
      `${failure.message}\nThe input is in ${findings}. Copied to fuzz/seeds/${target}, it fails this too:\n` +
        "  cargo test --package fuzz",
    );
  });
}
