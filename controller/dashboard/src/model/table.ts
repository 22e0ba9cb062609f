/** Rows and columns of the list view: the same edges and workloads as the graph, sorted and filtered. */
import { bytes, CAUSE_WORDS, count, insideWords, micros, percent, rate, shortName } from "./format";
import { failing, isSlow } from "./severity";
import { passes } from "./scene";
import type { Edge, State, Workload } from "./types";

export interface Column<T> {
  key: string;
  title: string;
  help?: string;
  numeric: boolean;
  text(row: T): string;
  /** Missing figures sort last, whichever way. */
  value(row: T): number | string | undefined;
  tone?(row: T): string;
  /** More than fits: shown on hover. */
  more?(row: T): string | undefined;
}

const unsure = (edge: Edge) => (edge.total.reliable ? "" : "unsure");
const approx = (edge: Edge, text: string) => (edge.total.reliable || text === "–" ? text : `≈ ${text}`);
const time = (us: number | undefined) => (us === undefined ? "–" : micros(us));

export const EDGE_COLUMNS: Column<Edge>[] = [
  { key: "source", title: "Source", numeric: false, text: (e) => shortName(e.source), value: (e) => shortName(e.source) },
  { key: "destination", title: "Destination", numeric: false, text: (e) => shortName(e.destination), value: (e) => shortName(e.destination) },
  { key: "rps", title: "rps", help: "Requests per second", numeric: true, text: (e) => rate(e.rps), value: (e) => e.rps },
  { key: "errors", title: "Errors", numeric: true, text: (e) => (failing(e) ? `✕ ${percent(e.errorRate)}` : percent(e.errorRate)), value: (e) => e.errorRate, tone: (e) => (failing(e) ? "errortext" : "") },
  { key: "p50", title: "p50", help: "Whole call, at the caller's proxy", numeric: true, text: (e) => time(e.total.p50Us), value: (e) => e.total.p50Us },
  { key: "p95", title: "p95", help: "Whole call, at the caller's proxy", numeric: true, text: (e) => time(e.total.p95Us), value: (e) => e.total.p95Us },
  { key: "p99", title: "p99", help: "Whole call, at the caller's proxy", numeric: true, text: (e) => approx(e, time(e.total.p99Us)), value: (e) => e.total.p99Us, tone: unsure },
  { key: "net50", title: "net p50", help: "Network and proxies", numeric: true, text: (e) => time(e.total.network?.p50Us), value: (e) => e.total.network?.p50Us },
  { key: "net99", title: "net p99", help: "Network and proxies", numeric: true, text: (e) => approx(e, time(e.total.network?.p99Us)), value: (e) => e.total.network?.p99Us, tone: unsure },
  { key: "served99", title: "callee p99", help: "The callee's own time", numeric: true, text: (e) => approx(e, time(e.total.served?.p99Us)), value: (e) => e.total.served?.p99Us, tone: unsure },
  { key: "local", title: "Local", help: "Share of the requests that stay on their node, or inside their pod", numeric: true, text: (e) => (e.inside ? insideWords(e.inside.share) : e.localShare === undefined ? "–" : percent(e.localShare)), value: (e) => e.localShare },
  { key: "finding", title: "Finding", numeric: false, text: (e) => (e.finding ? (CAUSE_WORDS[e.finding.cause] ?? e.finding.cause) : ""), more: (e) => e.finding?.sentence, value: (e) => (e.finding ? (isSlow(e) ? 0 : 1) : undefined), tone: (e) => (isSlow(e) ? "slowtext" : "mutedtext") },
  { key: "bytes", title: "Throughput", numeric: true, text: (e) => bytes(e.bytesPerSecond), value: (e) => e.bytesPerSecond },
  { key: "protocol", title: "Protocol", numeric: false, text: (e) => e.protocol, value: (e) => e.protocol },
];

