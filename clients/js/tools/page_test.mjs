// Bundles the tests that need no Node into one script for a page: `node tools/page_test.mjs OUTFILE`. The page finds
// the outcome in `chappeReport` (test/page/runner.ts).
import { fileURLToPath } from "node:url";
import { resolve } from "node:path";
import { build } from "esbuild";
import { pageTests } from "./suite.mjs";

const outfile = resolve(process.argv[2]);
process.chdir(fileURLToPath(new URL("..", import.meta.url)));
await build({
  stdin: { contents: pageTests.map((name) => `import "./test/${name}.test.ts";`).join("\n"), resolveDir: "." },
  alias: { "node:assert/strict": "./test/page/assert.ts", "node:test": "./test/page/runner.ts" },
  define: { "process.env.NODE_ENV": '"development"' },
  bundle: true,
  // "sideEffects": false is about the sources; a test is nothing else.
  ignoreAnnotations: true,
  platform: "browser",
  format: "iife",
  target: "es2022",
  sourcemap: "inline",
  logLevel: "warning",
  outfile,
});
