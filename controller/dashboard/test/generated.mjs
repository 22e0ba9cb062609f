// Checks with generated states: what the page promises, one by one.
import assert from "node:assert/strict";
import { empty, shop } from "../fixtures/generate.mjs";
import { edgeId, graph, keyboardWalk, paintedAt, showsAll, sorted, TIMEOUT, tableRows, visit } from "./kit.mjs";
import { serve } from "./serve.mjs";

const CURRENCY = "shop/frontend>shop/currency>grpc";

/** A check against a server of its own that plays `state`. */
function against(state, use, { query = "", options } = {}) {
  return async (browser) => {
    const server = await serve(state);
    try {
      return await visit(browser, server.url + query, options, (page) => use(page, server, state));
    } finally {
      await server.close();
    }
  };
}

const panelText = (page) => page.locator("#panel").innerText();

async function everything(page, _server, state) {
  const rows = await showsAll(page, state);
  const edge = state.edges.find((one) => edgeId(one) === CURRENCY);
  assert.equal(rows[CURRENCY].p99, `${(edge.total.p99Us / 1000).toFixed(2)} ms`);
  assert.equal(rows[CURRENCY].net99, `${(edge.total.network.p99Us / 1000).toFixed(2)} ms`);
  assert.equal(rows[CURRENCY].finding, edge.finding.sentence);
  for (const id of [CURRENCY, "shop/redis"]) assert.ok(await paintedAt(page, id), `${id} is painted`);
}

async function details(page, _server, state) {
  await graph(page);
  const at = await page.evaluate((id) => window.huddle().place(id), CURRENCY);
  await page.locator(".graph canvas").click({ position: at });
  await page.waitForSelector(`[data-panel-edge="${CURRENCY}"]`);
  const text = await panelText(page);
  const edge = state.edges.find((one) => edgeId(one) === CURRENCY);
  for (const wanted of [edge.finding.sentence, "Whole call", "Network", "Callee", "same node", "same zone", "other zone", "The plan expects", "huddle explain"]) {
    assert.ok(text.includes(wanted), `the details say ${wanted}`);
  }
  const shown = await page.locator("[data-locality]").evaluateAll((rows) => rows.map((row) => row.dataset.locality));
  assert.deepEqual(shown, Object.keys(edge.localities));
}

async function updates(page, server) {
  await graph(page);
  const { at } = shop();
  const next = shop({ at: at + 1000, load: 3 });
  const rate = String(Math.round(next.edges.find((one) => edgeId(one) === CURRENCY).rps));
  await page.getByRole("button", { name: "List", exact: true }).click();
  const began = performance.now();
  server.publish(next);
  await page.waitForFunction(([id, wanted]) => document.querySelector(`tr[data-id="${id}"] td[data-column=rps]`)?.textContent === wanted, [CURRENCY, rate]);
  const took = Math.round(performance.now() - began);
  return `${took} ms from push to table`;
}

async function steadyPlaces(page, server, state) {
  await graph(page);
  const places = () => page.evaluate(() => Object.fromEntries(window.huddle().nodes.map((id) => [id, window.huddle().place(id)])));
  const before = await places();
  const next = structuredClone(state);
  next.workloads.push({ ...next.workloads[5], id: "shop/wishlist", name: "wishlist", pods: [] });
  next.edges.push({ ...next.edges[4], source: "shop/frontend", destination: "shop/wishlist" });
  server.publish(next);
  await page.waitForFunction(() => window.huddle().nodes.includes("shop/wishlist"));
  const after = await places();
  // The camera may not have moved either: nothing on the screen shifts under the reader's eyes.
  for (const [id, at] of Object.entries(before)) assert.deepEqual(after[id], at, `${id} stayed`);
}

async function reconnects(page, server, state) {
  await graph(page);
  server.cut();
  await page.waitForSelector("[data-connection=lost]");
  const next = structuredClone(state);
  next.cluster.name = "after-the-cut";
  server.publish(next);
  await page.waitForSelector("[data-connection=live]");
  await page.getByText("after-the-cut", { exact: true }).waitFor();
}

async function pausesHidden(page, server) {
  await graph(page);
  assert.equal(server.streams(), 1);
  const hide = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => value });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(true);
  await page.waitForSelector("[data-connection=paused]");
  await until(() => server.streams() === 0, "the stream is closed while hidden");
  await hide(false);
  await page.waitForSelector("[data-connection=live]");
  await until(() => server.streams() === 1, "the stream is open again");
}

