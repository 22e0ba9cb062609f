// Generated meshes of 500 and 5 000 services: nothing hidden without a count, and the page stays usable.
// Times are printed, not judged: a shared machine decides them, not the page. The counts of work are judged.
import assert from "node:assert/strict";
import { mesh } from "../fixtures/generate.mjs";
import { edgeId, graph, sorted, visit } from "./kit.mjs";
import { serve } from "./serve.mjs";

async function frames(page) {
  return page.evaluate(async () => {
    const canvas = document.querySelector(".graph canvas");
    const times = [];
    for (let i = 0; i < 40; i++) {
      canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: i < 20 ? -30 : 30, clientX: 500, clientY: 400, bubbles: true, cancelable: true }));
      const began = performance.now();
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b)[20];
  });
}

function at(services, edges, query, use) {
  return async (browser) => {
    const state = mesh({ services, edges });
    const server = await serve(state);
    try {
      return await visit(browser, server.url + query, {}, async (page) => {
        const drawn = await graph(page);
        await use(page, drawn, state);
        return `first paint ${Math.round(drawn.firstPaint)} ms after navigation, ${drawn.painted.nodes} cards, ${drawn.painted.edges} lines, median zoom frame ${(await frames(page)).toFixed(1)} ms`;
      });
    } finally {
      await server.close();
    }
  };
}

function accounted(drawn, state) {
  assert.equal(drawn.edges.length + drawn.hidden.insideBoxes + drawn.hidden.filtered >= state.edges.length || drawn.hidden.belowLimit > 0, true, "what is not drawn is counted");
}

async function fiveHundred(_page, drawn, state) {
  assert.deepEqual(sorted(drawn.nodes), sorted(state.workloads.map((w) => w.id)));
  assert.equal(drawn.edges.length + drawn.hidden.belowLimit, state.edges.length);
  for (const edge of state.edges.filter((one) => one.finding)) assert.ok(drawn.edges.includes(edgeId(edge)), "slow edges are always drawn");
}

async function allOfThem(_page, drawn, state) {
  assert.deepEqual(sorted(drawn.edges), sorted(state.edges.map(edgeId)));
  assert.equal(drawn.hidden.belowLimit, 0);
}

async function fiveThousand(page, drawn, state) {
  accounted(drawn, state);
  assert.ok(drawn.nodes.length < 200, "boxes are closed");
  assert.match(await page.locator(".hiddennote").innerText(), /quieter edges hidden · .+ inside closed boxes/);
  const namespace = drawn.nodes.find((id) => id.startsWith("namespace:"));
  const members = state.workloads.filter((w) => `namespace:${w.namespace}` === namespace);
  await page.evaluate((id) => window.huddle().place(id), namespace).then((place) => page.locator(".graph canvas").dblclick({ position: place }));
  await page.waitForFunction((id) => window.huddle().nodes.includes(id), members[0].id);
  const opened = await graph(page);
  for (const member of members) assert.ok(opened.nodes.includes(member.id), `${member.id} is drawn`);
}

async function longList(page, state) {
  await page.waitForSelector("table[aria-label=Edges]");
  assert.equal(await page.locator("table[aria-label=Edges]").getAttribute("aria-rowcount"), String(state.edges.length + 1));
  assert.ok((await page.locator("tr[data-id]").count()) < 200, "only the rows in sight are in the document");
  await page.locator("tr[data-index='0']").focus();
  await page.keyboard.press("End");
  await page.waitForFunction((last) => document.activeElement.dataset.index === last, String(state.edges.length - 1));
}

export function bigChecks() {
  return [
    ["500 services, 2 000 edges", at(500, 2000, "", fiveHundred)],
    ["500 services, all 2 000 edges drawn", at(500, 2000, "?all=1", allOfThem)],
    ["5 000 services, 20 000 edges", at(5000, 20000, "", fiveThousand)],
    ["a list of 20 000 edges", async (browser) => {
      const state = mesh({ services: 5000, edges: 20000 });
      const server = await serve(state);
      try {
        await visit(browser, `${server.url}?view=list`, {}, (page) => longList(page, state));
      } finally {
        await server.close();
      }
    }],
  ];
}
