// `npm start`: from nothing to a running worker, with a backend and a Bot API beside it.
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { buildBackendMock, buildWorker } from "./artifacts.mjs";
import { installPackages } from "./toolchain.mjs";
import { Failure, main, ROOT, startGuarded } from "./toolkit.mjs";

const HOST = "127.0.0.1";
const READY_MS = 60_000;

async function start() {
  const port = await freePort("PORT", 8787);
  const backendPort = await freePort("BACKEND_PORT", 8788);

  await Promise.all([buildWorker(), buildBackendMock()]);
  await installPackages();

  const interrupted = new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, resolve);
  });
  const servers = new Servers();
  try {
    await Promise.race([serve(servers, port, backendPort), servers.oneEnded, interrupted]);
  } finally {
    console.log("\nStopping …");
    await servers.stop();
  }
}

async function serve(servers, port, backendPort) {
  await mkdir(join(ROOT, "data"), { recursive: true });
  const backend = servers.start(
    "backend-mock",
    join("target", "release", "backend-mock"),
    ["--demo", "--listen", `${HOST}:${backendPort}`, "--data", join("data", "backend-mock.sqlite3")],
    { stdout: "pipe" },
  );
  const { listening, demo } = JSON.parse(await firstLine(backend.stdout));

  const wrangler = join("node_modules", "wrangler", "bin", "wrangler.js");
  const settings = [`BACKEND_URL:${listening}`, `TELEGRAM_API_URL:${listening}`];
  servers.start(
    "wrangler dev",
    process.execPath,
    [wrangler, "dev", "--ip", HOST, "--port", `${port}`, ...settings.flatMap((setting) => ["--var", setting])],
    // Without this it asks Cloudflare for the properties of a request's origin, which tells nothing on one machine.
    { env: { CLOUDFLARE_CF_FETCH_ENABLED: "false" } },
  );
  const url = `http://${HOST}:${port}`;
  await healthy(url);

  console.log(`
Ready. Ctrl-C stops both.

  worker        ${url}
  backend-mock  ${listening}  (the backend and the Bot API; what it stores is in data/)
  demo token    ${demo.auth_token}

Upload a file:

  curl -F authToken=${demo.auth_token} -F file=@README.md ${url}/upload
`);
  await new Promise(() => {});
}

/** The servers that were started. They end together. */
class Servers {
  #started = [];
  #reportEnd;
  /** Rejects as soon as one of them ends by itself. */
  oneEnded = new Promise((_, reject) => (this.#reportEnd = reject));

  start(name, command, args, options) {
    const child = startGuarded(command, args, options);
    child.ended = new Promise((resolve) => child.on("exit", resolve));
    child.ended.then((code) => this.#reportEnd(new Failure(`${name} has ended with exit code ${code}.`)));
    this.#started.push(child);
    return child;
  }

  async stop() {
    for (const child of this.#started) child.stdin.end();
    await Promise.all(this.#started.map((child) => child.ended));
  }
}

/** The port that an environment variable or the default names, provided that nothing listens there. */
async function freePort(variable, byDefault) {
  const port = Number(process.env[variable] || byDefault);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new Failure(`${variable} has to be a port number, not "${process.env[variable]}".`);
  }
  await new Promise((resolve, reject) => {
    const server = createServer().once("error", (error) => {
      const why = error.code === "EADDRINUSE" ? "is taken" : `cannot be used (${error.code})`;
      reject(new Failure(`Port ${port} ${why}. Choose another one: ${variable}=${port + 100} npm start`));
    });
    server.listen(port, HOST, () => server.close(resolve));
  });
  return port;
}

function firstLine(stream) {
  return new Promise((resolve) => createInterface({ input: stream }).once("line", resolve));
}

async function healthy(url) {
  const deadline = Date.now() + READY_MS;
  while (Date.now() < deadline) {
    if ((await fetch(`${url}/health`).catch(() => null))?.ok) return;
    await sleep(100);
  }
  throw new Failure(`${url}/health does not answer with 200.`);
}

await main(start);
