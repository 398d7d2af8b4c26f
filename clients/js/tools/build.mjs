// Builds dist/: ESM and CommonJS of each entry with their types, and dist/chappe.js for a <script> (global `chappe`).
import { execFileSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MAX_GZIP_BYTES = 15_000;

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
// Overwritten in place and swept afterwards: the web build may be reading dist/ at this moment.
const started = Date.now();
execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });

const ENTRIES = ["index", "indexeddb", "tabs", "react", "preact"].map((name) => `src/${name}.ts`);
// Names that modules use among themselves: the page build shortens them. Checked below against what users see.
const INTERNAL = [
  "accepted", "advised", "backoff", "barrier", "better", "betterFailed", "betterMessage", "caughtUp", "climb",
  "complete", "dead", "deciding", "dialing", "doubt", "dropOldest", "enter", "established", "firstSentAt", "flush",
  "forget", "freeze", "gaveUp", "heard", "hold", "interrupted", "isLast", "knew", "lost", "moved", "patient", "paused",
  "plug", "probe", "pump", "quiet", "receive", "release", "remove", "repeatable", "retime", "rise", "sendPing",
  "settings", "settle", "silenceMs", "stay", "visible", "wallClock", "worked",
];
const common = { bundle: true, target: "es2022", logLevel: "warning", sourcemap: true };
// React and Preact are those of the application.
const modules = { ...common, entryPoints: ENTRIES, packages: "external" };
const mangleProps = new RegExp(`^(${INTERNAL.join("|")})$`);
await Promise.all([
  build({ ...modules, format: "esm", outdir: "dist/esm" }),
  build({ ...modules, format: "cjs", outdir: "dist/cjs" }),
  build({ ...common, entryPoints: ["src/page.ts"], format: "iife", minify: true, mangleProps, outfile: "dist/chappe.js" }),
]);

const seen = ["api", "clock", "durable", "errors", "options", "transport"].map((name) => readFileSync(`dist/esm/${name}.d.ts`, "utf8"));
const declared = seen.join("").matchAll(/^\s+(?:readonly |get )?(\w+)[?]?[:(<]/gm);
for (const [, name] of declared) if (INTERNAL.includes(name)) throw new Error(`${name} is an internal name, and declared to users`);

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
