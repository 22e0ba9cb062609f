import { describe, expect, it } from "vitest";
import { mesh, shop } from "../../fixtures/generate.mjs";
import { decodeState } from "./decode";
import { buildScene, EDGE_LIMIT, GROUPINGS, matcher, thickness, type SceneOptions } from "./scene";

const options: SceneOptions = { grouping: "namespace", toggled: new Set(), onlySlow: false, onlyErrors: false, allEdges: false };
const small = decodeState(shop());
const large = decodeState(mesh({ services: 900, edges: 3600 }));

describe("buildScene", () => {
  it("shows every workload and every edge of a small mesh, whichever boxes are drawn", () => {
    for (const grouping of GROUPINGS) {
      const scene = buildScene(small, { ...options, grouping });
      expect(new Set(scene.nodes.map((n) => n.workload?.id))).toEqual(new Set(small.workloads.map((w) => w.id)));
      expect(new Set(scene.edges.flatMap((e) => e.edges.map((one) => one.id)))).toEqual(new Set(small.edges.map((e) => e.id)));
      expect(scene.hidden).toEqual({ belowLimit: 0, insideBoxes: 0, filtered: 0 });
    }
  });

  it("splits an edge over nodes without changing its rate", () => {
    const scene = buildScene(small, { ...options, grouping: "node" });
    for (const edge of small.edges) {
      const lines = scene.edges.filter((line) => line.edges[0]?.id === edge.id);
      expect(lines.reduce((sum, line) => sum + line.rps, 0)).toBeCloseTo(edge.rps, 6);
      for (const line of lines) expect(line.locality === "sameNode").toBe(line.source.split("@")[1] === line.destination.split("@")[1]);
    }
  });

  it("draws empty nodes as empty boxes", () => {
    const state = { ...small, cluster: { ...small.cluster, nodes: [...small.cluster.nodes, { name: "node-9", zone: "zone-b", ready: true }] } };
    const box = buildScene(state, { ...options, grouping: "node" }).groups.find((group) => group.id === "node:node-9");
    expect(box).toMatchObject({ members: 0, collapsed: false });
  });

  it("closes the boxes of a large mesh and accounts for every edge", () => {
    const scene = buildScene(large, options);
    expect(scene.groups.every((group) => group.collapsed)).toBe(true);
    expect(scene.nodes.length).toBe(scene.groups.length);
    expect(scene.edges.length).toBeLessThanOrEqual(EDGE_LIMIT);
    const all = buildScene(large, { ...options, allEdges: true });
    expect(all.edges.flatMap((e) => e.edges).length + all.hidden.insideBoxes).toBe(large.edges.length);
    expect(scene.hidden.belowLimit).toBe(all.edges.length - scene.edges.length);
  });

  it("opens one box on request, with its workloads and their calls", () => {
    const group = buildScene(large, options).groups[3]?.id ?? "";
    const scene = buildScene(large, { ...options, toggled: new Set([group]) });
    const namespace = group.slice("namespace:".length);
    expect(new Set(scene.nodes.filter((n) => n.group === group).map((n) => n.workload?.id))).toEqual(new Set(large.workloads.filter((w) => w.namespace === namespace).map((w) => w.id)));
  });

  it("never averages quantiles: a line of several edges has none of its own", () => {
    const scene = buildScene(large, { ...options, allEdges: true });
    for (const line of scene.edges) expect(line.part === undefined).toBe(line.edges.length > 1);
  });

  it("keeps the edges of the selection and the slow ones above the limit", () => {
    const open = { ...options, grouping: "none" as const };
    const quiet = [...large.edges].sort((a, b) => a.rps - b.rps)[0];
    const scene = buildScene(large, { ...open, selected: quiet?.id });
    expect(scene.edges.length).toBe(EDGE_LIMIT);
    expect(scene.edges.some((line) => line.id === quiet?.id)).toBe(true);
    expect(scene.edges.filter((line) => line.slow).length).toBe(large.edges.filter((e) => e.finding).length);
  });

  it("filters and says how much", () => {
    const scene = buildScene(small, { ...options, onlySlow: true });
    expect(scene.edges.every((line) => line.slow)).toBe(true);
    expect(scene.edges.length + scene.hidden.filtered).toBe(small.edges.length);
    expect(scene.nodes.length).toBe(small.workloads.length);
    expect(buildScene(small, { ...options, onlyErrors: true }).edges.every((line) => line.errorRate > 0)).toBe(true);
  });
});

