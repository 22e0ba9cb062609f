/** Everything the page shows follows from these signals. */
import { batch, computed, effect, signal } from "@preact/signals";
import { currentPlan, isUnderWay, planMarks } from "./plan";
import { buildScene, matcher, type Scene } from "./scene";
import { isSlow } from "./severity";
import { Stream, type Connection } from "./stream";
import type { Edge, State, Workload } from "./types";
import { formatView, parseView, type View } from "./url";

export const state = signal<State | undefined>(undefined);
export const connection = signal<Connection>({ kind: "connecting" });
/** Local clock at the last state, for "updated … ago". */
export const receivedAt = signal(0);
export const view = signal<View>(parseView(location.search));
export const hovered = signal<string | undefined>(undefined);
/** Counts "show it" wishes: the graph brings the selection into sight when it changes. */
export const reveal = signal(0);

export function setView(change: Partial<View>): void {
  view.value = { ...view.value, ...change };
}

export function select(id: string | undefined, show = false): void {
  batch(() => {
    setView({ selected: id });
    if (show) reveal.value += 1;
  });
}

export function toggleBox(id: string): void {
  const { toggled } = view.value;
  setView({ toggled: toggled.includes(id) ? toggled.filter((box) => box !== id) : [...toggled, id] });
}

export const workloadsById = computed(() => new Map((state.value?.workloads ?? []).map((w) => [w.id, w] as const)));
export const edgesById = computed(() => new Map((state.value?.edges ?? []).map((e) => [e.id, e] as const)));

export const selectedWorkload = computed<Workload | undefined>(() => {
  const id = view.value.selected;
  return id === undefined ? undefined : workloadsById.value.get(id);
});
export const selectedEdge = computed<Edge | undefined>(() => {
  const id = view.value.selected;
  return id === undefined ? undefined : edgesById.value.get(id);
});

/** The plan that was last seen under way on this page. */
const watched = signal<string | undefined>(undefined);
export const plan = computed(() => {
  const current = state.value;
  return current ? currentPlan(current, view.value.planId, watched.value) : undefined;
});
export const marks = computed(() => {
  const current = state.value;
  return current && plan.value ? planMarks(current, plan.value) : undefined;
});
/** The plan as drawn on the graph: nothing where the user switched it off. */
export const drawnMarks = computed(() => (view.value.plan ? marks.value : undefined));

const sceneOptions = computed(() => {
  const { group, toggled, slow, errors, all, selected } = view.value;
  return { grouping: group, toggled: new Set(toggled), onlySlow: slow, onlyErrors: errors, allEdges: all, selected };
});
export const scene = computed<Scene | undefined>(() => (state.value ? buildScene(state.value, sceneOptions.value) : undefined));
export const match = computed(() => matcher(view.value.find));

export const summary = computed(() => {
  const current = state.value;
  if (!current) return undefined;
  const pods = current.workloads.reduce((sum, w) => sum + w.pods.length, 0);
  return {
    workloads: current.workloads.length,
    edges: current.edges.length,
    pods,
    reporting: current.workloads.reduce((sum, w) => sum + w.reporting, 0),
    slow: current.edges.filter(isSlow).length,
    errors: current.edges.filter((e) => e.total.errors > 0).length,
    rps: current.edges.reduce((sum, e) => sum + e.rps, 0),
    local: share(current.edges),
  };
});

/** Calls that stay on their node, over all edges that report it. */
function share(edges: readonly Edge[]): number | undefined {
  const known = edges.filter((e) => e.localShare !== undefined);
  const rps = known.reduce((sum, e) => sum + e.rps, 0);
  return rps > 0 ? known.reduce((sum, e) => sum + e.rps * (e.localShare ?? 0), 0) / rps : undefined;
}

/** Starts the stream and keeps address and view in step. Called once. */
export function start(): void {
  new Stream("./api/v1/stream", {
    state: (next) =>
      batch(() => {
        state.value = next;
        watched.value = next.plans.find(isUnderWay)?.id ?? watched.value;
        receivedAt.value = Date.now();
      }),
    connection: (next) => {
      connection.value = next;
    },
  });
  let written = location.search;
  effect(() => {
    const search = formatView(view.value);
    if (search === written) return;
    written = search;
    history.replaceState(null, "", search === "" ? location.pathname : search);
  });
  window.addEventListener("popstate", () => {
    written = location.search;
    view.value = parseView(location.search);
  });
}
