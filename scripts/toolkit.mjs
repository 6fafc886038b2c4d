// What the scripts share: where things are, how a command is run, how a failure is told. They use Node's own modules only,
// since they run before anything is installed.
import { execFile, spawn } from "node:child_process";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const GUARD = join(ROOT, "scripts", "guard.mjs");
const HEARTBEAT_SECONDS = 20;

const ENV = {
  ...process.env,
  // A shell that is not a login shell often lacks cargo's folder, and a bare environment lacks Node's. They come
  // last, so that whatever the user has put in front stays in front.
  PATH: [
    process.env.PATH,
    dirname(process.execPath),
    join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "bin"),
  ].join(delimiter),
  // `target/release/backend-mock` is promised to the reader; a target folder set for the whole machine would move it.
  CARGO_TARGET_DIR: join(ROOT, "target"),
};

/** A failure that is explained by its message alone: it is printed without a stack trace. */
export class Failure extends Error {}

/** Runs a script's body and ends the process, with a message if the body fails. */
export async function main(body) {
  let exitCode = 0;
  try {
    const [major, minor] = process.versions.node.split(".").map(Number);
    if (major < 20 || (major === 20 && minor < 3)) {
      throw new Failure(`Node 20.3 or newer is needed, and this is ${process.versions.node}. Get it from https://nodejs.org.`);
    }
    await body();
  } catch (error) {
    console.error(error instanceof Failure ? `\n${error.message}` : error);
    exitCode = 1;
  }
  // Without waiting for what still runs beside the part that failed or was interrupted.
  process.exit(exitCode);
}

/** The standard output of a short command, or null if it is missing or fails. */
export function probe(command, args) {
  return new Promise((resolve) => {
    execFile(command, args, { cwd: ROOT, env: ENV }, (error, stdout) => resolve(error ? null : stdout.trim()));
  });
}

/**
 * Starts a command that cannot outlive this process, however that ends: see `guard.mjs`. Closing the `stdin` of what is
 * returned stops the command and all that it has started.
 */
export function startGuarded(command, args, { env = {}, stdout = "inherit", stderr = "inherit" } = {}) {
  return spawn(process.execPath, [GUARD, command, ...args], {
    cwd: ROOT,
    env: { ...ENV, ...env },
    stdio: ["pipe", stdout, stderr],
    // A process group of its own, which the guard can end as a whole.
    detached: true,
  });
}

/** Runs a command in full view. */
export async function show(command, args, { env } = {}) {
  console.log(`$ ${[command, ...args].join(" ")}`);
  await succeeded(startGuarded(command, args, { env }), command, args);
}

/**
 * Runs a command out of view. Its output goes to `report` line by line, and is shown only if the command fails: all of it, or
 * as many of its last lines as `shownLines` says.
 */
export async function run(command, args, { env, report, shownLines = Infinity }) {
  const child = startGuarded(command, args, { env, stdout: "pipe", stderr: "pipe" });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
      report(output.slice(-200).trimEnd().split("\n").at(-1).trim());
    });
  }
  try {
    await succeeded(child, command, args);
  } catch (failure) {
    process.stderr.write(`\n${output.split("\n").slice(-shownLines).join("\n")}`);
    throw failure;
  }
}

/**
 * A part of the set-up that takes long enough for the reader to want to know about it. `work` gets a function to call with
 * the latest line of progress, which is printed now and then.
 */
export async function step(label, work) {
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 1000);
  let latest = "";
  console.log(`- ${label} …`);
  const heartbeat = setInterval(() => console.log(`  ${label}: ${seconds()} s, ${latest}`), HEARTBEAT_SECONDS * 1000);
  try {
    await work((line) => (latest = line));
    console.log(`- ${label}: done in ${seconds()} s`);
  } finally {
    clearInterval(heartbeat);
  }
}

function succeeded(child, command, args) {
  return new Promise((resolve, reject) => {
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Failure(`${[command, ...args].join(" ")}: failed (${signal ?? `exit code ${code}`}).`));
    });
  });
}
