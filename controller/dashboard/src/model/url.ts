/** View settings live in the address, so that a link shows the same view. Only what differs from the default is written. */
import { GROUPINGS, type Grouping } from "./scene";

export const METRICS = ["upstream", "network", "served"] as const;
/** Which time the labels show: whole call, network part, callee's own part. */
export type Metric = (typeof METRICS)[number];
export const TABS = ["edges", "workloads"] as const;
export type Tab = (typeof TABS)[number];

export interface View {
  view: "graph" | "list";
  tab: Tab;
  group: Grouping;
  metric: Metric;
  find: string;
  slow: boolean;
  errors: boolean;
  all: boolean;
  plan: boolean;
  planId?: string;
  /** Id of the selected workload or edge. */
  selected?: string;
  /** Boxes opened or closed against the default. */
  toggled: string[];
  sort?: string;
}

export const DEFAULT_VIEW: View = {
  view: "graph",
  tab: "edges",
  group: "namespace",
  metric: "upstream",
  find: "",
  slow: false,
  errors: false,
  all: false,
  plan: true,
  toggled: [],
};

function oneOf<T extends string>(values: readonly T[], value: string | null, fallback: T): T {
  return values.find((v) => v === value) ?? fallback;
}

/** Unknown or damaged settings fall back to the default: an old link still opens. */
export function parseView(search: string): View {
  const params = new URLSearchParams(search);
  return {
    view: oneOf(["graph", "list"] as const, params.get("view"), DEFAULT_VIEW.view),
    tab: oneOf(TABS, params.get("tab"), DEFAULT_VIEW.tab),
    group: oneOf(GROUPINGS, params.get("group"), DEFAULT_VIEW.group),
    metric: oneOf(METRICS, params.get("metric"), DEFAULT_VIEW.metric),
    find: params.get("find") ?? "",
    slow: params.get("slow") === "1",
    errors: params.get("errors") === "1",
    all: params.get("all") === "1",
    plan: params.get("plan") !== "0",
    planId: params.get("planId") ?? undefined,
    selected: params.get("sel") ?? undefined,
    toggled: params.getAll("box"),
    sort: params.get("sort") ?? undefined,
  };
}

export function formatView(view: View): string {
  const params = new URLSearchParams();
  if (view.view !== DEFAULT_VIEW.view) params.set("view", view.view);
  if (view.tab !== DEFAULT_VIEW.tab) params.set("tab", view.tab);
  if (view.group !== DEFAULT_VIEW.group) params.set("group", view.group);
  if (view.metric !== DEFAULT_VIEW.metric) params.set("metric", view.metric);
  if (view.find) params.set("find", view.find);
  if (view.slow) params.set("slow", "1");
  if (view.errors) params.set("errors", "1");
  if (view.all) params.set("all", "1");
  if (!view.plan) params.set("plan", "0");
  if (view.planId) params.set("planId", view.planId);
  if (view.selected) params.set("sel", view.selected);
  for (const box of view.toggled) params.append("box", box);
  if (view.sort) params.set("sort", view.sort);
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}
