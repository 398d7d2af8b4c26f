// The files of test/, by where they can run.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Need files, processes or servers. */
const NODE_ONLY = ["packaging", "sockets", "vectors", "hub"];
/** Need a document. */
const PAGE_ONLY = ["hooks"];

const names = readdirSync(fileURLToPath(new URL("../test", import.meta.url)))
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => name.replace(".test.ts", ""));

export const nodeTests = names.filter((name) => !PAGE_ONLY.includes(name));
export const pageTests = names.filter((name) => !NODE_ONLY.includes(name));
