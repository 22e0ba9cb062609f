/** What the page knows of the mesh. Made by `decode` from the controller's JSON; nothing else makes one. */

/** Quantiles in microseconds. Taken by the controller from merged histograms: never average them. */
export interface Quantiles {
  p50Us: number;
  p95Us: number;
  p99Us: number;
}

/** Requests of one edge (or one locality class of it) in the window. */
export interface Part extends Quantiles {
  requests: number;
  errors: number;
  /** Network and proxies: the only part that moving pods can remove. Absent where the callee's side is missing. */
  network?: Quantiles;
  /** The callee's own time. Absent where the callee's side is missing. */
  served?: Quantiles;
  /** False below 100 requests: then p99 is little more than the slowest request. */
  reliable: boolean;
}

export const LOCALITIES = ["samePod", "sameNode", "sameZone", "otherZone"] as const;
export type Locality = (typeof LOCALITIES)[number];

export interface Pod {
  name: string;
  node?: string;
  zone?: string;
  ready: boolean;
  reporting: boolean;
}

export interface Workload {
  id: string;
  namespace: string;
  name: string;
  kind: string;
  replicas: number;
  ready: number;
  reporting: number;
  pods: Pod[];
  /** As far as it is told. */
  containers: Container[];
}

/** A container of a workload: counts of all its pods, and the height of the pod that stands highest. */
export interface Container {
  name: string;
  pods: number;
  cpuUsedM: number;
  cpuPeakM: number;
  cpuRequestM?: number;
  /** Absent: none. */
  cpuLimitM?: number;
  /** Throttled periods, as a share of all. */
  throttled: number;
  memoryPeakBytes: number;
  memoryLimitBytes?: number;
  kills: number;
}

export interface Finding {
  cause: string;
  sentence: string;
}

export interface Edge {
  /** `source>destination>protocol`, unique in one state. */
  id: string;
  source: string;
  destination: string;
  protocol: string;
  rps: number;
  errorRate: number;
  bytesPerSecond: number;
  total: Part;
  localities: Partial<Record<Locality, Part>>;
  /** Same pod and same node, as a share of the requests; absent while there are no requests. */
  localShare?: number;
  finding?: Finding;
  /** Where the finding is chatter: whether to run the callee inside the caller's pods. */
  merge?: Merging;
  /** Where calls of it stay inside the caller's pods. */
  inside?: Inside;
}

/** Calls that stay inside the caller's pods. */
export interface Inside {
  /** Absent where no plan of it is known any more. */
  plan?: string;
  /** Of the edge's calls. */
  share: number;
  /** The calls that left the pod, merged by the controller. */
  outside?: Part;
  sentence: string;
}

/** What a callee inside its caller's pods brings and costs. All words are the controller's. */
export interface Merging {
  source: string;
  destination: string;
  sentence: string;
  ways: Way[];
  /** Where the figures of `ways` come from. */
  basis: string;
  /** Asked for by the containers that each pod would hold more. */
  cpuRequestM: number;
  memoryRequestBytes: number;
  cost: string;
  effects: string[];
  against: Step[];
  /** Which command asks for it. */
  ask: string;
}

/** What one way in would make of a call. */
export interface Way {
  way: string;
  /** On one node today, then expected inside the pod. */
  networkP50Us: Interval;
  sentence: string;
}

/** One stage of a step that has several. */
export interface Stage {
  stage: string;
  sentence: string;
  state: string;
}

export interface Step {
  /** `place`, `move`, `route`, `merge`…; for refusals the reason's label. */
  kind: string;
  sentence: string;
  workload?: string;
  pod?: string;
  from?: string;
  to?: string;
  state?: string;
  /** For refusals: what would have to change. */
  remedy?: string;
  stages: Stage[];
}

export type Pair = [before: number, after: number];
export type Interval = [before: number, low: number, high: number];

export interface Expectation {
  source: string;
  destination: string;
  localShare: Pair;
  networkP50Us: Interval;
  networkP99Us: Interval;
}

export interface Proof {
  source: string;
  destination: string;
  localShare: Pair;
  before: Part;
  /** Same-node requests of the before window: what the move was to reach. */
  localBefore: Part;
  after: Part;
  /** What happened to this edge's network part alone: improved, unchanged, regressed, waiting. */
  verdict: string;
}

/** All edges acted on, merged by the controller. */
export interface Together {
  localShare: Pair;
  gapClosedP50: number;
  gapClosedP99: number;
  shareOfCalls: number;
  podsMoved: number;
}

export interface Spread {
  workload: string;
  nodes: Pair;
  zones: Pair;
}

export interface Plan {
  id: string;
  phase: string;
  summary: string;
  createdAt?: number;
  actions: Step[];
  refusals: Step[];
  expected: Expectation[];
  merging: Merging[];
  proof: Proof[];
  together?: Together;
  spread: Spread[];
  verdict?: { outcome: string; sentence: string };
}

export interface ClusterNode {
  name: string;
  zone?: string;
  ready: boolean;
}

export interface SilentPod {
  pod: string;
  namespace: string;
  reason: string;
  sentence: string;
}

/** A node of whose containers nothing is known. */
export interface BlindNode {
  node: string;
  reason: string;
  sentence: string;
}

export interface State {
  /** Milliseconds since the epoch, by the controller's clock. */
  at: number;
  windowMs: number;
  cluster: { name: string; nodes: ClusterNode[] };
  workloads: Workload[];
  edges: Edge[];
  plans: Plan[];
  silent: SilentPod[];
  blind: BlindNode[];
  /** Items this page could not read, with the field that was wrong. Shown, never hidden. */
  unreadable: string[];
}
