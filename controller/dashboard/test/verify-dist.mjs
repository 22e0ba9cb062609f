// Rebuilds the page into a temporary directory and compares it with the committed dist, byte by byte.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const DIST = join(ROOT, "dist");
const BUDGET = 300_000;

async function files(directory) {
  const found = await readdir(directory, { recursive: true, withFileTypes: true });
  return new Map(await Promise.all(found.filter((entry) => entry.isFile()).map(async (entry) => {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    return [path.slice(directory.length + 1), await readFile(path)];
  })));
}

const fresh = await mkdtemp(join(tmpdir(), "huddle-dist-"));
try {
  await build({ root: ROOT, logLevel: "warn", build: { outDir: fresh, emptyOutDir: true } });
  const [committed, built] = [await files(DIST), await files(fresh)];
  const wrong = [...new Set([...committed.keys(), ...built.keys()])].filter((name) => !committed.get(name)?.equals(built.get(name) ?? Buffer.alloc(0)));
  if (wrong.length > 0) {
    console.error(`dist is not what the sources give (run \`npm run build\` and commit dist): ${wrong.join(", ")}`);
    process.exitCode = 1;
  }
  const size = [...built.values()].reduce((sum, body) => sum + gzipSync(body).length, 0);
  console.log(`dist: ${built.size} files, ${(size / 1000).toFixed(1)} kB gzipped of ${BUDGET / 1000}`);
  if (size > BUDGET) {
    console.error("the page is over its budget");
    process.exitCode = 1;
  }
} finally {
  await rm(fresh, { recursive: true });
}
