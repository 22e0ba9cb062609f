/**
 * The border: JSON of the controller becomes a `State` that cannot be wrong, or an error that names the field.
 * One bad workload, edge or plan costs itself only; it is listed in `State.unreadable`.
 */
import {
  LOCALITIES,
  type Container,
  type Edge,
  type Expectation,
  type Finding,
  type Inside,
  type Interval,
  type Locality,
  type Merging,
  type Part,
  type Pair,
  type Plan,
  type Pod,
  type Proof,
  type Quantiles,
  type Spread,
  type Stage,
  type State,
  type Step,
  type Together,
  type Way,
  type Workload,
} from "./types";

export class DecodeError extends Error {
  constructor(field: string, wanted: string) {
    super(`${field}: expected ${wanted}`);
  }
}

type Fields = Record<string, unknown>;

function object(value: unknown, at: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new DecodeError(at, "an object");
  return value as Fields;
}
function text(fields: Fields, key: string, at: string): string {
  const value = fields[key];
  if (typeof value !== "string") throw new DecodeError(`${at}.${key}`, "text");
  return value;
}
function optionalText(fields: Fields, key: string): string | undefined {
  const value = fields[key];
  return typeof value === "string" && value !== "" ? value : undefined;
}
function number(fields: Fields, key: string, at: string, fallback?: number): number {
  const value = fields[key];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (fallback !== undefined && (value === undefined || value === null)) return fallback;
  throw new DecodeError(`${at}.${key}`, "a number");
}
function list(fields: Fields, key: string, at: string): unknown[] {
  const value = fields[key];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new DecodeError(`${at}.${key}`, "a list");
  return value;
}

/** Three quantiles, or nothing where nothing was measured (the controller then writes zeros). */
function quantiles(value: unknown, at: string): Quantiles | undefined {
  if (value === undefined || value === null) return undefined;
  const fields = object(value, at);
  const found = { p50Us: number(fields, "p50Us", at, 0), p95Us: number(fields, "p95Us", at, 0), p99Us: number(fields, "p99Us", at, 0) };
  return found.p99Us > 0 ? found : undefined;
}

function part(value: unknown, at: string): Part {
  const fields = object(value, at);
  const requests = number(fields, "requests", at);
  return {
    requests,
    errors: number(fields, "errors", at, 0),
    p50Us: number(fields, "p50Us", at, 0),
    p95Us: number(fields, "p95Us", at, 0),
    p99Us: number(fields, "p99Us", at, 0),
    network: quantiles(fields.network, `${at}.network`),
    served: quantiles(fields.served, `${at}.served`),
    reliable: typeof fields.reliable === "boolean" ? fields.reliable : requests >= 100,
  };
}

function pod(value: unknown, at: string): Pod {
  const fields = object(value, at);
  return {
    name: text(fields, "name", at),
    node: optionalText(fields, "node"),
    zone: optionalText(fields, "zone"),
    ready: fields.ready === true,
    reporting: fields.reporting === true,
  };
}

function container(value: unknown, at: string): Container {
  const fields = object(value, at);
  const optional = (key: string) => (fields[key] === undefined || fields[key] === null ? undefined : number(fields, key, at));
  return {
    name: text(fields, "name", at),
    pods: number(fields, "pods", at, 0),
    cpuUsedM: number(fields, "cpuUsedM", at, 0),
    cpuPeakM: number(fields, "cpuPeakM", at, 0),
    cpuRequestM: optional("cpuRequestM"),
    cpuLimitM: optional("cpuLimitM"),
    throttled: number(fields, "throttled", at, 0),
    memoryPeakBytes: number(fields, "memoryPeakBytes", at, 0),
    memoryLimitBytes: optional("memoryLimitBytes"),
    kills: number(fields, "kills", at, 0),
  };
}

function workload(value: unknown, at: string): Workload {
  const fields = object(value, at);
  const id = text(fields, "id", at);
  const pods = list(fields, "pods", at).map((item, i) => pod(item, `${at}.pods[${i}]`));
  return {
    id,
    namespace: optionalText(fields, "namespace") ?? id.split("/")[0] ?? "",
    name: optionalText(fields, "name") ?? id.split("/").at(-1) ?? id,
    kind: optionalText(fields, "kind") ?? "",
    replicas: number(fields, "replicas", at, 0),
    ready: number(fields, "ready", at, 0),
    reporting: pods.filter((p) => p.reporting).length,
    pods,
    containers: list(fields, "containers", at).map((item, i) => container(item, `${at}.containers[${i}]`)),
  };
}

function finding(value: unknown, at: string): Finding | undefined {
  if (value === undefined || value === null) return undefined;
  const fields = object(value, at);
  return {
    cause: text(fields, "cause", at),
    sentence: text(fields, "sentence", at),
  };
}

