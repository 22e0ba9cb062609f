/**
 * What is drawn: state + view settings → boxes, nodes and edges. Pure, so that the list, the graph and the tests agree.
 *
 * Nothing is left out silently: what is collapsed or below the edge limit is counted in `hidden`.
 */
import { shortName } from "./format";
import { failing, isSlow, level, localFloor, type Floor, type Level } from "./severity";
import { LOCALITIES, type Edge, type Locality, type Part, type State, type Workload } from "./types";

export const GROUPINGS = ["namespace", "node", "zone", "none"] as const;
export type Grouping = (typeof GROUPINGS)[number];

/** Above this many nodes boxes start collapsed. */
export const COLLAPSE_ABOVE = 600;
/** Without "show all", at most this many edges are drawn: failing and slow ones first, then those where most time is spent. */
export const EDGE_LIMIT = 400;

export interface SceneOptions {
  grouping: Grouping;
  /** Boxes whose state is the opposite of the default. */
  toggled: ReadonlySet<string>;
  onlySlow: boolean;
  onlyErrors: boolean;
  allEdges: boolean;
  /** Selected workload or edge: its edges are always drawn. */
  selected?: string;
}

export interface SceneNode {
  id: string;
  /** Absent for a collapsed box. */
  workload?: Workload;
  group?: string;
  label: string;
  sub: string;
  /** Something to look at: pods not ready or not reporting. */
  warning?: string;
  /** No edge left after the filters. */
  lonely: boolean;
  /** Callees that run inside this workload's pods: drawn inside the card. */
  inside: SceneInside[];
}

/** A callee inside its caller's card, with the calls that stay inside the pod. */
export interface SceneInside {
  edge: Edge;
  label: string;
  /** Figures of the calls inside; absent while there are none. */
  part?: Part;
  rps: number;
  share: number;
  failing: boolean;
  errorRate: number;
  /** The edge does not pass the filters: the callee is there, its figures are not shown. */
  filtered: boolean;
}

export interface SceneEdge {
  id: string;
  source: string;
  destination: string;
  /** The edges of the state drawn here: several where boxes are collapsed. */
  edges: Edge[];
  /** Figures of a single edge (or of its locality class when pods are apart); absent where several edges share the line. */
  part?: Part;
  locality?: Locality;
  rps: number;
  errorRate: number;
  local?: number;
  level: Level;
  failing: boolean;
  slow: boolean;
}

export interface SceneGroup {
  id: string;
  label: string;
  sub: string;
  /** Boxes with the same column stand under each other (zones); absent: placed by the calls between boxes. */
  column?: number;
  collapsed: boolean;
  members: number;
}

export interface Scene {
  nodes: SceneNode[];
  edges: SceneEdge[];
  groups: SceneGroup[];
  hidden: { belowLimit: number; insideBoxes: number; filtered: number };
  floor?: Floor;
  maxRps: number;
}

interface Home {
  group?: string;
  label: string;
  column?: number;
  pods?: number;
}

/** Where a workload is drawn: once, or once for each node or zone that runs a pod of it. */
function homes(workload: Workload, grouping: Grouping): Map<string, Home> {
  if (grouping === "none") return new Map([[workload.id, { label: "" }]]);
  if (grouping === "namespace") {
    return new Map([[workload.id, { group: `namespace:${workload.namespace}`, label: workload.namespace }]]);
  }
  const places = new Map<string, Home>();
  for (const pod of workload.pods) {
    const place = (grouping === "node" ? pod.node : pod.zone) ?? "";
    const id = `${workload.id}@${place}`;
    const home = places.get(id) ?? { group: `${grouping}:${place}`, label: place || "not placed", pods: 0 };
    home.pods = (home.pods ?? 0) + 1;
    places.set(id, home);
  }
  if (places.size === 0) places.set(`${workload.id}@`, { group: `${grouping}:`, label: "not placed", pods: 0 });
  return places;
}

function nodeSub(workload: Workload, pods?: number): string {
  if (pods !== undefined) return pods === 1 ? "1 pod" : `${pods} pods`;
  if (workload.replicas === 0 && workload.pods.length === 0) return "no pods";
  return `${workload.ready}/${workload.replicas} ready`;
}

function warning(workload: Workload): string | undefined {
  if (workload.ready < workload.replicas) return `${workload.replicas - workload.ready} not ready`;
  const silent = workload.pods.length - workload.reporting;
  return silent > 0 && workload.pods.length > 0 ? `${silent} silent` : undefined;
}