describe("a merge", () => {
  const FRONTEND = "shop/frontend";
  const EDGE = "shop/frontend>shop/currency>grpc";
  const [under, done] = [decodeState(shop({ plan: "merging" })), decodeState(shop({ plan: "merged" }))];
  const edgeOf = (state: typeof done) => state.edges.find((edge) => edge.id === EDGE);

  it("is drawn inside the caller's card, in every grouping, without changing the edge's rate", () => {
    for (const grouping of GROUPINGS) {
      for (const state of [under, done]) {
        const scene = buildScene(state, { ...options, grouping });
        const cards = scene.nodes.filter((node) => node.workload?.id === FRONTEND);
        expect(cards.every((node) => node.inside.length === 1 && node.inside[0]?.edge.id === EDGE && !node.lonely)).toBe(true);
        expect(scene.nodes.filter((node) => node.workload?.id !== FRONTEND && node.inside.length > 0)).toEqual([]);
        const outside = scene.edges.filter((line) => line.edges[0]?.id === EDGE).reduce((sum, line) => sum + line.rps, 0);
        const inside = cards.reduce((sum, node) => sum + (node.inside[0]?.rps ?? 0), 0);
        // Requests are whole numbers.
        expect(Math.abs(inside + outside - (edgeOf(state)?.rps ?? 0))).toBeLessThan(0.05);
        expect(inside / (inside + outside)).toBeCloseTo(edgeOf(state)?.inside?.share ?? -1, 2);
      }
    }
  });

  it("leaves a line for the calls that leave the pod, with their own figures, and none where all stay", () => {
    const line = buildScene(under, options).edges.find(({ id }) => id === EDGE);
    expect(line?.part).toBe(edgeOf(under)?.inside?.outside);
    expect(buildScene(done, options).edges.some(({ id }) => id === EDGE)).toBe(false);
  });

  it("keeps the callee's own card while it serves others, and drops it when all of its calls are inside", () => {
    const has = (state: typeof done, grouping = options.grouping) => buildScene(state, { ...options, grouping }).nodes.some((node) => node.workload?.id === "shop/currency");
    expect(has(done)).toBe(true);
    const alone = { ...done, edges: done.edges.filter((edge) => edge.destination !== "shop/currency" || edge.id === EDGE) };
    expect(has(alone)).toBe(false);
    // Boxes of nodes show pods, and the ones that stand by are there.
    expect(has(alone, "node")).toBe(true);
    expect(has({ ...alone, edges: alone.edges.map((edge) => (edge.id === EDGE && edge.inside ? { ...edge, inside: { ...edge.inside, outside: edge.total } } : edge)) })).toBe(true);
  });

  it("stays drawn under a filter, without figures, and is counted as filtered", () => {
    const scene = buildScene(done, { ...options, onlyErrors: true });
    expect(scene.nodes.find((node) => node.workload?.id === FRONTEND)?.inside).toMatchObject([{ filtered: true }]);
    expect(scene.edges.length + scene.hidden.filtered).toBe(done.edges.length);
  });
});

describe("matcher", () => {
  it("wants every word, in any case and order", () => {
    const match = matcher("NODE-1 cart");
    expect(match?.("cart", "shop", "node-1")).toBe(true);
    expect(match?.("cart", "shop", "node-2")).toBe(false);
    expect(matcher("  ")).toBeUndefined();
  });
});

describe("thickness", () => {
  it("grows with the rate and stays within a hair and 7 px", () => {
    const widths = [0, 1, 10, 100, 1000].map((rps) => thickness(rps, 1000));
    expect([...widths].sort((a, b) => a - b)).toEqual(widths);
    expect(Math.min(...widths)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...widths)).toBeLessThanOrEqual(7);
  });
});
