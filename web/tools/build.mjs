// Builds the console into src/chappe/console/static: two pages, hashed files under assets/, each with a .gz beside it.
// Ends with status 1 when a part is over its size budget.

import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { measure } from "./budget.mjs";

const WEB = fileURLToPath(new URL("..", import.meta.url));
const STATIC = process.env.CHAPPE_STATIC ?? join(WEB, "../src/chappe/console/static");
const SDK = process.env.CHAPPE_SDK ?? join(WEB, "../clients/js/src/index.ts");
const ASSETS = join(STATIC, "assets");
const COMPRESSED = /\.(js|css|svg|html)$/;

const common = {
  absWorkingDir: WEB,
  outdir: ASSETS,
  bundle: true,
  minify: true,
  metafile: true,
  legalComments: "none",
  target: ["chrome123", "firefox120", "safari17.5"],
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  logLevel: "warning",
};

await rm(ASSETS, { recursive: true, force: true });
await mkdir(join(STATIC, "apps"), { recursive: true });

const main = await build({
  ...common,
  entryPoints: ["src/main.tsx", "src/styles/main.css"],
  format: "esm",
  splitting: true,
  jsx: "automatic",
  jsxImportSource: "preact",
  alias: { chappe: SDK },
});
// A classic script: it runs before the first paint, so that a stored theme does not flash.
const early = await build({ ...common, entryPoints: ["src/early.ts"], format: "iife" });

const icon = await readFile(join(WEB, "src/favicon.svg"));
const iconName = `favicon-${createHash("sha256").update(icon).digest("hex").slice(0, 8).toUpperCase()}.svg`;
await writeFile(join(ASSETS, iconName), icon);

const files = {
  main: named(main, "src/main.tsx"),
  style: named(main, "src/styles/main.css"),
  early: named(early, "src/early.ts"),
  icon: iconName,
};
const template = await readFile(join(WEB, "src/index.html"), "utf8");
// The two pages differ only in the way back to the hub's root, so both work under any sub-path.
await writeFile(join(STATIC, "index.html"), filled(template, { ...files, root: "" }));
await writeFile(join(STATIC, "apps/index.html"), filled(template, { ...files, root: "../" }));

for (const folder of [STATIC, ASSETS, join(STATIC, "apps")]) {
  for (const name of await readdir(folder)) {
    if (!COMPRESSED.test(name) || (folder === STATIC && name === "chappe.js")) continue;
    await writeFile(join(folder, `${name}.gz`), gzipSync(await readFile(join(folder, name)), { level: 9 }));
  }
}

const parts = await measure(main.metafile, join(WEB), "src/main.tsx");
for (const part of parts) {
  console.log(`${part.name.padEnd(24)} ${kilobytes(part.bytes)} of ${kilobytes(part.budget)} KB gz`);
}
const over = parts.filter((part) => part.bytes > part.budget);
if (over.length > 0) {
  console.error(`over budget: ${over.map((part) => part.name).join(", ")}`);
  process.exit(1);
}

/** Finds the file name that an entry point was built to. */
function named(result, entry) {
  const [path] = Object.entries(result.metafile.outputs).find(([, output]) => output.entryPoint === entry);
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Puts the values into the {{places}} of a page. */
function filled(text, values) {
  return text.replace(/\{\{(\w+)\}\}/g, (_, name) => values[name]);
}

function kilobytes(bytes) {
  return (bytes / 1024).toFixed(1).padStart(6);
}
