// Looks at the package as its users get it: what `npm pack` makes, installed without a network, in every kind of project.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => join(root, "node_modules/.bin", name);
const folder = mkdtempSync(join(tmpdir(), "chappe-pack-"));

function run(cwd, command, ...args) {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    throw new Error(`${[command, ...args].join(" ")}\n${error.stdout}${error.stderr}`);
  }
}

const ENTRIES = { chappe: "connect", "chappe/outbox": "indexedDbOutbox", "chappe/tabs": "sharedTabs", "chappe/react": "useSubscription", "chappe/preact": "useChappe" };
const names = Object.entries(ENTRIES);

const USE = `import { connect, type Client, type Publication } from "chappe";
import { indexedDbOutbox } from "chappe/outbox";
import { sharedTabs } from "chappe/tabs";
import { useChappe, useSubscription } from "chappe/react";
import * as preact from "chappe/preact";
export const client: Client = connect("ws://h/ws", { outbox: indexedDbOutbox({ onFull: "drop_oldest" }), tabs: sharedTabs(), heartbeat: "mobile", backgroundDisconnect: 60_000 });
export const newest = (): Publication<number> | null => useSubscription<number>(client, "c", { limit: 1 }).latest;
export const states: string[] = [useChappe(client).state, preact.useChappe(client).state];
`;

function typeCheck(module, resolution, ...files) {
  for (const file of files) writeFileSync(join(folder, file), USE);
  const options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "--types", "", "--module", module, "--moduleResolution", resolution];
  run(folder, bin("tsc"), ...options, ...files);
}

try {
  run(root, bin("publint"), "--strict");
  run(root, bin("size-limit"));
  const tarball = join(folder, run(root, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder).trim());
  // Node's old way of finding modules knows no subpaths; the one file for pages has no types.
  run(root, bin("attw"), tarball, "--profile", "node16", "--exclude-entrypoints", "./chappe.js");

  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  run(folder, "npm", "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", tarball);
  const installed = readdirSync(join(folder, "node_modules")).filter((name) => !name.startsWith("."));
  if (installed.join() !== "chappe") throw new Error(`installing chappe brought ${installed}`);
  for (const peer of ["react", "preact"]) cpSync(join(root, "node_modules", peer), join(folder, "node_modules", peer), { recursive: true });

  writeFileSync(join(folder, "a.mjs"), names.map(([path, name]) => `import { ${name} } from "${path}"; if (typeof ${name} !== "function") process.exit(1);`).join("\n"));
  writeFileSync(join(folder, "a.cjs"), names.map(([path, name]) => `if (typeof require("${path}").${name} !== "function") process.exit(1);`).join("\n"));
  for (const file of ["a.mjs", "a.cjs"]) run(folder, process.execPath, file);
  typeCheck("node16", "node16", "b.mts", "b.cts");
  typeCheck("esnext", "bundler", "c.ts");

  // For the page that tests/browser opens.
  const page = process.argv[2];
  if (page) {
    mkdirSync(page, { recursive: true });
    const contents = 'import { connect } from "chappe"; globalThis.bundled = connect;';
    await build({ stdin: { contents, resolveDir: folder }, bundle: true, format: "iife", outfile: join(page, "bundled.js"), logLevel: "warning" });
    cpSync(join(folder, "node_modules/chappe/dist/chappe.js"), join(page, "chappe.js"));
  }
  console.log("the package is whole");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
