import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  resolve: { alias: { chappe: fileURLToPath(new URL("../clients/js/src/index.ts", import.meta.url)) } },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
