// Pictures of the page for people to look at: node test/shots.mjs OUT_DIRECTORY [NAME]
// Of generated states, or with HUDDLE_DASHBOARD_URL of a live controller.
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
  ["shop-proof", shop({ plan: "proved" }), `?sel=${encodeURIComponent("shop/frontend>shop/currency>grpc")}`, [1440, 900], "light"],
  ["chatter-edge", shop({ plan: "chatter" }), `?sel=${encodeURIComponent("shop/frontend>shop/currency>grpc")}`, [1440, 900], "light"],
  ["chatter-against", shop({ plan: "chatter" }), `?sel=${encodeURIComponent("shop/frontend>shop/productcatalog>grpc")}`, [1440, 1800], "dark"],
  ["merge-proposed", shop({ plan: "toMerge" }), "", [1440, 1500], "light"],
  ["merge-pods", shop({ plan: "merging" }), "", [1440, 900], "dark"],
  ["merged", shop({ plan: "merged" }), "", [1440, 900], "light"],
  ["merged-dark", shop({ plan: "merged" }), "", [1440, 900], "dark"],
  ["merged-edge", shop({ plan: "merged" }), `?sel=${encodeURIComponent("shop/frontend>shop/currency>grpc")}`, [1440, 900], "light"],
  ["merged-node", shop({ plan: "merged" }), "?group=node", [1440, 900], "light"],
  ["merged-list", shop({ plan: "merged" }), "?view=list", [1440, 900], "light"],
  ["merged-narrow", shop({ plan: "merged" }), "", [700, 1500], "light"],
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
const LIVE = [
  ["live", "", [1440, 900], "light"],
  ["live-node", "?group=node", [1440, 900], "light"],
  ["live-zone", "?group=zone", [1440, 900], "dark"],
  ["live-list", "?view=list", [1440, 900], "light"],
];

/** Waits until what the address asks for is painted, and takes the picture. */
async function shoot(name, url, list, [width, height], theme) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: theme, reducedMotion: "reduce" });
  page.on("console", (message) => { if (message.type() === "error") console.log(name, message.text()); });
  page.on("pageerror", (error) => console.log(name, error.stack ?? error.message));
  await page.goto(url);
  if (list) await page.waitForSelector("h2, table");
  else await page.waitForFunction(() => (window.huddle?.().painted.nodes ?? 0) > 0, undefined, { timeout: 60_000 });
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.screenshot({ path: `${out}/${name}.png` });
  console.log(name, "first paint", await page.evaluate(() => window.huddle?.().firstPaint));
  await page.close();
}

const wanted = (name) => !only || name.match(new RegExp(`^(${only})$`));
const live = process.env.HUDDLE_DASHBOARD_URL;
for (const [name, query, size, theme] of live ? LIVE : []) {
  if (wanted(name)) await shoot(name, new URL(query, live).href, query.includes("list"), size, theme);
}
for (const [name, state, query, size, theme] of live ? [] : SHOTS) {
  if (!wanted(name)) continue;
  const server = await serve(state);
  await shoot(name, server.url + query, state.workloads.length === 0 || query.includes("list"), size, theme);
  await server.close();
}
await browser.close();