export function edgeId(source: string, destination: string, protocol: string): string {
  return `${source}>${destination}>${protocol}`;
}

function edge(value: unknown, at: string): Edge {
  const fields = object(value, at);
  const source = text(fields, "source", at);
  const destination = text(fields, "destination", at);
  const protocol = optionalText(fields, "protocol") ?? "";
  const classes = fields.localities === undefined || fields.localities === null ? {} : object(fields.localities, `${at}.localities`);
  const localities: Partial<Record<Locality, Part>> = {};
  for (const name of LOCALITIES) {
    const found = classes[name];
    if (found !== undefined && found !== null) localities[name] = part(found, `${at}.localities.${name}`);
  }
  const total = part(fields.total, `${at}.total`);
  const localShare = fields.localShare;
  return {
    id: edgeId(source, destination, protocol),
    source,
    destination,
    protocol,
    rps: number(fields, "rps", at, 0),
    errorRate: number(fields, "errorRate", at, 0),
    bytesPerSecond: number(fields, "bytesPerSecond", at, 0),
    total,
    localities,
    localShare: typeof localShare === "number" && Number.isFinite(localShare) && total.requests > 0 ? Math.min(1, Math.max(0, localShare)) : undefined,
    finding: finding(fields.finding, `${at}.finding`),
    merge: optional(fields.merge, `${at}.merge`, merging),
    inside: optional(fields.inside, `${at}.inside`, inside),
  };
}

function optional<T>(value: unknown, at: string, read: (value: unknown, at: string) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value, at);
}

function all<T>(fields: Fields, key: string, at: string, read: (value: unknown, at: string) => T): T[] {
  return list(fields, key, at).map((item, i) => read(item, `${at}.${key}[${i}]`));
}

function inside(value: unknown, at: string): Inside {
  const fields = object(value, at);
  return {
    plan: optionalText(fields, "plan"),
    share: Math.min(1, Math.max(0, number(fields, "share", at))),
    outside: optional(fields.outside, `${at}.outside`, part),
    sentence: text(fields, "sentence", at),
  };
}

function way(value: unknown, at: string): Way {
  const fields = object(value, at);
  return { way: text(fields, "way", at), networkP50Us: three(fields, "networkP50Us", at), sentence: text(fields, "sentence", at) };
}

function merging(value: unknown, at: string): Merging {
  const fields = object(value, at);
  return {
    source: text(fields, "source", at),
    destination: text(fields, "destination", at),
    sentence: text(fields, "sentence", at),
    ways: all(fields, "ways", at, way),
    // Controllers of before the field existed say neither where the figures come from nor which command asks.
    basis: optionalText(fields, "basis") ?? "",
    cpuRequestM: number(fields, "cpuRequestM", at, 0),
    memoryRequestBytes: number(fields, "memoryRequestBytes", at, 0),
    cost: text(fields, "cost", at),
    effects: list(fields, "effects", at).map((item, i) => {
      if (typeof item !== "string") throw new DecodeError(`${at}.effects[${i}]`, "text");
      return item;
    }),
    against: all(fields, "against", at, step),
    ask: optionalText(fields, "ask") ?? "",
  };
}

function stage(value: unknown, at: string): Stage {
  const fields = object(value, at);
  return { stage: text(fields, "stage", at), sentence: text(fields, "sentence", at), state: text(fields, "state", at) };
}

function step(value: unknown, at: string): Step {
  const fields = object(value, at);
  const kind = text(fields, "kind", at);
  return {
    kind,
    sentence: optionalText(fields, "sentence") ?? kind,
    workload: optionalText(fields, "workload"),
    pod: optionalText(fields, "pod"),
    from: optionalText(fields, "from"),
    to: optionalText(fields, "to"),
    state: optionalText(fields, "state"),
    remedy: optionalText(fields, "remedy"),
    stages: all(fields, "stages", at, stage),
  };
}

function numbers(fields: Fields, key: string, at: string, wanted: number): number[] {
  const values = list(fields, key, at);
  if (values.length !== wanted) throw new DecodeError(`${at}.${key}`, `${wanted} numbers`);
  return values.map((value, i) => {
    if (typeof value !== "number" || !Number.isFinite(value)) throw new DecodeError(`${at}.${key}[${i}]`, "a number");
    return value;
  });
}
const two = (fields: Fields, key: string, at: string) => numbers(fields, key, at, 2) as Pair;
const three = (fields: Fields, key: string, at: string) => numbers(fields, key, at, 3) as Interval;

function expectation(value: unknown, at: string): Expectation {
  const fields = object(value, at);
  return {
    source: text(fields, "source", at),
    destination: text(fields, "destination", at),
    localShare: two(fields, "localShare", at),
    networkP50Us: three(fields, "networkP50Us", at),
    networkP99Us: three(fields, "networkP99Us", at),
  };
}

