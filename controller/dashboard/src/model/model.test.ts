import { describe, expect, it } from "vitest";
import { shop } from "../../fixtures/generate.mjs";
import { decodeState } from "./decode";
import { bytes, count, micros, percent, rate, stayWords, triple } from "./format";
import { currentPlan, ends, planMarks, waitingPlan } from "./plan";
import { isSlow, level, localFloor } from "./severity";
import { EDGE_COLUMNS, edgeRows, parseSort, sortRows } from "./table";
import { DEFAULT_VIEW, formatView, parseView, type View } from "./url";

const state = decodeState(shop());

describe("format", () => {
  it("says where calls stay in one way", () => {
    const edge = decodeState(shop({ plan: "merging" })).edges.find((one) => one.inside);
    if (!edge?.inside) throw new Error("the fixture has a merged edge");
    expect(stayWords(edge)).toBe("46 % inside the pod");
    expect(stayWords({ ...edge, inside: { ...edge.inside, share: 1 } })).toBe("inside the pod");
    expect(stayWords({ ...edge, inside: undefined, localShare: 0.5 })).toBe("50 % local");
    expect(stayWords({ ...edge, inside: undefined, localShare: undefined })).toBe("");
  });

  it("writes numbers in one short form", () => {
    expect([0, 999, 1000, 12_345, 999_999, 12_000_000].map(micros)).toEqual(["0 µs", "999 µs", "1.00 ms", "12.3 ms", "1000 ms", "12.0 s"]);
    expect(triple(900, 3400, 12_000)).toBe("0.90 / 3.4 / 12 ms");
    expect([0, 0.04, 3.21, 186.2, 12_400].map(rate)).toEqual(["0", "0.04", "3.2", "186", "12.4 k"]);
    expect([0, 0.00001, 0.0021, 0.021, 0.62, 0.999, 1].map(percent)).toEqual(["0 %", "< 0.01 %", "0.21 %", "2.1 %", "62 %", "99.9 %", "100 %"]);
    expect(bytes(257_000)).toBe("257.0 kB/s");
    expect(count(1_234_567)).toBe("1\u202f234\u202f567");
  });
});

describe("severity", () => {
  it("measures against same-node calls, and against the median edge where there are none", () => {
    const floor = localFloor(state.edges);
    expect(floor?.from).toBe("sameNode");
    const remote = state.edges.map((edge) => ({ ...edge, localities: {} }));
    expect(localFloor(remote)?.from).toBe("median");
    expect(localFloor([])).toBeUndefined();
  });

  it("has levels in order, and none without enough requests", () => {
    const edge = state.edges[1];
    if (!edge?.total.network) throw new Error("the fixture has a network part");
    const at = (times: number) => level({ ...edge.total, network: { p50Us: 1, p95Us: 1, p99Us: 1000 * times } }, { us: 1000, from: "sameNode" });
    expect([1, 1.99, 2, 4.99, 5].map(at)).toEqual(["near", "near", "far", "far", "veryFar"]);
    expect(level({ ...edge.total, reliable: false }, { us: 1000, from: "sameNode" })).toBe("unknown");
    expect(level(edge.total, undefined)).toBe("unknown");
  });

  it("calls only edges slow that Huddle could make faster", () => {
    const edge = state.edges[0];
    if (!edge) throw new Error("the fixture has edges");
    const cause = (name: string) => isSlow({ ...edge, finding: { cause: name, sentence: "" } });
    expect(["distance", "pressure", "chatter", "inside", "notEnoughData", "notDistance"].map(cause)).toEqual([true, true, true, false, false, false]);
  });
});

