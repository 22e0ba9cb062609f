import { describe, expect, it } from "vitest";
import { mesh, shop } from "../../fixtures/generate.mjs";
import { decodeState } from "../model/decode";
import { buildScene, type Grouping } from "../model/scene";
import type { State } from "../model/types";
import { layoutAll } from "./boxes";
import { ranks } from "./layered";
import { needsLayout, placeNew } from "./pins";
import { PAD, TITLE, type LayoutRequest, type LayoutResult } from "./types";

function request(state: State, grouping: Grouping): LayoutRequest {
  const scene = buildScene(state, { grouping, toggled: new Set(), onlySlow: false, onlyErrors: false, allEdges: true });
  return {
    nodes: scene.nodes.map((node) => ({ id: node.id, group: node.group, w: 150, h: 46 })),
    edges: scene.edges.map((edge) => ({ id: edge.id, source: edge.source, destination: edge.destination, weight: edge.rps, label: scene.edges.length < 60 ? { w: 150, h: 40 } : undefined })),
    groups: scene.groups.filter((group) => !group.collapsed).map(({ id, column }) => ({ id, column })),
    aspect: 1.4,
  };
}

function cardsApart(asked: LayoutRequest, positions: ReadonlyMap<string, { x: number; y: number }>): void {
  const placed = asked.nodes.map((node) => {
    const at = positions.get(node.id);
    if (!at) throw new Error(`${node.id} has no place`);
    return { ...node, ...at };
  });
  const over = placed.flatMap((a, i) => placed.slice(i + 1).flatMap((b) => (Math.abs(a.x - b.x) < (a.w + b.w) / 2 && Math.abs(a.y - b.y) < (a.h + b.h) / 2 ? [`${a.id} over ${b.id}`] : [])));
  expect(over).toEqual([]);
}

function boxes(asked: LayoutRequest, result: LayoutResult) {
  return asked.groups.flatMap((group) => {
    const members = asked.nodes.filter((node) => node.group === group.id).flatMap((node) => result.positions.get(node.id) ?? []);
    if (members.length === 0) return [];
    return [{ id: group.id, left: Math.min(...members.map((p) => p.x)) - 75 - PAD, right: Math.max(...members.map((p) => p.x)) + 75 + PAD, top: Math.min(...members.map((p) => p.y)) - 23 - TITLE, bottom: Math.max(...members.map((p) => p.y)) + 23 + PAD }];
  });
}

describe("layoutAll", () => {
  const cases: [string, State, Grouping][] = [
    ["shop by namespace", decodeState(shop()), "namespace"],
    ["shop by node", decodeState(shop()), "node"],
    ["shop by zone", decodeState(shop()), "zone"],
    ["shop without boxes", decodeState(shop()), "none"],
    ["300 services by namespace", decodeState(mesh({ services: 300, edges: 1200 })), "namespace"],
    ["300 services without boxes", decodeState(mesh({ services: 300, edges: 1200 })), "none"],
    ["a closed large mesh", decodeState(mesh({ services: 900, edges: 2700 })), "namespace"],
  ];
  it.each(cases)("%s: every card has a place of its own, and boxes stand apart", (_name, state, grouping) => {
    const asked = request(state, grouping);
    const result = layoutAll(asked);
    cardsApart(asked, result.positions);
    const found = boxes(asked, result);
    for (const [i, a] of found.entries()) {
      for (const b of found.slice(i + 1)) expect(a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1, `${a.id} over ${b.id}`).toBe(true);
    }
  });

  it("gives the same places for the same question", () => {
    const asked = request(decodeState(shop()), "namespace");
    expect([...layoutAll(asked).positions]).toEqual([...layoutAll(asked).positions]);
  });

  it("stands callers left of callees", () => {
    const asked = request(decodeState(shop()), "namespace");
    const { positions } = layoutAll(asked);
    for (const edge of asked.edges) expect(positions.get(edge.source)?.x ?? 0, edge.id).toBeLessThan(positions.get(edge.destination)?.x ?? 0);
  });

  it("places empty boxes too", () => {
    const asked = request(decodeState(shop()), "node");
    const result = layoutAll({ ...asked, groups: [...asked.groups, { id: "node:spare", column: 0 }] });
    expect(result.empty.has("node:spare")).toBe(true);
  });

  it("survives cycles, self-calls and twice the same call", () => {
    const nodes = ["a", "b", "c"].map((id) => ({ id, w: 100, h: 40 }));
    const edges = [["a", "b"], ["b", "c"], ["c", "a"], ["a", "a"], ["a", "b"]].map(([source = "", destination = ""], i) => ({ id: String(i), source, destination, weight: 1 }));
    expect(layoutAll({ nodes, edges, groups: [], aspect: 1 }).positions.size).toBe(3);
    expect([...ranks(["a", "b", "c"], edges).values()].sort()).toEqual([0, 1, 2]);
  });
});

describe("pins", () => {
  const state = decodeState(mesh({ services: 120, edges: 400 }));
  const asked = request(state, "namespace");

  it("leaves known places alone and puts new cards where nothing stands", () => {
    const positions = new Map(layoutAll(asked).positions);
    const gone = asked.nodes.filter((_, i) => i % 7 === 0).map((node) => node.id);
    for (const id of gone) positions.delete(id);
    const before = new Map(positions);
    expect(needsLayout(asked.nodes, positions)).toBe(false);
    expect(new Set(placeNew(asked.nodes, asked.edges, positions))).toEqual(new Set(gone));
    for (const [id, at] of before) expect(positions.get(id)).toEqual(at);
    cardsApart(asked, positions);
  });

  it("asks for a layout when most is new", () => {
    expect(needsLayout(asked.nodes, new Map())).toBe(true);
    expect(needsLayout([], new Map())).toBe(false);
  });
});
