// Checks how the crates are built up: no two top-level modules import each other, directly or around a corner, and no file is
// longer than one can keep in mind. Tests are exempt from both.
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Failure, main, ROOT } from "./toolkit.mjs";

const CRATES = ["src", "backend/src", "emulator/src"];
const MAX_LINES = 500;
// One row after the other: they may be longer.
const TABLES = new Set(["src/error/rows.rs"]);
// Files and folders of tests, wherever they are.
const TESTS = new Set(["tests", "tests.rs", "testing.rs"]);
// They declare the modules, and import them all.
const CRATE_ROOTS = ["lib.rs", "main.rs"];

await main(async () => {
  const problems = [];
  for (const crate of CRATES) {
    if (!(await stat(join(ROOT, crate)).catch(() => null))) continue;
    const sources = await readSources(crate);
    problems.push(...longFiles(sources), ...circles(importsOf(crate, sources)));
  }
  if (problems.length > 0) throw new Failure(problems.join("\n"));
});

/** Every file of a crate that is no test: its path below the crate's folder, and its text. */
async function readSources(crate) {
  const sources = [];
  const visit = async (folder) => {
    const entries = await readdir(join(ROOT, crate, folder), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (TESTS.has(entry.name)) continue;
      if (entry.isDirectory()) await visit(path);
      else if (path.endsWith(".rs")) {
        sources.push({ path, file: join(crate, path), text: await readFile(join(ROOT, crate, path), "utf8") });
      }
    }
  };
  await visit("");
  return sources;
}

function longFiles(sources) {
  return sources
    .filter(({ file }) => !TABLES.has(file))
    .map(({ file, text }) => ({ file, lines: withoutTests(text).trimEnd().split("\n").length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ file, lines }) => `${file} has ${lines} lines, and at most ${MAX_LINES} are allowed.`);
}

/** Which top-level module imports which: a map from importer to imported to the place of the first import. */
function importsOf(crate, sources) {
  const modules = new Set(sources.filter(({ path }) => !CRATE_ROOTS.includes(path)).map(({ path }) => moduleOf(path)));
  const root = sources.find(({ path }) => path === "lib.rs")?.text ?? "";
  const imports = new Map([...modules].map((module) => [module, new Map()]));
  for (const { path, file, text } of sources) {
    if (CRATE_ROOTS.includes(path)) continue;
    const importer = moduleOf(path);
    for (const { name, line } of namesFromRoot(withoutTests(text), depthOf(path))) {
      const imported = modules.has(name) ? name : reexportedFrom(root, name);
      if (imported === importer || !modules.has(imported)) continue;
      const places = imports.get(importer);
      if (!places.has(imported)) places.set(imported, `${file}:${line}`);
    }
  }
  return imports;
}

/** `credentials/cache.rs` and `credentials.rs` are in `credentials`. */
function moduleOf(path) {
  return path.split("/")[0].replace(/\.rs$/, "");
}

/** How many `super::` lead from a file to the root of the crate. */
function depthOf(path) {
  const parts = path.split("/");
  return basename(path) === "mod.rs" ? parts.length - 1 : parts.length;
}

/** The first names of all paths that begin at the crate's root, by `crate::` or by `super::`. */
function* namesFromRoot(text, depth) {
  const prefix = new RegExp(String.raw`\bcrate\s*::\s*|(?<![\w:]\s*)(?:super\s*::\s*){${depth}}(?!super)`, "g");
  for (const match of text.matchAll(prefix)) {
    const line = text.slice(0, match.index).split("\n").length;
    for (const name of firstNames(text.slice(match.index + match[0].length))) yield { name, line };
  }
}

/** `{a::{b, c}, d}` gives `a` and `d`; anything else its one name. */
function firstNames(text) {
  if (!text.startsWith("{")) return text.match(/^\w+/) ?? [];
  const names = [];
  let [depth, item] = [0, ""];
  for (const character of text) {
    if (character === "{") depth += 1;
    if (character === "}") depth -= 1;
    if (depth === 0 || (depth === 1 && character === ",")) {
      names.push(item.match(/\w+/)?.[0]);
      item = "";
    } else if (depth === 1) item += character;
    if (depth === 0) break;
  }
  return names.filter(Boolean);
}

/** The module that the crate's root takes a name from. */
function reexportedFrom(root, name) {
  const use = [...root.matchAll(/pub(?:\([^)]*\))?\s+use\s+(?:crate::|self::)?(\w+)::([^;]*);/g)];
  return use.find(([, , names]) => new RegExp(String.raw`\b${name}\b`).test(names))?.[1];
}

/** Rust without comments, strings, and what is compiled for tests alone. Lines keep their numbers. */
function withoutTests(text) {
  const literals = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|\bb?r(#*)"[\s\S]*?"\1|"(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\]|\\.[^']*)'/g;
  let rest = text.replace(literals, blank);
  const attribute = /#\[cfg\([^\]]*\btest\b[^\]]*\]/g;
  for (let match; (match = attribute.exec(rest)); ) {
    if (/not\s*\(\s*test/.test(match[0])) continue;
    const end = endOfItem(rest, match.index + match[0].length);
    rest = rest.slice(0, match.index) + blank(rest.slice(match.index, end)) + rest.slice(end);
  }
  return rest;
}

function blank(text) {
  return text.replace(/[^\n]/g, " ");
}

/** Where the item ends that begins here: at its semicolon, or at the brace that closes its body. */
function endOfItem(text, begin) {
  let depth = 0;
  for (let at = begin; at < text.length; at += 1) {
    if ("{([".includes(text[at])) depth += 1;
    if ("})]".includes(text[at])) depth -= 1;
    if (depth === 0 && (text[at] === ";" || text[at] === "}")) return at + 1;
  }
  return text.length;
}

/** The shortest circle through each module that is in one, each circle once. */
function circles(imports) {
  const found = new Map();
  for (const module of imports.keys()) {
    const circle = shortestCircle(imports, module);
    if (circle) found.set([...circle].sort().join(), circle);
  }
  return [...found.values()].map((circle) => {
    const steps = circle.map((module, at) => {
      const next = circle[(at + 1) % circle.length];
      return `  ${module} → ${next}: ${imports.get(module).get(next)}`;
    });
    return [`These modules import each other: ${[...circle, circle[0]].join(" → ")}`, ...steps].join("\n");
  });
}

function shortestCircle(imports, start) {
  const queue = [[start]];
  const seen = new Set();
  for (const path of queue) {
    for (const next of imports.get(path.at(-1)).keys()) {
      if (next === start) return path;
      if (seen.has(next)) continue;
      seen.add(next);
      queue.push([...path, next]);
    }
  }
  return null;
}
