// Everything that has to be on the machine before something can be built. What the user brings is checked; the rest is
// installed into `node_modules` and `.tools`.
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { Failure, probe, ROOT, run, step } from "./toolkit.mjs";

export const WASM_TARGET = "wasm32-unknown-unknown";
export const TOOLS_BIN = join(ROOT, ".tools", "bin");

// Its minor version has to be that of the `worker` crate.
const WORKER_BUILD_VERSION = "0.8.7";

let rust;

/** Checks for Rust and a C compiler, and adds the WebAssembly target to a Rust that comes from rustup. */
export function checkRust() {
  return (rust ??= inspectRust());
}

async function inspectRust() {
  if (process.platform === "win32") {
    throw new Failure("Windows is served through WSL: run this in a WSL shell.");
  }
  const version = (await probe("rustc", ["--version"]))?.match(/1\.(\d+)/);
  const metadata = await probe("cargo", ["metadata", "--no-deps", "--format-version", "1"]);
  if (!version || metadata === null) {
    throw new Failure("Rust is missing or does not run. Install it from https://rustup.rs and open a new shell.");
  }
  const minimum = Math.max(...JSON.parse(metadata).packages.map((each) => Number(each.rust_version?.split(".")[1] ?? 0)));
  if (Number(version[1]) < minimum) {
    throw new Failure(`Rust 1.${minimum} or newer is needed, and this is ${version[0]}. Update it: rustup update`);
  }
  if ((await probe("cc", ["--version"])) === null) {
    throw new Failure(`A C compiler is missing: Rust links with it, and SQLite is compiled by it.\n${SYSTEM_PACKAGES}`);
  }
  const wasmLibraries = await probe("rustc", ["--print", "target-libdir", "--target", WASM_TARGET]);
  if (!existsSync(wasmLibraries ?? "")) {
    await addToRust("target", WASM_TARGET);
  }
}

const SYSTEM_PACKAGES =
  "  Debian, Ubuntu:  sudo apt-get install build-essential\n" +
  "  Fedora:          sudo dnf install gcc\n" +
  "  macOS:           xcode-select --install";

/** Adds what the tests need beside what the build needs. */
export async function checkRustComponents() {
  await checkRust();
  for (const [component, command] of [["rustfmt", "fmt"], ["clippy", "clippy"]]) {
    if ((await probe("cargo", [command, "--version"])) === null) await addToRust("component", component);
  }
}

async function addToRust(kind, name) {
  if ((await probe("rustup", ["--version"])) === null) {
    throw new Failure(`This Rust has no ${name}, and without rustup it cannot be added. Install Rust from https://rustup.rs.`);
  }
  await step(`Rust's ${name}`, (report) => run("rustup", [kind, "add", name], { report }));
}

/** Installs the packages of `package-lock.json`, unless they are there. */
export async function installPackages() {
  if (await packagesAreInstalled()) return;
  // None of the packages needs its install script: each finds the binary for this platform without it.
  const options = ["--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"];
  await step("npm packages", (report) => run("npm", ["ci", ...options], { report }));
}

/** Compares what npm noted when it installed with what the lock file asks for; packages of other platforms are optional. */
async function packagesAreInstalled() {
  const wanted = await packagesOf("package-lock.json");
  const installed = await packagesOf(join("node_modules", ".package-lock.json")).catch(() => ({}));
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === "" || optional || installed[path]?.version === version,
  );
}

async function packagesOf(lockFile) {
  return JSON.parse(await readFile(join(ROOT, lockFile), "utf8")).packages;
}

/**
 * Installs the two cargo tools into `.tools`, unless they are there. They are compiled without optimisation: that takes a
 * third of the time, and their own work on this worker stays under a second.
 */
export async function installTools() {
  const bindgen = await lockedVersion("wasm-bindgen");
  const hasWorkerBuild = (await toolVersion("worker-build")) === WORKER_BUILD_VERSION;
  const hasBindgen = (await toolVersion("wasm-bindgen")) === bindgen;
  if (hasWorkerBuild && hasBindgen) return;
  await checkRust();
  if (!hasWorkerBuild) {
    await installTool("worker-build", ["--path", await workerBuildSource(), "--bin", "worker-build"]);
  }
  if (!hasBindgen) {
    // Without its TLS, which only tests in a remote browser would need.
    const options = ["--no-default-features", "--bin", "wasm-bindgen", "--bin", "wasm-bindgen-test-runner"];
    await installTool("wasm-bindgen", [`wasm-bindgen-cli@${bindgen}`, ...options]);
  }
  await rm(TOOLS_TARGET, { recursive: true, force: true });
}

// One folder for both, since they share some dependencies.
const TOOLS_TARGET = join(ROOT, ".tools", "target");

async function installTool(label, options) {
  const env = { CARGO_TARGET_DIR: TOOLS_TARGET, CARGO_PROFILE_DEV_DEBUG: "0" };
  const install = ["install", "--debug", "--force", "--root", join(ROOT, ".tools"), "--locked"];
  await step(label, (report) => run("cargo", [...install, ...options], { env, report }));
}

/**
 * A folder with worker-build's source, without the TLS of its downloader. That alone would need OpenSSL's headers and
 * pkg-config on Linux, and what it would download is installed here already.
 */
async function workerBuildSource() {
  const crate = `worker-build-${WORKER_BUILD_VERSION}`;
  const source = join(ROOT, ".tools", crate);
  const manifest = join(source, "Cargo.toml");
  await rm(source, { recursive: true, force: true });
  await mkdir(source, { recursive: true });
  // A package that depends on it makes cargo fetch it from wherever the user's cargo gets its crates.
  const fetcher = `[package]\nname = "fetcher"\n[lib]\npath = "Cargo.toml"\n[workspace]\n[dependencies]\n`;
  await writeFile(manifest, `${fetcher}worker-build = "=${WORKER_BUILD_VERSION}"\n`);
  await step(`${crate}'s source`, (report) => run("cargo", ["fetch", "--manifest-path", manifest], { report }));
  await rm(join(source, "Cargo.lock"));
  const registry = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "registry", "src");
  const fetched = (await readdir(registry)).map((index) => join(registry, index, crate)).find(existsSync);
  if (!fetched) throw new Failure(`cargo has fetched ${crate}, and it is not in ${registry}.`);
  await cp(fetched, source, { recursive: true });

  const published = await readFile(manifest, "utf8");
  const withTls = /(\[dependencies\.ureq\]\nversion = "[^"]+"\n)features = \[[^\]]*\]\n/;
  if (!withTls.test(published)) throw new Failure(`${crate}'s Cargo.toml is not as expected.`);
  const features = 'default-features = false\nfeatures = ["rustls-no-provider"]\n';
  await writeFile(manifest, `${published.replace(withTls, `$1${features}`)}\n[workspace]\n`);
  // Takes what is not needed any more out of its lock file, and changes no version in it.
  await run("cargo", ["update", "--workspace", "--manifest-path", manifest], { report: () => {} });
  return source;
}

async function toolVersion(tool) {
  return (await probe(join(TOOLS_BIN, tool), ["--version"]))?.split(" ").at(-1);
}

/** wasm-bindgen's CLI refuses code that was compiled with any other version of the library. */
async function lockedVersion(crate) {
  const lock = await readFile(join(ROOT, "Cargo.lock"), "utf8");
  return lock.match(new RegExp(`name = "${crate}"\\nversion = "(.+)"`))[1];
}
