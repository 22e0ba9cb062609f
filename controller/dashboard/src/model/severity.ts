/**
 * How an edge is coloured, and the same in a word and a shape.
 *
 * The measure is the edge's network p99 as a multiple of what a *same-node* call costs in this mesh now: the floor that
 * moving pods can reach. It needs no threshold in milliseconds and says the same on a laptop and across zones.
 */
import type { Edge, Part } from "./types";

export const LEVELS = ["unknown", "near", "far", "veryFar"] as const;
export type Level = (typeof LEVELS)[number];

export const FAR = 2;
export const VERY_FAR = 5;
/** Share of failed requests from which an edge is marked as failing. */
export const FAILING = 0.01;

export const LEVEL_WORDS: Record<Level, string> = {
  unknown: "not enough data",
  near: `under ${FAR}×`,
  far: `${FAR}× to ${VERY_FAR}×`,
  veryFar: `over ${VERY_FAR}×`,
};

export interface Floor {
  us: number;
  /** Where it comes from: same-node requests, or, without any, the median edge. */
  from: "sameNode" | "median";
}

function weightedMedian(points: { value: number; weight: number }[]): number | undefined {
  const sorted = points.filter((p) => p.weight > 0).sort((a, b) => a.value - b.value);
  const half = sorted.reduce((sum, p) => sum + p.weight, 0) / 2;
  let seen = 0;
  for (const { value, weight } of sorted) {
    seen += weight;
    if (seen >= half) return value;
  }
  return undefined;
}

/** The typical network p99 of a same-node call: median over edges, weighted by requests. */
export function localFloor(edges: readonly Edge[]): Floor | undefined {
  const points = (pick: (edge: Edge) => Part | undefined) =>
    edges.flatMap((edge) => {
      const part = pick(edge);
      return part?.network && part.reliable ? [{ value: part.network.p99Us, weight: part.requests }] : [];
    });
  const local = weightedMedian(points((edge) => edge.localities.sameNode));
  if (local !== undefined && local > 0) return { us: local, from: "sameNode" };
  const all = weightedMedian(points((edge) => edge.total));
  return all !== undefined && all > 0 ? { us: all, from: "median" } : undefined;
}

export function level(part: Part, floor: Floor | undefined): Level {
  if (!part.network || !part.reliable || !floor) return "unknown";
  const times = part.network.p99Us / floor.us;
  return times < FAR ? "near" : times < VERY_FAR ? "far" : "veryFar";
}

export function failing(edge: { errorRate: number }): boolean {
  return edge.errorRate >= FAILING;
}

/** "Inside the pod", "not enough data" and "not distance" are findings too, but name no edge that Huddle could make faster. */
export function isSlow(edge: Edge): boolean {
  return edge.finding !== undefined && !["inside", "notEnoughData", "notDistance"].includes(edge.finding.cause);
}