function proof(value: unknown, at: string): Proof {
  const fields = object(value, at);
  return {
    source: text(fields, "source", at),
    destination: text(fields, "destination", at),
    localShare: two(fields, "localShare", at),
    before: part(fields.before, `${at}.before`),
    localBefore: part(fields.localBefore, `${at}.localBefore`),
    after: part(fields.after, `${at}.after`),
    // Proofs written before the field existed have none.
    verdict: fields.verdict === undefined ? "" : text(fields, "verdict", at),
  };
}

function together(value: unknown, at: string): Together | undefined {
  if (value === undefined || value === null) return undefined;
  const fields = object(value, at);
  return {
    localShare: two(fields, "localShare", at),
    gapClosedP50: number(fields, "gapClosedP50", at),
    gapClosedP99: number(fields, "gapClosedP99", at),
    shareOfCalls: number(fields, "shareOfCalls", at),
    podsMoved: number(fields, "podsMoved", at),
  };
}

function spread(value: unknown, at: string): Spread {
  const fields = object(value, at);
  return { workload: text(fields, "workload", at), nodes: two(fields, "nodes", at), zones: two(fields, "zones", at) };
}

function verdict(value: unknown, at: string): Plan["verdict"] {
  if (value === undefined || value === null) return undefined;
  const fields = object(value, at);
  return { outcome: text(fields, "outcome", at), sentence: optionalText(fields, "sentence") ?? "" };
}

function plan(value: unknown, at: string): Plan {
  const fields = object(value, at);
  return {
    id: text(fields, "id", at),
    phase: optionalText(fields, "phase") ?? "",
    summary: optionalText(fields, "summary") ?? "",
    createdAt: typeof fields.createdAt === "number" ? fields.createdAt : undefined,
    actions: all(fields, "actions", at, step),
    refusals: all(fields, "refusals", at, step),
    expected: all(fields, "expected", at, expectation),
    merging: all(fields, "merging", at, merging),
    proof: all(fields, "proof", at, proof),
    together: together(fields.together, `${at}.together`),
    spread: all(fields, "spread", at, spread),
    verdict: verdict(fields.verdict, `${at}.verdict`),
  };
}

/** Decodes each item; a bad one is named in `unreadable` and left out. */
function each<T>(items: unknown[], at: string, unreadable: string[], read: (value: unknown, at: string) => T): T[] {
  const good: T[] = [];
  items.forEach((item, i) => {
    try {
      good.push(read(item, `${at}[${i}]`));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      unreadable.push(error.message);
    }
  });
  return good;
}

/** Reads one full state. Throws `DecodeError` only if the answer as a whole is not a state. */
export function decodeState(json: unknown): State {
  const fields = object(json, "state");
  const unreadable: string[] = [];
  const cluster = fields.cluster === undefined || fields.cluster === null ? {} : object(fields.cluster, "cluster");
  const workloads = each(list(fields, "workloads", "state"), "workloads", unreadable, workload);
  const known = new Set(workloads.map((w) => w.id));
  const edges = each(list(fields, "edges", "state"), "edges", unreadable, edge);
  // An edge may name a workload that was deleted a moment ago: it still carried requests, so it gets a node.
  for (const { source, destination } of edges) {
    for (const id of [source, destination]) {
      if (!known.has(id)) {
        known.add(id);
        workloads.push(workload({ id }, id));
      }
    }
  }
  return {
    at: number(fields, "at", "state"),
    windowMs: number(fields, "windowMs", "state", 0),
    cluster: {
      name: optionalText(cluster, "name") ?? "",
      nodes: each(list(cluster, "nodes", "cluster"), "cluster.nodes", unreadable, (value, at) => {
        const node = object(value, at);
        return { name: text(node, "name", at), zone: optionalText(node, "zone"), ready: node.ready !== false };
      }),
    },
    workloads,
    edges,
    plans: each(list(fields, "plans", "state"), "plans", unreadable, plan),
    silent: each(list(fields, "silent", "state"), "silent", unreadable, (value, at) => {
      const pod = object(value, at);
      return {
        pod: text(pod, "pod", at),
        namespace: optionalText(pod, "namespace") ?? "",
        reason: optionalText(pod, "reason") ?? "",
        sentence: optionalText(pod, "sentence") ?? "",
      };
    }),
    blind: each(list(fields, "blind", "state"), "blind", unreadable, (value, at) => {
      const node = object(value, at);
      return { node: text(node, "node", at), reason: optionalText(node, "reason") ?? "", sentence: optionalText(node, "sentence") ?? "" };
    }),
    unreadable,
  };
}
