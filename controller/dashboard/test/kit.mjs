// What every check of the page shares: a page that watches its own console and requests, and reading what is shown.
import assert from "node:assert/strict";

export const TIMEOUT = Number(process.env.PAGE_TIMEOUT_MS ?? 60_000);

/** Opens `url` and hands `use` the page; afterwards there must be no console error and no request to another host. */
export async function visit(browser, url, options, use) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(TIMEOUT);
  const page = await context.newPage();
  const problems = [];
  const host = new URL(url).host;
  const cuts = options?.expectCuts === true;
  page.on("console", (message) => {
    if (message.type() === "error" && !(cuts && /ERR_(CONNECTION|INCOMPLETE|EMPTY)/.test(message.text()))) problems.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`error: ${error.stack ?? error.message}`));
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.protocol !== "data:" && to.host !== host) problems.push(`request to another host: ${request.url()}`);
  });
  try {
    await page.goto(url);
    const note = await use(page);
    assert.deepEqual(problems, []);
    return note;
  } finally {
    await context.close();
  }
}

/** Waits until the graph has painted, and returns what it draws. */
export async function graph(page) {
  await page.waitForFunction(() => (window.huddle?.().painted.nodes ?? 0) > 0, undefined, { timeout: TIMEOUT });
  return page.evaluate(() => {
    const { nodes, edges, hidden, painted, firstPaint } = window.huddle();
    return { nodes, edges, hidden, painted, firstPaint };
  });
}

export const edgeId = (edge) => `${edge.source}>${edge.destination}>${edge.protocol}`;
export const sorted = (values) => [...values].sort();

/** Every row of the open table, by scrolling through it. */
export async function tableRows(page) {
  return page.evaluate(async () => {
    const box = document.querySelector(".tablebox");
    const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const rows = new Map();
    for (let top = 0; ; top += Math.max(100, box.clientHeight - 100)) {
      box.scrollTop = top;
      await frame();
      for (const row of box.querySelectorAll("tr[data-id]")) {
        rows.set(row.dataset.id, Object.fromEntries([...row.querySelectorAll("td[data-column]")].map((cell) => [cell.dataset.column, cell.title || cell.textContent])));
      }
      if (top + box.clientHeight >= box.scrollHeight) break;
    }
    return Object.fromEntries(rows);
  });
}

/** Everything of a state is on the page: cards, lines, rows; the list's figures are those of the state. */
export async function showsAll(page, state) {
  const drawn = await graph(page);
  const named = new Set(state.workloads.map((w) => w.id));
  for (const edge of state.edges) named.add(edge.source).add(edge.destination);
  assert.deepEqual(sorted(drawn.nodes), sorted(named), "every workload is drawn");
  assert.deepEqual(sorted(drawn.edges), sorted(state.edges.map(edgeId)), "every edge is drawn");
  await page.getByRole("button", { name: "List", exact: true }).click();
  await page.waitForSelector("table[aria-label=Edges]");
  const edges = await tableRows(page);
  assert.deepEqual(sorted(Object.keys(edges)), sorted(drawn.edges), "the list has the same edges as the graph");
  await page.getByRole("tab", { name: /^Workloads/ }).click();
  await page.waitForSelector("table[aria-label=Workloads]");
  assert.deepEqual(sorted(Object.keys(await tableRows(page))), sorted(named), "the list has the same workloads as the graph");
  await page.getByRole("tab", { name: /^Edges/ }).click();
  await page.getByRole("button", { name: "Graph", exact: true }).click();
  await graph(page);
  return edges;
}

/** Is the canvas not empty around a drawn thing? */
export async function paintedAt(page, id) {
  return page.evaluate((wanted) => {
    const at = window.huddle().place(wanted);
    const canvas = document.querySelector("canvas");
    const ratio = devicePixelRatio;
    const { data } = canvas.getContext("2d").getImageData(Math.round((at.x - 6) * ratio), Math.round((at.y - 6) * ratio), 12 * ratio, 12 * ratio);
    const colours = new Set();
    for (let i = 0; i < data.length; i += 4) colours.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
    return colours.size > 1;
  }, id);
}

/** Walks the graph by arrow keys: from the first card over a call to the next card, and opens the details. */
export async function keyboardWalk(page) {
  const selected = () => page.evaluate(() => new URL(location.href).searchParams.get("sel"));
  const press = async (key) => {
    const before = await selected();
    await page.keyboard.press(key);
    await page.waitForFunction((old) => new URL(location.href).searchParams.get("sel") !== old, before);
    return selected();
  };
  await page.evaluate(() => document.querySelector(".graph canvas").focus());
  const first = await press("ArrowRight");
  // The first card may call nobody: walk down until one does.
  let call = await (async () => {
    for (let tries = 0; tries < 50; tries++) {
      await page.keyboard.press("ArrowRight");
      const now = await selected();
      if (now.includes(">")) return now;
      await press("ArrowDown");
    }
    throw new Error(`no call was reached by keyboard from ${first}`);
  })();
  await page.waitForSelector("[data-panel-edge]");
  const spoken = await page.locator(".graph [aria-live=polite]").textContent();
  assert.match(spoken, /^Call .+ requests per second/, "the selection is spoken");
  const callee = await press("ArrowRight");
  assert.equal(callee, call.split(">")[1], "right goes to the callee");
  await page.waitForSelector("[data-panel-workload]");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "panel", "enter goes to the details");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => !new URL(location.href).searchParams.has("sel"));
}
