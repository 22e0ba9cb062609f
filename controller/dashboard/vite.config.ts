import { defineConfig } from "vite";

// The output must be byte-for-byte reproducible: dist is committed and a check rebuilds and compares it.
export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  worker: { format: "es" },
  server: { proxy: { "/api": process.env.HUDDLE_DASHBOARD_URL ?? "http://127.0.0.1:8081" } },
  test: { include: ["src/**/*.test.ts"], environment: "node", testTimeout: 60_000 },
} as Parameters<typeof defineConfig>[0]);
