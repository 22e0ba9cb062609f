import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { mesh, shop } from "../../fixtures/generate.mjs";
import { DecodeError, decodeState } from "./decode";

const part = { requests: 500, errors: 0, p50Us: 1, p95Us: 2, p99Us: 3, network: { p50Us: 0, p95Us: 0, p99Us: 0 }, served: { p50Us: 1, p95Us: 1, p99Us: 1 }, reliable: true };
const edge = { source: "a/x", destination: "a/y", protocol: "grpc", rps: 2, errorRate: 0, bytesPerSecond: 1, localShare: 0.5, total: part, localities: {} };

describe("contract", () => {
  // controller/src/dashboard/page.rs reads the same file into the controller's own types and back: what the generators
  // play is what the controller says.
  it.each([["contract", "proved"], ["contract-merged", "merged"]] as const)("%s.json holds the generated shop; `npm run contract` writes it anew", (file, plan) => {
    expect(JSON.parse(readFileSync(`fixtures/${file}.json`, "utf8"))).toEqual(JSON.parse(JSON.stringify(shop({ at: 0, plan }))));
  });
});

describe("decodeState", () => {
  it("reads what the generators make without a loss", () => {
    for (const state of [shop(), shop({ plan: "proved" }), shop({ plan: "chatter" }), shop({ plan: "merging" }), shop({ plan: "merged" }), mesh({ services: 60, edges: 200 })]) {
      const decoded = decodeState(JSON.parse(JSON.stringify(state)));
      expect(decoded.unreadable).toEqual([]);
      expect(decoded.workloads.length).toBe(state.workloads.length);
      expect(decoded.edges.map((e) => [e.source, e.destination, e.total.p99Us])).toEqual(state.edges.map((e) => [e.source, e.destination, e.total.p99Us]));
      expect(decoded.plans.length).toBe(state.plans.length);
    }
  });

  it("leaves out one bad edge, keeps the rest and names the field", () => {
    const state = decodeState({ at: 1, edges: [edge, { ...edge, source: 7 }, { ...edge, destination: "a/z", total: { ...part, p99Us: "slow" } }] });
    expect(state.edges.map((e) => e.id)).toEqual(["a/x>a/y>grpc"]);
    expect(state.unreadable).toEqual(["edges[1].source: expected text", "edges[2].total.p99Us: expected a number"]);
  });

  it("gives a node to a workload that only an edge names", () => {
    expect(decodeState({ at: 1, edges: [edge] }).workloads.map((w) => [w.id, w.namespace, w.name])).toEqual([["a/x", "a", "x"], ["a/y", "a", "y"]]);
  });

  it("takes zeros of an unmeasured part as not measured, and no share without requests", () => {
    const [read] = decodeState({ at: 1, edges: [edge] }).edges;
    expect(read?.total.network).toBeUndefined();
    expect(read?.total.served?.p99Us).toBe(1);
    expect(decodeState({ at: 1, edges: [{ ...edge, total: { ...part, requests: 0 } }] }).edges[0]?.localShare).toBeUndefined();
  });

  it("reads what is said of a merge, also by a controller that says less", () => {
    const merging = { source: "a/x", destination: "a/y", sentence: "Advice.", ways: [], cost: "Each.", effects: ["Security."], against: [{ kind: "port", sentence: "both", remedy: "move" }] };
    const state = decodeState({ at: 1, edges: [{ ...edge, merge: merging, inside: { share: 1.2, sentence: "Inside." } }, { ...edge, destination: "a/z", merge: { ...merging, effects: [7] } }] });
    expect(state.edges[0]?.merge).toMatchObject({ ask: "", basis: "", cpuRequestM: 0, against: [{ sentence: "both", remedy: "move", stages: [] }] });
    expect(state.edges[0]?.inside).toEqual({ plan: undefined, share: 1, outside: undefined, sentence: "Inside." });
    expect(state.unreadable).toEqual(["edges[1].merge.effects[0]: expected text"]);
  });

  it("refuses what is no state at all", () => {
    for (const wrong of [null, [], "state", {}, { at: "now" }, { at: 1, edges: {} }]) expect(() => decodeState(wrong)).toThrow(DecodeError);
  });

  it("names a wrong interval of a plan and keeps the other plans", () => {
    const good = { id: "p1", phase: "proposed" };
    const bad = { id: "p2", expected: [{ source: "a/x", destination: "a/y", localShare: [0, 1], networkP50Us: [1, 2], networkP99Us: [1, 2, 3] }] };
    const state = decodeState({ at: 1, plans: [good, bad] });
    expect(state.plans.map((p) => p.id)).toEqual(["p1"]);
    expect(state.unreadable).toEqual(["plans[1].expected[0].networkP50Us: expected 3 numbers"]);
  });
});
