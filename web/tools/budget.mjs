// What a visitor downloads, compressed: the shell (all that the first page needs) and each lazily loaded page on top.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

export const SHELL_BUDGET = 60 * 1024;
export const APP_BUDGET = 150 * 1024;

/** Measures the parts of a build with splitting: `[{ name, bytes, budget }]`, bytes gzipped. */
export async function measure(metafile, root, entry) {
  const outputs = metafile.outputs;
  const main = Object.keys(outputs).find((path) => outputs[path].entryPoint === entry);
  const styles = Object.keys(outputs).filter((path) => path.endsWith(".css"));
  const shell = closure(outputs, main);
  const parts = [{ name: "shell", bytes: await size(root, [...shell, ...styles]), budget: SHELL_BUDGET }];
  for (const path of lazy(outputs, shell)) {
    const own = [...closure(outputs, path)].filter((file) => !shell.has(file));
    parts.push({ name: outputs[path].entryPoint ?? path, bytes: await size(root, own), budget: APP_BUDGET });
  }
  return parts;
}

function closure(outputs, start) {
  const seen = new Set([start]);
  for (const path of seen) {
    for (const each of outputs[path].imports) if (each.kind === "import-statement") seen.add(each.path);
  }
  return seen;
}

function lazy(outputs, shell) {
  const found = new Set();
  for (const path of shell) {
    for (const each of outputs[path].imports) if (each.kind === "dynamic-import") found.add(each.path);
  }
  return found;
}

async function size(root, paths) {
  let total = 0;
  for (const path of paths) total += gzipSync(await readFile(join(root, path)), { level: 9 }).length;
  return total;
}
