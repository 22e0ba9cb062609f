// Serves dist as the controller does (same paths, same headers), with generated states behind the API. For tests and development:
//   node test/serve.mjs [--services 500] [--edges 2000] [--plan proved] [--port 5180]
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { mesh, shop } from "../fixtures/generate.mjs";

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".json": "application/json" };
// Kept equal to controller/src/dashboard/page.rs; its test reads this line.
export const CSP = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** `publish` changes the state; every open stream hears of it at once. */
export async function serve(first, port = 0) {
  let text = JSON.stringify(first);
  const streams = new Set();
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://x").pathname;
    if (path === "/api/v1/state") return void response.writeHead(200, { "content-type": "application/json" }).end(text);
    if (path === "/api/v1/stream") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      response.write(`event: state\ndata: ${text}\n\n`);
      streams.add(response);
      request.on("close", () => streams.delete(response));
      return;
    }
    const file = normalize(path === "/" ? "index.html" : path.slice(1));
    try {
      const body = await readFile(join(DIST, file));
      response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-security-policy": CSP, "x-content-type-options": "nosniff" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    streams: () => streams.size,
    publish(state) {
      text = JSON.stringify(state);
      for (const stream of streams) stream.write(`event: state\ndata: ${text}\n\n`);
    },
    /** Ends every stream, as a restarted controller does. */
    cut() {
      for (const stream of streams) stream.destroy();
      streams.clear();
    },
    close() {
      this.cut();
      return new Promise((done) => server.close(done));
    },
  };
}

if (import.meta.url === `file://${process.argv[1]}`) {
  const value = (name) => { const i = process.argv.indexOf(`--${name}`); return i < 0 ? undefined : process.argv[i + 1]; };
  const services = Number(value("services") ?? 11);
  const make = (at, load) => (services <= 11 ? shop({ at, load, plan: value("plan") ?? "recommended" }) : mesh({ at, services, edges: Number(value("edges") ?? services * 4) }));
  const running = await serve(make(Date.now(), 1), Number(value("port") ?? 5180));
  console.log(running.url);
  setInterval(() => running.publish(make(Date.now(), 0.9 + Math.random() * 0.2)), 2000);
}
