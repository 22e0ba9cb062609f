// Checks against a live controller, named by HUDDLE_DASHBOARD_URL. The state changes while we look, so what is on the
// page is compared with states read before and after.
import assert from "node:assert/strict";
import { edgeId, graph, keyboardWalk, paintedAt, TIMEOUT, tableRows, visit } from "./kit.mjs";

const read = async (url) => {
  const answer = await fetch(new URL("api/v1/state", url));
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /^application\/json/);
  return answer.json();
};

/** Retries `look` until the state was the same before and after it, so that the comparison is fair. */
async function settled(url, look) {
  const end = performance.now() + TIMEOUT;
  for (;;) {
    const before = await read(url);
    const seen = await look(before);
    const after = await read(url);
    const shape = (state) => JSON.stringify([state.workloads.map((w) => w.id).sort(), state.edges.map(edgeId).sort()]);
    if (shape(before) === shape(after) || performance.now() > end) return { state: after, seen };
  }
}

const wanted = (state) => {
  const named = new Set(state.workloads.map((w) => w.id));
  for (const edge of state.edges) named.add(edge.source).add(edge.destination);
  return [...named].sort();
};

async function everything(page, url) {
  await graph(page);
  const { state, seen } = await settled(url, async (now) => {
    await page.waitForFunction((ids) => ids.every((id) => window.huddle().edges.includes(id)), now.edges.map(edgeId));
    return graph(page);
  });
  assert.ok(state.edges.length > 0, "the controller has edges");
  if (state.workloads.length <= 600) {
    assert.deepEqual([...seen.nodes].sort(), wanted(state), "every workload is drawn");
    assert.deepEqual([...seen.edges].sort(), state.edges.map(edgeId).sort(), "every edge is drawn");
  }
  assert.ok(await paintedAt(page, edgeId(state.edges[0])), "edges are painted");
  return `${seen.nodes.length} workloads, ${seen.edges.length} edges`;
}

async function listEqualsGraph(page, url) {
  await page.waitForSelector("table[aria-label=Edges]");
  const { state, seen } = await settled(url, async () => tableRows(page));
  assert.deepEqual(Object.keys(seen).sort(), state.edges.map(edgeId).sort());
  await page.getByRole("tab", { name: /^Workloads/ }).click();
  await page.waitForSelector("table[aria-label=Workloads]");
  const workloads = await settled(url, async () => tableRows(page));
  assert.deepEqual(Object.keys(workloads.seen).sort(), wanted(workloads.state));
}

/**
 * Under load the figures change with every report. The controller pushes changes only (a state that differs in its time
 * alone is not sent), so the clock starts when a *changed* state can be read.
 */
async function updates(page, url) {
  await graph(page);
  const figures = (state) => JSON.stringify(state.edges);
  const first = figures(await read(url));
  const end = performance.now() + TIMEOUT;
  let changed = await read(url);
  while (figures(changed) === first) {
    assert.ok(performance.now() < end, "the controller's figures never changed: is there load?");
    await new Promise((done) => setTimeout(done, 100));
    changed = await read(url);
  }
  const began = performance.now();
  await page.waitForFunction((at) => window.huddle().at >= at, changed.at, { polling: 50 });
  const lag = Math.round(performance.now() - began);
  assert.ok(lag <= 2000, `a changed state was on the page ${lag} ms after the controller had it`);
  return `on the page ${lag} ms after it could be read`;
}

async function details(page, url) {
  await graph(page);
  const { edges } = await read(url);
  const busiest = edges.reduce((a, b) => (b.rps > a.rps ? b : a));
  const id = edgeId(busiest);
  const to = new URL(url);
  to.searchParams.set("sel", id);
  await page.goto(to.href);
  await page.waitForSelector(`[data-panel-edge="${id}"]`);
  const text = await page.locator("#panel").innerText();
  for (const word of ["Whole call", "Network", "Callee", "By distance"]) assert.ok(text.includes(word), word);
}

async function groupings(page, url) {
  await graph(page);
  const state = await read(url);
  for (const name of ["Node", "Zone", "None", "Namespace"]) {
    await page.getByRole("button", { name, exact: true }).click();
    await page.waitForFunction((group) => (group === "namespace" ? !location.search.includes("group=") : location.search.includes(`group=${group}`)), name.toLowerCase());
    await page.waitForFunction((ids) => ids.every((id) => window.huddle().nodes.includes(id)), state.workloads.map((w) => w.id));
  }
}

export function liveChecks(url) {
  const check = (use, query = "") => (browser) => visit(browser, new URL(query, url).href, {}, (page) => use(page, url));
  return [
    ["live: every workload and edge is on the page", check(everything)],
    ["live: the list equals the state", check(listEqualsGraph, "?view=list")],
    ["live: updates arrive within 2 s", check(updates)],
    ["live: details of the busiest edge", check(details)],
    ["live: boxes by node, zone and none hold every workload", check(groupings)],
    ["live: the graph can be walked by keyboard", check((page) => graph(page).then(() => keyboardWalk(page)))],
    ["live: strict content policy", async () => {
      const answer = await fetch(url);
      assert.match(answer.headers.get("content-security-policy") ?? "", /default-src 'none'/);
      assert.ok(answer.headers.get("etag"));
    }],
  ];
}
