// Compiles test/*.test.ts into build/test and runs them: `npm test`, or `npm test -- outbox` for one file.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { nodeTests } from "./suite.mjs";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("build", { recursive: true, force: true });

const wanted = process.argv.slice(2);
const names = nodeTests
  .map((name) => `${name}.test`)
  // hub.test.ts talks to a running hub, whose address is in CHAPPE_URL.
  .filter((name) => (process.env.CHAPPE_URL ? name === "hub.test" : name !== "hub.test"))
  .filter((name) => wanted.length === 0 || wanted.some((word) => name.includes(word)));

await build({
  entryPoints: names.map((name) => `test/${name}.ts`),
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  outdir: "build/test",
  outExtension: { ".js": ".mjs" },
  sourcemap: "inline",
  logLevel: "warning",
});
const files = names.map((name) => `build/test/${name}.mjs`);
const { status } = spawnSync(process.execPath, ["--enable-source-maps", "--test", "--test-reporter=spec", "--test-timeout=60000", ...files], {
  stdio: "inherit",
});
process.exit(status ?? 1);
