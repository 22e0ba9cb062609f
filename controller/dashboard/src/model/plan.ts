/** The plan as marks on the graph: who moves where, which calls are routed locally, what is expected, what was proved. */
import type { Expectation, Merging, Plan, Proof, State } from "./types";

export interface Move {
  workload: string;
  pod?: string;
  from?: string;
  to?: string;
  sentence: string;
  done: boolean;
}

/** States after which a step is as if it had never begun, or on the way there. */
const TAKEN_BACK = new Set(["undoing", "undone", "skipped"]);

/** A callee that the plan runs inside its caller's pods. */
export interface Joining {
  caller: string;
  callee: string;
  sentence: string;
  done: boolean;
}

export interface PlanMarks {
  plan: Plan;
  moves: Move[];
  /** Workloads under a placement rule, with the sentence. */
  ruled: Map<string, string>;
  /** Workloads whose calls are routed locally, with the sentence. */
  routed: Map<string, string>;
  joinings: Joining[];
  /** `source>destination` of the edges the plan is about. */
  edges: Set<string>;
  expected: Map<string, Expectation>;
  proof: Map<string, Proof>;
  merging: Map<string, Merging>;
}

export const ends = (item: { source: string; destination: string }) => `${item.source}>${item.destination}`;

/** Phases after which nothing of the plan is still to happen. */
const CLOSED = new Set(["proved", "rolledBack", "superseded"]);
export const isOpen = (plan: Plan) => !CLOSED.has(plan.phase);

/** Whether it is being carried out. */
export const isUnderWay = (plan: Plan) => isOpen(plan) && plan.phase !== "proposed";

/**
 * The plan to draw: the one asked for, else the one under way, else the one that was seen under way here (who watched it wants its
 * proof, not the next proposal), else the newest open one, else the newest that was not superseded.
 */
export function currentPlan(state: State, wanted?: string, watched?: string): Plan | undefined {
  const byAge = [...state.plans].sort((a, b) => (b.createdAt ?? 0) - (a.createdAt ?? 0));
  const named = (id?: string) => byAge.find((plan) => plan.id === id);
  return named(wanted) ?? byAge.find(isUnderWay) ?? named(watched) ?? byAge.find(isOpen) ?? byAge.find((plan) => plan.phase !== "superseded") ?? byAge[0];
}

/** A proposal that waits for an answer while another plan is shown. */
export function waitingPlan(state: State, shown: Plan): Plan | undefined {
  return state.plans.find((plan) => plan.phase === "proposed" && plan.id !== shown.id);
}

export function planMarks(state: State, plan: Plan): PlanMarks {
  const workloadOfPod = new Map<string, string>(state.workloads.flatMap((w) => w.pods.map((pod) => [pod.name, w.id] as [string, string])));
  const marks: PlanMarks = { plan, moves: [], ruled: new Map(), routed: new Map(), joinings: [], edges: new Set(), expected: new Map(), proof: new Map(), merging: new Map() };
  for (const step of plan.actions) {
    const workload = step.workload ?? (step.pod === undefined ? undefined : workloadOfPod.get(step.pod));
    if (workload === undefined) continue;
    if (step.kind === "merge" && step.to !== undefined) {
      if (TAKEN_BACK.has(step.state ?? "")) continue;
      marks.joinings.push({ caller: workload, callee: step.to, sentence: step.sentence, done: step.state === "done" });
      marks.edges.add(ends({ source: workload, destination: step.to }));
    } else if (step.kind === "route") marks.routed.set(workload, step.sentence);
    else if (step.pod !== undefined) marks.moves.push({ workload, pod: step.pod, from: step.from, to: step.to, sentence: step.sentence, done: step.state === "done" });
    else marks.ruled.set(workload, step.sentence);
  }
  for (const item of plan.expected) {
    marks.edges.add(ends(item));
    marks.expected.set(ends(item), item);
  }
  for (const item of plan.merging) if (marks.edges.has(ends(item))) marks.merging.set(ends(item), item);
  for (const item of plan.proof) {
    marks.edges.add(ends(item));
    marks.proof.set(ends(item), item);
  }
  return marks;
}