/** An edge as one line; of an edge whose calls stay inside the pod in part, the other calls; nothing where all of them do. */
function singleEdge(edge: Edge, source: string, destination: string, floor: Floor | undefined): SceneEdge[] {
  const line = { id: edge.id, source, destination, edges: [edge], slow: isSlow(edge) };
  if (!edge.inside) {
    return [{ ...line, part: edge.total, rps: edge.rps, errorRate: edge.errorRate, local: edge.localShare, level: level(edge.total, floor), failing: failing(edge) }];
  }
  const { outside } = edge.inside;
  if (!outside) return [];
  const errorRate = outside.requests > 0 ? outside.errors / outside.requests : 0;
  return [{
    ...line,
    part: outside,
    rps: edge.total.requests > 0 ? (edge.rps * outside.requests) / edge.total.requests : 0,
    errorRate,
    local: outside.requests > 0 ? (edge.localities.sameNode?.requests ?? 0) / outside.requests : undefined,
    level: level(outside, floor),
    failing: outside.requests > 0 && failing({ errorRate }),
  }];
}

/** The calls of an edge that stay inside the pod, on one of `cards` cards of its caller: spread evenly, as the controller knows them together only. */
function insideOf(edge: Edge, share: number, cards: number, filtered: boolean): SceneInside {
  const part = edge.localities.samePod;
  const errorRate = part && part.requests > 0 ? part.errors / part.requests : 0;
  return {
    edge,
    label: shortName(edge.destination),
    part: part && part.requests > 0 ? part : undefined,
    rps: part && edge.total.requests > 0 ? (edge.rps * part.requests) / edge.total.requests / cards : 0,
    share,
    failing: part !== undefined && failing({ errorRate }),
    errorRate,
    filtered,
  };
}

/** Workloads that nobody calls but from inside the same pod, and that call nobody: their own pods have nothing to do but to stand by. */
function onlyInside(edges: readonly Edge[]): Set<string> {
  const found = new Set(edges.filter((edge) => edge.inside && edge.inside.share > 0).map((edge) => edge.destination));
  for (const edge of edges) {
    if (!edge.inside || edge.inside.outside) found.delete(edge.destination);
    found.delete(edge.source);
  }
  return found;
}

/**
 * One edge drawn between places: one line for each pair of places, with the figures of the pair's locality class.
 * The controller knows requests per class, not per pair, so a class's rate is spread evenly over its pairs.
 */
function apart(edge: Edge, from: Map<string, Home>, to: Map<string, Home>, zones: Map<string, string>, grouping: Grouping, floor: Floor | undefined): SceneEdge[] {
  const classOf = (a: Home, b: Home): Locality[] => {
    // Calls that stay inside the pod are drawn inside the card.
    const own: Locality[] = edge.inside ? [] : ["samePod"];
    if (a.group === b.group) return grouping === "node" ? [...own, "sameNode"] : [...own, "sameNode", "sameZone"];
    if (grouping === "zone") return ["otherZone"];
    return zones.get(a.group ?? "") === zones.get(b.group ?? "") ? ["sameZone"] : ["otherZone"];
  };
  const pairs: { source: string; destination: string; classes: Locality[] }[] = [];
  const sharing = new Map<Locality, number>();
  for (const [source, a] of from) {
    for (const [destination, b] of to) {
      const classes = classOf(a, b);
      pairs.push({ source, destination, classes });
      for (const name of classes) sharing.set(name, (sharing.get(name) ?? 0) + 1);
    }
  }
  const lines: SceneEdge[] = [];
  for (const { source, destination, classes } of pairs) {
    const parts = classes.flatMap((name) => (edge.localities[name] ? [{ name, part: edge.localities[name] }] : []));
    const requests = parts.reduce((sum, { name, part }) => sum + part.requests / (sharing.get(name) ?? 1), 0);
    if (requests === 0) continue;
    const main = parts.reduce((a, b) => (b.part.requests > a.part.requests ? b : a));
    lines.push({
      id: `${edge.id}|${source.slice(edge.source.length)}|${destination.slice(edge.destination.length)}`,
      source,
      destination,
      edges: [edge],
      part: main.part,
      locality: main.name,
      rps: edge.total.requests > 0 ? (edge.rps * requests) / edge.total.requests : 0,
      errorRate: main.part.requests > 0 ? main.part.errors / main.part.requests : 0,
      local: classes.includes("sameNode") ? 1 : 0,
      level: level(main.part, floor),
      failing: main.part.requests > 0 && failing({ errorRate: main.part.errors / main.part.requests }),
      slow: isSlow(edge),
    });
  }
  return lines;
}

