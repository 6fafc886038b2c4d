// `npm run test:api`: Schemathesis asks backend-mock for everything that its OpenAPI document allows, and for much that it
// does not. Two minutes; it needs Python 3.10 or newer, and says so where there is none.
import { join } from "node:path";
import { buildBackendMock } from "./artifacts.mjs";
import { main, probe, ROOT, run, show, startGuarded, step } from "./toolkit.mjs";

const SCHEMATHESIS = "4.32.5";
const FOLDER = join(ROOT, ".tools", `schemathesis-${SCHEMATHESIS}`);
const PROGRAM = join(FOLDER, "bin", "schemathesis");
const MAX_SECONDS = 90;

await main(async () => {
  const python = await findPython();
  if (!python) return console.log("skipped: there is no Python 3.10 or newer with venv");
  await Promise.all([buildBackendMock(), installSchemathesis(python)]);

  const server = startGuarded(join(ROOT, "target", "release", "backend-mock"), ["--data", ":memory:", "--listen", "127.0.0.1:0", "--demo"], {
    stdout: "pipe",
  });
  try {
    const { listening, demo } = JSON.parse(await firstLine(server.stdout));
    await show(PROGRAM, [
      "run",
      `${listening}/api/openapi.json`,
      ...["--header", `Authorization: Bearer ${demo.auth_token}`],
      ...["--max-time", MAX_SECONDS, "--continue-on-failure"].map(String),
      // What the document allows may be refused all the same: an address that is taken, a bot that Telegram does not know.
      ...["--exclude-checks", "positive_data_acceptance"],
    ]);
  } finally {
    server.stdin.end();
  }
});

async function findPython() {
  const check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
  for (const python of ["python3", "python"]) {
    if ((await probe(python, ["-c", check])) !== null) return python;
  }
  return null;
}

async function installSchemathesis(python) {
  if ((await probe(PROGRAM, ["--version"])) !== null) return;
  await step("schemathesis", async (report) => {
    await run(python, ["-m", "venv", "--clear", FOLDER], { report });
    await run(join(FOLDER, "bin", "pip"), ["install", `schemathesis==${SCHEMATHESIS}`], { report });
  });
}

async function firstLine(stream) {
  let text = "";
  for await (const chunk of stream) {
    text += chunk;
    if (text.includes("\n")) return text;
  }
  return text;
}