export interface WorkloadRow {
  workload: Workload;
  incoming: number;
  outgoing: number;
  nodes: number;
  zones: number;
}

export const WORKLOAD_COLUMNS: Column<WorkloadRow>[] = [
  { key: "name", title: "Workload", numeric: false, text: (r) => r.workload.name, value: (r) => r.workload.name },
  { key: "namespace", title: "Namespace", numeric: false, text: (r) => r.workload.namespace, value: (r) => r.workload.namespace },
  { key: "kind", title: "Kind", numeric: false, text: (r) => r.workload.kind, value: (r) => r.workload.kind },
  { key: "ready", title: "Ready", numeric: true, text: (r) => `${r.workload.ready}/${r.workload.replicas}`, value: (r) => r.workload.ready, tone: (r) => (r.workload.ready < r.workload.replicas ? "warntext" : "") },
  { key: "reporting", title: "Reporting", numeric: true, text: (r) => `${r.workload.reporting}/${r.workload.pods.length}`, value: (r) => r.workload.reporting, tone: (r) => (r.workload.reporting < r.workload.pods.length ? "warntext" : "") },
  { key: "nodes", title: "Nodes", numeric: true, text: (r) => count(r.nodes), value: (r) => r.nodes },
  { key: "zones", title: "Zones", numeric: true, text: (r) => count(r.zones), value: (r) => r.zones },
  { key: "in", title: "rps in", numeric: true, text: (r) => rate(r.incoming), value: (r) => r.incoming },
  { key: "out", title: "rps out", numeric: true, text: (r) => rate(r.outgoing), value: (r) => r.outgoing },
];

export function edgeRows(state: State, options: { onlySlow: boolean; onlyErrors: boolean }, match: ((...texts: (string | undefined)[]) => boolean) | undefined, texts: (id: string) => string[]): Edge[] {
  return state.edges.filter((edge) => passes(edge, options) && (!match || match(edge.source, edge.destination, edge.protocol, ...texts(edge.source), ...texts(edge.destination))));
}

export function workloadRows(state: State, match: ((...texts: (string | undefined)[]) => boolean) | undefined, texts: (workload: Workload) => string[]): WorkloadRow[] {
  const incoming = new Map<string, number>();
  const outgoing = new Map<string, number>();
  for (const edge of state.edges) {
    incoming.set(edge.destination, (incoming.get(edge.destination) ?? 0) + edge.rps);
    outgoing.set(edge.source, (outgoing.get(edge.source) ?? 0) + edge.rps);
  }
  return state.workloads
    .filter((workload) => !match || match(...texts(workload)))
    .map((workload) => ({
      workload,
      incoming: incoming.get(workload.id) ?? 0,
      outgoing: outgoing.get(workload.id) ?? 0,
      nodes: new Set(workload.pods.flatMap((pod) => pod.node ?? [])).size,
      zones: new Set(workload.pods.flatMap((pod) => pod.zone ?? [])).size,
    }));
}

/** `net99.desc` → column and direction. */
export function parseSort(sort: string | undefined, fallback: string): { key: string; descending: boolean } {
  const [key = "", direction] = (sort ?? fallback).split(".");
  return { key, descending: direction === "desc" };
}

export function sortRows<T>(rows: readonly T[], column: Column<T> | undefined, descending: boolean, id: (row: T) => string): T[] {
  if (!column) return [...rows];
  const sign = descending ? -1 : 1;
  return rows
    .map((row) => ({ row, value: column.value(row), id: id(row) }))
    .sort((a, b) => {
      if (a.value === undefined || b.value === undefined) return (a.value === undefined ? 1 : 0) - (b.value === undefined ? 1 : 0) || (a.id < b.id ? -1 : 1);
      const order = typeof a.value === "string" || typeof b.value === "string" ? String(a.value).localeCompare(String(b.value)) : a.value - b.value;
      return order * sign || (a.id < b.id ? -1 : 1);
    })
    .map(({ row }) => row);
}
