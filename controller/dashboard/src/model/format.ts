/** Words and numbers as people read them: three significant figures at most, one unit. */
import type { Edge, Locality } from "./types";

export const LOCALITY_WORDS: Record<Locality, string> = { samePod: "inside the pod", sameNode: "same node", sameZone: "same zone", otherZone: "other zone" };

/** Causes of the controller's findings; one that is not here is shown by its own name. */
export const CAUSE_WORDS: Record<string, string> = {
  distance: "Distance",
  pressure: "Pressure",
  chatter: "Chatter",
  downstream: "Downstream",
  inside: "Inside the pod",
  notEnoughData: "Not enough data",
  notDistance: "Not distance",
};

export function micros(us: number): string {
  if (us < 1000) return `${Math.round(us)} µs`;
  const ms = us / 1000;
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  if (ms < 10_000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Two or three figures without a unit, which is said once beside them. */
function short(value: number): string {
  return value < 10 ? value.toFixed(value < 1 ? 2 : 1) : String(Math.round(value));
}

/** Milliseconds without their unit. */
export const millis = (us: number) => short(us / 1000);

/** An interval in milliseconds, without their unit. */
export const between = (low: number, high: number) => `${millis(low)}–${millis(high)}`;

/** p50 / p95 / p99 in one shared unit, for labels that have no room for three. */
export function triple(p50: number, p95: number, p99: number): string {
  const seconds = p99 >= 10_000_000;
  const show = (us: number) => short(us / (seconds ? 1_000_000 : 1000));
  return `${show(p50)} / ${show(p95)} / ${show(p99)} ${seconds ? "s" : "ms"}`;
}

export function rate(perSecond: number): string {
  if (perSecond === 0) return "0";
  if (perSecond < 0.1) return perSecond.toFixed(2);
  if (perSecond < 10) return perSecond.toFixed(1);
  if (perSecond < 10_000) return String(Math.round(perSecond));
  return `${(perSecond / 1000).toFixed(perSecond < 100_000 ? 1 : 0)} k`;
}

export function percent(share: number): string {
  const value = share * 100;
  if (value === 0) return "0 %";
  if (value < 0.01) return "< 0.01 %";
  if (value < 1) return `${value.toFixed(2)} %`;
  if (value < 10) return `${value.toFixed(1)} %`;
  if (value > 99 && value < 100) return `${value.toFixed(1)} %`;
  return `${Math.round(value)} %`;
}

export function bytes(perSecond: number): string {
  if (perSecond < 1000) return `${Math.round(perSecond)} B/s`;
  if (perSecond < 1_000_000) return `${(perSecond / 1000).toFixed(1)} kB/s`;
  if (perSecond < 1_000_000_000) return `${(perSecond / 1_000_000).toFixed(1)} MB/s`;
  return `${(perSecond / 1_000_000_000).toFixed(1)} GB/s`;
}

/** Thousandths of a processor, as Kubernetes writes them. */
export function millicores(m: number): string {
  return `${Math.round(m)}m`;
}

/** An amount of memory. */
export function memory(amount: number): string {
  const mib = amount / 1_048_576;
  return mib < 1024 ? `${Math.round(mib)} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
}

/** Thousands set apart by a narrow no-break space. */
export function count(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function span(ms: number): string {
  if (ms < 90_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 5_400_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

/** "inside the pod", or of how many calls that is so. */
export function insideWords(share: number): string {
  return share >= 0.995 ? "inside the pod" : `${percent(share)} inside the pod`;
}

/** Where an edge's calls stay, in short: "74 % local", "inside the pod"; nothing where that is not known. */
export function stayWords(edge: Edge): string {
  if (edge.inside) return insideWords(edge.inside.share);
  return edge.localShare === undefined ? "" : `${percent(edge.localShare)} local`;
}

/** `shop/Deployment/frontend` → `frontend`. */
export function shortName(id: string): string {
  return id.split("/").at(-1) ?? id;
}
