/** Edge labels: what they say, and where they fit without covering cards or each other. */
import { LOCALITY_WORDS, between, insideWords, millis, percent, rate, triple } from "../model/format";
import { ends, type PlanMarks } from "../model/plan";
import type { SceneEdge, SceneInside } from "../model/scene";
import type { Floor } from "../model/severity";
import type { Quantiles } from "../model/types";
import type { Metric } from "../model/url";
import { along, overlaps } from "./geometry";
import type { DrawnEdge } from "./model";
import type { Box } from "../layout/types";

export interface LabelText {
  /** Bold. */
  first: string;
  second: string;
  /** The cue that colour alone would carry: "4.2×", "✕ 2 %". */
  cue?: string;
  /** Before → after, or expected, where the plan is drawn. */
  plan?: string;
}

export function metricOf(edge: SceneEdge, metric: Metric): Quantiles | undefined {
  return metric === "upstream" ? edge.part : edge.part?.[metric];
}

/** How many times a same-node call's network p99 this edge has. */
export function times(edge: SceneEdge, floor: Floor | undefined): number | undefined {
  const network = edge.part?.network;
  return network && edge.part?.reliable && floor ? network.p99Us / floor.us : undefined;
}

export function cue(edge: SceneEdge, floor: Floor | undefined): string | undefined {
  if (edge.failing) return `✕ ${percent(edge.errorRate)}`;
  const factor = times(edge, floor);
  if (factor !== undefined && (edge.level === "far" || edge.level === "veryFar")) return `${factor.toFixed(1)}×`;
  return undefined;
}

export function labelText(edge: SceneEdge, metric: Metric, floor: Floor | undefined, marks: PlanMarks | undefined): LabelText {
  const quantiles = metricOf(edge, metric);
  const many = edge.edges.length > 1;
  const unsure = edge.part && !edge.part.reliable ? "≈ " : "";
  const first = many ? `${edge.edges.length} edges` : quantiles ? `${unsure}${triple(quantiles.p50Us, quantiles.p95Us, quantiles.p99Us)}` : `no ${metric} time yet`;
  const local = edge.locality ? ` · ${LOCALITY_WORDS[edge.locality]}` : edge.local === undefined ? "" : ` · ${percent(edge.local)} local`;
  const errors = edge.errorRate > 0 && !edge.failing ? ` · ✕ ${percent(edge.errorRate)}` : "";
  return { first, second: `${rate(edge.rps)} rps${local}${errors}`, cue: cue(edge, floor), plan: planText(edge, marks) };
}

/** What a callee inside its caller's card says. Nobody can tell a network part of calls inside a pod: they are shown whole. */
export function insideText({ part, rps, share, failing, errorRate, filtered }: SceneInside, metric: Metric): { stay: string; figures: string } {
  const stay = insideWords(share);
  if (filtered) return { stay, figures: "filtered out" };
  const quantiles = metric === "upstream" ? part : (part?.[metric] ?? part);
  const whole = quantiles === part && metric !== "upstream" ? "whole call " : "";
  const unsure = part && !part.reliable ? "≈ " : "";
  const errors = failing ? `✕ ${percent(errorRate)} · ` : "";
  return { stay, figures: quantiles ? `${errors}${rate(rps)} rps · ${whole}${unsure}${triple(quantiles.p50Us, quantiles.p95Us, quantiles.p99Us)}` : "no calls inside in the window" };
}

function planText(edge: SceneEdge, marks: PlanMarks | undefined): string | undefined {
  const [only] = edge.edges;
  if (!marks || !only || edge.edges.length > 1) return undefined;
  const proof = marks.proof.get(ends(only));
  const merging = marks.merging.get(ends(only));
  if (merging && proof) return `proved: calls p50 ${millis(proof.before.p50Us)} → ${millis(proof.after.p50Us)}, p99 ${millis(proof.before.p99Us)} → ${millis(proof.after.p99Us)} ms`;
  const [way] = merging?.ways ?? [];
  if (way) return `plan: net p50 ${between(way.networkP50Us[1], way.networkP50Us[2])} ms inside the pod`;
  const [before, after] = [proof?.before.network, proof?.after.network];
  if (before && after) return `proved: net p50 ${millis(before.p50Us)} → ${millis(after.p50Us)}, p99 ${millis(before.p99Us)} → ${millis(after.p99Us)} ms`;
  const expected = marks.expected.get(ends(only));
  if (!expected) return undefined;
  const [[, low50, high50], [, low99, high99]] = [expected.networkP50Us, expected.networkP99Us];
  return `plan: net p50 ${between(low50, high50)}, p99 ${between(low99, high99)} ms`;
}

const TRIES = [0.5, 0.42, 0.58, 0.34, 0.66, 0.28, 0.74];

/** The first place along the line that is free, or nothing. */
export function findPlace(drawn: DrawnEdge, size: { w: number; h: number }, taken: readonly Box[], force: boolean): Box | undefined {
  if (drawn.label) {
    const own = { ...drawn.label, ...size };
    if (!taken.some((box) => overlaps(box, own, 2))) return own;
  }
  for (const share of TRIES) {
    const box = { ...along(drawn.path, share), ...size };
    if (!taken.some((other) => overlaps(other, box, 2))) return box;
  }
  return force ? { ...along(drawn.path, 0.5), ...size } : undefined;
}