const RANK: Record<Level, number> = { unknown: 0, near: 1, far: 2, veryFar: 3 };

/** Lines between the same two ends become one; quantiles are not averaged: the worst member gives the colour. */
function merge(lines: SceneEdge[]): SceneEdge[] {
  const byEnds = new Map<string, SceneEdge[]>();
  for (const line of lines) {
    const key = `${line.source}>${line.destination}`;
    const found = byEnds.get(key);
    if (found) found.push(line);
    else byEnds.set(key, [line]);
  }
  return [...byEnds.entries()].map(([key, members]) => {
    const [first] = members;
    if (members.length === 1 && first) return first;
    const rps = members.reduce((sum, m) => sum + m.rps, 0);
    const local = members.every((m) => m.local !== undefined) && rps > 0 ? members.reduce((sum, m) => sum + (m.local ?? 0) * m.rps, 0) / rps : undefined;
    return {
      id: `many:${key}`,
      source: first?.source ?? "",
      destination: first?.destination ?? "",
      edges: members.flatMap((m) => m.edges),
      rps,
      errorRate: rps > 0 ? members.reduce((sum, m) => sum + m.errorRate * m.rps, 0) / rps : 0,
      local,
      level: members.reduce<Level>((worst, m) => (RANK[m.level] > RANK[worst] ? m.level : worst), "unknown"),
      failing: rps > 0 && failing({ errorRate: members.reduce((sum, m) => sum + m.errorRate * m.rps, 0) / rps }),
      slow: members.some((m) => m.slow),
    };
  });
}

/** Requests per second × p50: an order of time spent, which needs no mean. */
function timeSpent(line: SceneEdge): number {
  return line.rps * Math.max(1, ...line.edges.slice(0, 8).map((edge) => edge.total.p50Us));
}

export function passes(edge: Edge, options: { onlySlow: boolean; onlyErrors: boolean }): boolean {
  return (!options.onlySlow || isSlow(edge)) && (!options.onlyErrors || edge.total.errors > 0);
}

