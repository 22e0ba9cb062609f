import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** Vite's list leaves out what the worker bundles: dagre. */
const workerLicense: Plugin = {
  name: "worker-license",
  generateBundle() {
    this.emitFile({ type: "asset", fileName: "licenses-worker.md", source: `# Licenses\n\nThe layout worker bundles @dagrejs/dagre:\n\n${readFileSync(new URL("node_modules/@dagrejs/dagre/LICENSE", import.meta.url), "utf8")}` });
  },
};

// The output must be byte-for-byte reproducible: dist is committed and a check rebuilds and compares it.
export default defineConfig({
  base: "./",
  plugins: [workerLicense],
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The licences of what is bundled travel with it.
    license: { fileName: "licenses.md" },
    reportCompressedSize: true,
  },
  worker: { format: "es" },
  server: { proxy: { "/api": process.env.HUDDLE_DASHBOARD_URL ?? "http://127.0.0.1:8081" } },
  test: { include: ["src/**/*.test.ts"], environment: "node", testTimeout: 60_000 },
} as Parameters<typeof defineConfig>[0]);
