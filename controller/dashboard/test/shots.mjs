// Pictures of the page for people to look at: node test/shots.mjs OUT_DIRECTORY
import { mkdir } from "node:fs/promises";
import { empty, mesh, shop } from "../fixtures/generate.mjs";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

const out = process.argv[2] ?? "shots";
const only = process.argv[3];
await mkdir(out, { recursive: true });
const browser = await launch();
const SHOTS = [
  ["shop", shop(), "", [1440, 900], "light"],
  ["shop-wide", shop(), "", [2560, 1300], "light"],
  ["shop-dark", shop({ plan: "proved" }), "", [1440, 900], "dark"],
  ["shop-edge", shop(), `?sel=${encodeURIComponent("shop/frontend>shop/currency>grpc")}`, [1440, 900], "light"],
  ["shop-workload", shop(), `?sel=${encodeURIComponent("shop/frontend")}`, [1440, 900], "light"],
  ["shop-node", shop(), "?group=node", [1440, 900], "light"],
  ["shop-zone", shop({ plan: "proved" }), "?group=zone", [1440, 900], "dark"],
  ["shop-list", shop(), "?view=list", [1440, 900], "light"],
  ["empty", empty(), "", [1440, 900], "light"],
  ["mesh500", mesh({ services: 500, edges: 2000 }), "", [1440, 900], "light"],
  ["mesh500-wide", mesh({ services: 500, edges: 2000 }), "", [2560, 1300], "dark"],
  ["mesh80", mesh({ services: 80, edges: 240 }), "", [1440, 900], "light"],
  ["mesh5000", mesh({ services: 5000, edges: 20000 }), "", [1440, 900], "light"],
];
for (const [name, state, query, [width, height], theme] of SHOTS) {
  if (only && !name.match(new RegExp(`^(${only})$`))) continue;
  const server = await serve(state);
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: theme, reducedMotion: "reduce" });
  page.on("console", (message) => { if (message.type() === "error") console.log(name, message.text()); });
  page.on("pageerror", (error) => console.log(name, error.stack ?? error.message));
  await page.goto(server.url + query);
  if (state.workloads.length > 0 && !query.includes("list")) await page.waitForFunction(() => (window.huddle?.().painted.nodes ?? 0) > 0, undefined, { timeout: 60_000 });
  else await page.waitForSelector("h2, table");
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.screenshot({ path: `${out}/${name}.png` });
  console.log(name, "first paint", await page.evaluate(() => window.huddle?.().firstPaint));
  await page.close();
  await server.close();
}
await browser.close();