async function until(condition, what) {
  const end = performance.now() + TIMEOUT;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never: ${what}`);
    await new Promise((done) => setImmediate(done));
  }
}

async function filters(page, _server, state) {
  await graph(page);
  const slow = state.edges.filter((edge) => ["distance", "pressure"].includes(edge.finding?.cause)).map(edgeId);
  await page.getByRole("button", { name: /^Only slow/ }).click();
  await page.waitForFunction((n) => window.huddle().edges.length === n, slow.length);
  assert.deepEqual((await graph(page)).edges.sort(), slow.sort());
  assert.match(await page.locator(".hiddennote").innerText(), /filtered out/);
  await page.getByRole("button", { name: "List", exact: true }).click();
  assert.deepEqual(Object.keys(await tableRows(page)).sort(), slow.sort());
  await page.getByRole("button", { name: /^Only slow/ }).click();
  await page.getByRole("button", { name: /^Only errors/ }).click();
  const failing = state.edges.filter((edge) => edge.total.errors > 0).map(edgeId);
  assert.deepEqual(Object.keys(await tableRows(page)).sort(), failing.sort());
  await page.getByRole("button", { name: /^Only errors/ }).click();
  await page.keyboard.press("/");
  await page.keyboard.type("checkout");
  const found = state.edges.filter((edge) => /checkout/.test(edge.source + edge.destination)).map(edgeId);
  await page.waitForFunction((n) => document.querySelectorAll("tr[data-id]").length === n, found.length);
  assert.deepEqual(Object.keys(await tableRows(page)).sort(), found.sort());
}

async function sortsByKeyboard(page) {
  await page.waitForSelector("table[aria-label=Edges]");
  await page.getByRole("button", { name: "net p99" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("th[aria-sort=descending] >> text=net p99");
  const first = page.locator("tr[data-index='0']");
  await first.focus();
  await page.keyboard.press("End");
  const last = await page.evaluate(() => document.activeElement.dataset.index);
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  await page.waitForFunction(() => document.activeElement.dataset.index === "1");
  await page.keyboard.press("Enter");
  await page.waitForSelector("[data-panel-edge]");
  assert.ok(Number(last) > 1);
}

async function links(page) {
  const { nodes } = await graph(page);
  assert.ok(nodes.length > 0);
  await page.waitForSelector("[data-panel-workload='shop/cart']");
  assert.equal(await page.getByRole("button", { name: "Zone", exact: true }).getAttribute("aria-pressed"), "true");
  await page.getByRole("button", { name: "Node", exact: true }).click();
  await page.waitForFunction(() => location.search.includes("group=node"));
  await page.reload();
  await graph(page);
  await page.waitForSelector("[data-panel-workload='shop/cart']");
  assert.equal(await page.getByRole("button", { name: "Node", exact: true }).getAttribute("aria-pressed"), "true");
}

async function dragSticks(page) {
  await graph(page);
  const at = (id) => page.evaluate((wanted) => window.huddle().place(wanted), id);
  const from = await at("shop/redis");
  const canvas = await page.locator(".graph canvas").boundingBox();
  await page.mouse.move(canvas.x + from.x, canvas.y + from.y);
  await page.mouse.down();
  await page.mouse.move(canvas.x + from.x - 20, canvas.y + from.y + 60, { steps: 4 });
  await page.mouse.up();
  const relative = async () => {
    const [redis, cart] = [await at("shop/redis"), await at("shop/cart")];
    return [redis.x - cart.x, redis.y - cart.y];
  };
  const [, before] = await relative();
  assert.ok(before > 20, "the card moved");
  // The reloaded page may fit the graph at another zoom: the shape stays, not the pixels.
  const slope = async () => { const [x, y] = await relative(); return y / x; };
  const kept = await slope();
  await page.reload();
  await graph(page);
  assert.ok(Math.abs(await slope() - kept) < 0.03, "the card is where it was put, also after a reload");
}

async function emptySaysWhy(page, _server, state) {
  await page.getByRole("heading", { name: "No calls to show yet" }).waitFor();
  for (const pod of state.silent) {
    const entry = page.locator(`.empty [data-silent="${pod.namespace}/${pod.pod}"]`);
    assert.ok((await entry.innerText()).includes(pod.sentence));
  }
}

async function planAndProof(page, _server, state) {
  await graph(page);
  const text = await panelText(page);
  const [plan] = state.plans;
  for (const wanted of [plan.verdict.sentence, plan.summary, "25 % → 87 %", "network time", "p50", "p99", "→ 388 µs", "→ 1.97 ms", `huddle rollback ${plan.id}`]) assert.ok(text.includes(wanted), wanted);
}

/** A merge as the page shows it: the callee inside its caller, its figures, its stages, its proof. */
async function merged(page, server, state) {
  const drawn = await graph(page);
  const edge = state.edges.find((one) => edgeId(one) === CURRENCY);
  const inside = () => page.evaluate(() => window.huddle().inside);
  assert.deepEqual(await inside(), [CURRENCY]);
  assert.deepEqual(sorted(drawn.edges), sorted(state.edges.map(edgeId)), "the merged edge is still on the graph");
  assert.ok(drawn.nodes.includes("shop/currency"), "so is its callee");
  assert.ok(await paintedAt(page, CURRENCY), "and painted");
  assert.match(await page.locator(".legend").innerText(), /inside the caller's pods/);
  const [plan] = state.plans;
  let text = await panelText(page);
  const ms = (us) => (us < 1000 ? `${us} µs` : `${(us / 1000).toFixed(2)} ms`);
  const [proof] = plan.proof;
  for (const wanted of [plan.actions[0].sentence, plan.verdict.sentence, "whole call", ms(proof.before.p50Us), `→ ${ms(proof.after.p50Us)}`, `→ ${ms(proof.after.p99Us)}`, "+70m", "+96 MiB", `huddle rollback ${plan.id}`]) assert.ok(text.includes(wanted), wanted);
  assert.ok(!/gap closed/.test(text), "a merge closes no gap of the network");
  assert.deepEqual(await stagesOf(page), plan.actions[0].stages.map(({ stage, sentence, state: at }) => [stage, at, sentence]));
  // A click on the callee inside opens the edge, with the figures of the calls inside.
  await page.locator(".graph canvas").click({ position: await page.evaluate((id) => window.huddle().place(id), CURRENCY) });
  await page.waitForSelector(`[data-panel-edge="${CURRENCY}"]`);
  text = await panelText(page);
  for (const wanted of [edge.inside.sentence, "inside the pod", "whole call p50", ms(edge.localities.samePod.p99Us)]) assert.ok(text.includes(wanted), wanted);
  assert.equal(edge.finding.cause, "inside");
  assert.equal(await page.locator("[data-panel-edge] .callout b", { hasText: "Inside the pod" }).count(), 1, "said once");
  assert.deepEqual(await page.locator("[data-locality]").evaluateAll((rows) => rows.map((row) => row.dataset.locality)), ["samePod"]);
  // When nobody else calls it, the callee is drawn inside alone; when a call leaves the pod again, its own card is back.
  const place = (id) => page.evaluate((wanted) => window.huddle().place(wanted), id);
  const apart = await place("shop/currency");
  server.publish({ ...state, edges: state.edges.filter((one) => one.destination !== "shop/currency" || one === edge) });
  await page.waitForFunction((id) => !window.huddle().edges.includes(id), "shop/checkout>shop/currency>grpc");
  assert.deepEqual(await place("shop/currency"), await place(CURRENCY), "the callee is where its calls are");
  server.publish(state);
  await page.waitForFunction((id) => window.huddle().edges.includes(id), "shop/checkout>shop/currency>grpc");
  assert.deepEqual(await place("shop/currency"), apart, "its card is where it was");
  await page.getByRole("button", { name: "List", exact: true }).click();
  assert.equal((await tableRows(page))[CURRENCY].local, "inside the pod");
}

/** Every stage of the plan's step: what it is, how far, in which words. */
const stagesOf = (page) => page.locator("[data-stage]").evaluateAll((rows) => rows.map((row) => [row.dataset.stage, row.dataset.state, row.querySelector("span").firstChild.textContent]));

async function mergeUnderWay(page, _server, state) {
  await graph(page);
  const stages = await stagesOf(page);
  assert.deepEqual(stages.map(([, at]) => at), ["done", "done", "done", "running", "pending", "pending"]);
  assert.equal(await page.locator("[aria-current=step]").count(), 1);
  // The rest of the calls has a line of its own, beside the callee inside.
  const drawn = await graph(page);
  assert.ok(drawn.edges.includes(CURRENCY) && (await page.evaluate(() => window.huddle().inside)).includes(CURRENCY));
  const edge = state.edges.find((one) => edgeId(one) === CURRENCY);
  assert.ok((await panelText(page)).includes(`${Math.round(edge.inside.share * 100)} % inside the pod`));
}

async function mergeProposed(page, _server, state) {
  await graph(page);
  const [merging] = state.plans[0].merging;
  const text = await panelText(page);
  for (const wanted of [merging.basis, merging.ways[0].sentence, merging.cost, ...merging.effects, `huddle approve ${state.plans[0].id}`]) assert.ok(text.includes(wanted), wanted);
  assert.ok(!text.includes("over loopback"), "the plan takes one way");
}

const plain = (said) => said.replaceAll("`", "");

async function chatter(page, _server, state) {
  await graph(page);
  for (const destination of ["shop/currency", "shop/productcatalog"]) {
    const edge = state.edges.find((one) => one.source === "shop/frontend" && one.destination === destination);
    await page.locator(".findings button", { hasText: edge.finding.sentence }).click();
    await page.waitForSelector(`[data-panel-edge="${edgeId(edge)}"]`);
    const text = await panelText(page);
    for (const wanted of [edge.finding.sentence, edge.merge.sentence, plain(edge.merge.ask), ...edge.merge.ways.map((way) => way.sentence), ...edge.merge.against.flatMap((one) => [one.sentence, plain(one.remedy)])]) assert.ok(text.includes(wanted), wanted);
    assert.equal(await page.locator("[data-ask] code").innerText(), `huddle merge shop/frontend ${destination}`);
    await nothingCut(page);
    await page.keyboard.press("Escape");
  }
}

/** The shop with a proposal whose figures are long ones, as they were seen on the bed. */
function longFigures() {
  const state = shop();
  for (const expected of state.plans[0].expected) {
    Object.assign(expected, { networkP50Us: [1_590, 362, 643], networkP99Us: [13_400, 1_480, 30_400] });
  }
  return state;
}

async function panelCutsNothing(page) {
  await graph(page);
  await page.waitForSelector("table.gains");
  await nothingCut(page);
}

async function nothingCut(page) {
  const cut = await page.evaluate(() => {
    const edge = document.querySelector("#panel").getBoundingClientRect().right;
    return [...document.querySelectorAll("#panel *")].filter((e) => e.getBoundingClientRect().right > edge + 0.5).map((e) => e.textContent);
  });
  assert.deepEqual(cut, [], "nothing reaches over the panel's edge");
}

async function accessible(page) {
  await graph(page);
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("button, input, select, canvas, a")].filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML));
  assert.deepEqual(unnamed, [], "every control has a name");
  assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
  assert.match(await page.locator(".legend").innerText(), /Colour[\s\S]+Line[\s\S]+thicker/);
}