describe("plan", () => {
  it("marks movers, rules, routes and edges", () => {
    const plan = currentPlan(state);
    if (!plan) throw new Error("the fixture has a plan");
    const marks = planMarks(state, plan);
    expect(marks.moves.map((move) => move.workload)).toEqual(["shop/productcatalog", "shop/currency", "shop/currency", "shop/cart"]);
    expect([...marks.ruled.keys()]).toEqual([...marks.routed.keys()]);
    expect([...marks.edges]).toEqual(plan.expected.map(ends));
  });

  it("marks the two ends of a merge, and nothing of one that was taken back", () => {
    const merging = decodeState(shop({ plan: "merging" }));
    const [plan] = merging.plans;
    const [step] = plan?.actions ?? [];
    if (!plan || !step) throw new Error("the fixture has a plan with a step");
    const marks = planMarks(merging, plan);
    expect(marks.joinings).toMatchObject([{ caller: "shop/frontend", callee: "shop/currency", done: false }]);
    expect([...marks.edges]).toEqual(["shop/frontend>shop/currency"]);
    expect([...marks.merging.keys()]).toEqual([...marks.edges]);
    expect(marks.ruled.size).toBe(0);
    const back = planMarks(merging, { ...plan, actions: [{ ...step, state: "undone" }] });
    expect([back.joinings, [...back.edges], [...back.merging]]).toEqual([[], [], []]);
  });

  it("prefers the plan asked for, then the newest open one", () => {
    const [open] = state.plans;
    if (!open) throw new Error("the fixture has a plan");
    const plans = [{ ...open, id: "old", createdAt: 1 }, { ...open, id: "new", createdAt: 2 }, { ...open, id: "closed", phase: "rolledBack", createdAt: 3 }];
    expect(currentPlan({ ...state, plans })?.id).toBe("new");
    expect(currentPlan({ ...state, plans }, "old")?.id).toBe("old");
    expect(currentPlan({ ...state, plans: plans.slice(2) })?.id).toBe("closed");
    expect(currentPlan({ ...state, plans: [] })).toBeUndefined();
  });

  it("stays with the plan that was watched when the next one is proposed", () => {
    const [open] = state.plans;
    if (!open) throw new Error("the fixture has a plan");
    const proved = { ...open, id: "watched", phase: "proved", createdAt: 1 };
    const next = { ...open, id: "next", phase: "proposed", createdAt: 2 };
    const plans = [proved, next];
    expect(currentPlan({ ...state, plans })?.id).toBe("next");
    expect(currentPlan({ ...state, plans }, undefined, "watched")?.id).toBe("watched");
    expect(waitingPlan({ ...state, plans }, proved)?.id).toBe("next");
    expect(waitingPlan({ ...state, plans }, next)).toBeUndefined();
    const acting = [proved, { ...next, phase: "acting" }];
    expect(currentPlan({ ...state, plans: acting }, undefined, "watched")?.id).toBe("next");
  });
});

describe("table", () => {
  it("sorts by figures, missing ones last in both directions", () => {
    const column = EDGE_COLUMNS.find((c) => c.key === "net99");
    const rows = state.edges.map((edge, i) => (i === 2 ? { ...edge, total: { ...edge.total, network: undefined } } : edge));
    for (const descending of [true, false]) {
      const sorted = sortRows(rows, column, descending, (edge) => edge.id);
      expect(sorted.at(-1)?.id).toBe(rows[2]?.id);
      const values = sorted.slice(0, -1).map((edge) => edge.total.network?.p99Us ?? 0);
      expect(values).toEqual([...values].sort((a, b) => (descending ? b - a : a - b)));
    }
  });

  it("has the same edges as the state, and those of the filters", () => {
    const rows = (onlySlow: boolean, onlyErrors: boolean) => edgeRows(state, { onlySlow, onlyErrors }, undefined, () => []);
    expect(rows(false, false)).toEqual(state.edges);
    expect(rows(true, false)).toEqual(state.edges.filter(isSlow));
    expect(rows(false, true)).toEqual(state.edges.filter((edge) => edge.total.errors > 0));
  });

  it("reads the sort from the address", () => {
    expect(parseSort("p99.desc", "rps.desc")).toEqual({ key: "p99", descending: true });
    expect(parseSort(undefined, "rps.desc")).toEqual({ key: "rps", descending: true });
  });
});

describe("url", () => {
  it("writes only what differs, and reads back what it wrote", () => {
    expect(formatView(DEFAULT_VIEW)).toBe("");
    const view: View = { view: "list", tab: "workloads", group: "zone", metric: "network", find: "a b&c", slow: true, errors: true, all: true, plan: false, planId: "p", selected: "shop/x>shop/y>grpc", toggled: ["zone:a", "zone:b"], sort: "in.asc" };
    expect(parseView(formatView(view))).toEqual(view);
    expect(parseView("")).toEqual(DEFAULT_VIEW);
  });

  it("falls back to the default where an old link says something unknown", () => {
    expect(parseView("?group=rack&metric=mean&view=3d")).toEqual(DEFAULT_VIEW);
  });
});
