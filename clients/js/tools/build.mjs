// Builds dist/: ESM and CommonJS with their types, and dist/chappe.js for a <script> (global `chappe`).
import { execFileSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MAX_GZIP_BYTES = 15 * 1024;

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
// Overwritten in place and swept afterwards: the web build may be reading dist/ at this moment.
const started = Date.now();
execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });

const common = { entryPoints: ["src/index.ts"], bundle: true, target: "es2022", logLevel: "warning", sourcemap: true };
await Promise.all([
  build({ ...common, format: "esm", outfile: "dist/esm/index.js" }),
  build({ ...common, format: "cjs", outfile: "dist/cjs/index.js" }),
  build({ ...common, entryPoints: ["src/page.ts"], format: "iife", minify: true, outfile: "dist/chappe.js" }),
]);

// Types are read as the kind of module that the nearest package.json names.
for (const name of readdirSync("dist/esm")) {
  if (name.endsWith(".d.ts")) cpSync(`dist/esm/${name}`, `dist/cjs/${name}`);
}
writeFileSync("dist/cjs/package.json", '{ "type": "commonjs" }\n');

for (const folder of ["dist/esm", "dist/cjs"]) {
  for (const name of readdirSync(folder)) {
    if (statSync(`${folder}/${name}`).mtimeMs < started - 5_000) rmSync(`${folder}/${name}`);
  }
}

const bytes = gzipSync(readFileSync("dist/chappe.js"), { level: 9 }).length;
console.log(`dist/chappe.js: ${bytes} bytes gzipped`);
if (bytes > MAX_GZIP_BYTES) throw new Error(`dist/chappe.js has ${bytes} bytes gzipped, expected ${MAX_GZIP_BYTES} or fewer`);