export function generatedChecks() {
  return [
    ["every workload and edge is on the page, and the list equals the graph", against(shop(), everything)],
    ["a click on an edge shows its parts, distances, finding and plan", against(shop(), details)],
    ["an update is pushed to the screen", against(shop(), updates)],
    ["a new workload moves nothing", against(shop(), steadyPlaces)],
    ["the page reconnects and takes the full state", against(shop(), reconnects, { options: { expectCuts: true } })],
    ["a hidden tab closes its stream", against(shop(), pausesHidden)],
    ["filters and find agree in graph and list", against(shop(), filters)],
    ["the graph can be walked by keyboard", against(shop(), (page) => graph(page).then(() => keyboardWalk(page)))],
    ["the list sorts, walks and opens by keyboard", against(shop(), sortsByKeyboard, { query: "?view=list" })],
    ["a link shows the same view", against(shop(), links, { query: `?group=zone&sel=${encodeURIComponent("shop/cart")}` })],
    ["a dragged card stays", against(shop(), dragSticks)],
    ["an empty graph says why", against(empty(), emptySaysWhy)],
    ["a proved plan shows before and after", against(shop({ plan: "proved" }), planAndProof, { options: { colorScheme: "dark" } })],
    ["a proposal with long figures fits the panel", against(longFigures(), panelCutsNothing)],
    ["a merged callee is drawn inside its caller, with figures, stages and proof", against(shop({ plan: "merged" }), merged)],
    ["a merge under way shows its stage and both parts of the calls", against(shop({ plan: "merging" }), mergeUnderWay, { options: { colorScheme: "dark" } })],
    ["a proposed merge says what it brings, costs and changes", against(shop({ plan: "toMerge" }), mergeProposed)],
    ["chatter says which command asks for a merge, and what stands against it", against(shop({ plan: "chatter" }), chatter)],
    ["a merge fits a narrow window", against(shop({ plan: "merged" }), async (page) => graph(page).then(() => nothingCut(page)), { options: { viewport: { width: 420, height: 900 } } })],
    ["the merged graph can be walked by keyboard", against(shop({ plan: "merged" }), (page) => graph(page).then(() => keyboardWalk(page)))],
    ["controls have names and the legend is there", against(shop(), accessible)],
  ];
}