export function buildScene(state: State, options: SceneOptions): Scene {
  const { grouping } = options;
  const floor = localFloor(state.edges);
  const zones = new Map(state.cluster.nodes.map((node) => [`node:${node.name}`, node.zone ?? ""]));
  const zoneOrder = [...new Set(state.cluster.nodes.map((node) => node.zone ?? ""))].sort();

  const groups = new Map<string, SceneGroup>();
  const addGroup = (id: string, label: string) => {
    const found = groups.get(id);
    if (found) return found;
    const zone = zones.get(id);
    const made: SceneGroup = {
      id,
      label,
      sub: grouping === "node" ? (zone ?? "") : "",
      column: grouping === "node" ? zoneOrder.indexOf(zone ?? "") : undefined,
      collapsed: false,
      members: 0,
    };
    groups.set(id, made);
    return made;
  };
  // Empty cluster nodes are drawn: room for a move is worth seeing.
  if (grouping === "node" && state.cluster.nodes.length <= 60) for (const node of state.cluster.nodes) addGroup(`node:${node.name}`, node.name);

  const places = new Map<string, Map<string, Home>>();
  // Boxes of nodes and zones show pods, and pods that stand by are pods.
  const nested = grouping === "node" || grouping === "zone" ? new Set<string>() : onlyInside(state.edges);
  let drawn = 0;
  for (const workload of state.workloads) {
    const found = nested.has(workload.id) ? new Map<string, Home>() : homes(workload, grouping);
    places.set(workload.id, found);
    for (const home of found.values()) {
      drawn += 1;
      if (home.group !== undefined) addGroup(home.group, home.label).members += 1;
    }
  }
  const collapseByDefault = drawn > COLLAPSE_ABOVE;
  for (const group of groups.values()) group.collapsed = group.members > 0 && collapseByDefault !== options.toggled.has(group.id);
  const shown = (id: string, home: Home) => (home.group !== undefined && groups.get(home.group)?.collapsed ? home.group : id);

  const nodes = new Map<string, SceneNode>();
  for (const workload of state.workloads) {
    for (const [id, home] of places.get(workload.id) ?? []) {
      const at = shown(id, home);
      if (at === id) {
        nodes.set(id, { id, workload, group: home.group, label: workload.name, sub: nodeSub(workload, home.pods), warning: warning(workload), lonely: true, inside: [] });
      } else if (!nodes.has(at)) {
        nodes.set(at, { id: at, label: home.label, sub: `${groups.get(at)?.members ?? 0} workloads`, lonely: true, inside: [] });
      }
    }
  }

  const hidden = { belowLimit: 0, insideBoxes: 0, filtered: 0 };
  let lines: SceneEdge[] = [];
  for (const edge of state.edges) {
    const from = places.get(edge.source);
    const to = places.get(edge.destination);
    const filtered = !passes(edge, options);
    const cards = edge.inside && from ? [...from].filter(([id, home]) => shown(id, home) === id).map(([id]) => id) : [];
    for (const card of cards) nodes.get(card)?.inside.push(insideOf(edge, edge.inside?.share ?? 0, from?.size ?? 1, filtered));
    if (filtered) {
      hidden.filtered += 1;
      continue;
    }
    if (!from || !to) continue;
    const spread = grouping === "node" || grouping === "zone" ? apart(edge, from, to, zones, grouping, floor) : singleEdge(edge, edge.source, edge.destination, floor);
    let visible = cards.length > 0;
    for (const line of spread) {
      const a = from.get(line.source);
      const b = to.get(line.destination);
      if (!a || !b) continue;
      const source = shown(line.source, a);
      const destination = shown(line.destination, b);
      // Calls inside a collapsed box are counted, not drawn.
      if (source === destination && source !== line.source) continue;
      visible = true;
      lines.push(source === line.source && destination === line.destination ? line : { ...line, source, destination });
    }
    if (!visible) hidden.insideBoxes += 1;
  }
  if ([...groups.values()].some((group) => group.collapsed)) lines = merge(lines);
  if (!options.allEdges && lines.length > EDGE_LIMIT) {
    const touches = (line: SceneEdge) =>
      options.selected !== undefined && (line.source === options.selected || line.destination === options.selected || line.edges.some((e) => e.id === options.selected || e.source === options.selected || e.destination === options.selected));
    const ranked = lines.map((line) => ({ line, score: (touches(line) ? 1e18 : 0) + (line.failing || line.slow ? 1e15 : 0) + timeSpent(line) }));
    ranked.sort((a, b) => b.score - a.score || (a.line.id < b.line.id ? -1 : 1));
    hidden.belowLimit = lines.length - EDGE_LIMIT;
    lines = ranked.slice(0, EDGE_LIMIT).map(({ line }) => line);
  }
  for (const node of nodes.values()) if (node.inside.some((one) => !one.filtered)) node.lonely = false;
  for (const line of lines) {
    for (const end of [line.source, line.destination]) {
      const node = nodes.get(end);
      if (node) node.lonely = false;
    }
  }
  return {
    nodes: [...nodes.values()],
    edges: lines,
    groups: [...groups.values()].sort((a, b) => (a.label < b.label ? -1 : 1)),
    hidden,
    floor,
    maxRps: lines.reduce((max, line) => Math.max(max, line.rps), 0),
  };
}

/** Line width in pixels: grows with the logarithm of the rate, from a hair at rest to 7 px at the busiest edge. */
export function thickness(rps: number, maxRps: number): number {
  if (rps <= 0 || maxRps <= 0) return 1;
  return 1.2 + 5.3 * (Math.log1p(rps) / Math.log1p(maxRps)) ** 1.6;
}

/** Words of a find box: every word must occur in the name, namespace, protocol, node or zone. */
export function matcher(find: string): ((...texts: (string | undefined)[]) => boolean) | undefined {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return undefined;
  return (...texts) => {
    const haystack = texts.filter(Boolean).join(" ").toLowerCase();
    return words.every((word) => haystack.includes(word));
  };
}

/** What the find box looks at for one workload. */
export function workloadTexts(workload: Workload): string[] {
  return [workload.name, workload.namespace, workload.kind, ...workload.pods.flatMap((pod) => [pod.name, pod.node ?? "", pod.zone ?? ""])];
}

/** "frontend → currency" */
export function edgeTitle(edge: { source: string; destination: string }): string {
  return `${shortName(edge.source)} → ${shortName(edge.destination)}`;
}

/** Classes with requests, nearest first. */
export function presentLocalities(edge: Edge): { name: Locality; part: Part }[] {
  return LOCALITIES.flatMap((name) => {
    const part = edge.localities[name];
    return part && part.requests > 0 ? [{ name, part }] : [];
  });
}

