/** A scene with places: what the renderer draws and the pointer hits. Rebuilt when the scene or a position changes. */
import { PAD, TITLE, type Box, type Point } from "../layout/types";
import type { PlanMarks } from "../model/plan";
import type { Scene, SceneEdge, SceneGroup, SceneInside, SceneNode } from "../model/scene";
import { backward, bow, loop, path, ports, type Path } from "./geometry";

export interface DrawnNode extends Box {
  node: SceneNode;
}

/** Height of a card; callees inside it are drawn below that, one under the other. */
export const CARD = 46;
/** Of a callee drawn inside its caller's card. */
const CHIP = { h: 45, gap: 7 };
/** Width of a card that holds one. */
export const HOLDING = 256;

/** Height of a card with so many callees inside. */
export function heightWith(inside: number): number {
  return CARD + inside * (CHIP.h + CHIP.gap);
}

export interface DrawnInside extends Box {
  inside: SceneInside;
}

/** Where the callees inside a card are drawn. */
export function insides({ node, x, y, w, h }: DrawnNode): DrawnInside[] {
  return node.inside.map((inside, i) => ({ inside, x, y: y - h / 2 + CARD - 2 + i * (CHIP.h + CHIP.gap) + CHIP.h / 2, w: w - 2 * CHIP.gap, h: CHIP.h }));
}

/** The first card that holds the callee of this edge, or this callee. */
export function findInside(nodes: Iterable<DrawnNode>, id: string): DrawnInside | undefined {
  for (const drawn of nodes) {
    const found = insides(drawn).find(({ inside: { edge } }) => edge.id === id || edge.destination === id);
    if (found) return found;
  }
  return undefined;
}

export interface DrawnEdge {
  edge: SceneEdge;
  path: Path;
  /** Where the layout kept room for the label. */
  label?: Point;
}

export interface DrawnGroup {
  group: SceneGroup;
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** A pod's way under the plan, where boxes are nodes or zones. */
export interface DrawnMove {
  from?: Box;
  to: Box;
  /** True where the target card exists only in the plan. */
  ghost: boolean;
  label: string;
  workload: string;
  done: boolean;
}

export interface Model {
  scene: Scene;
  nodes: Map<string, DrawnNode>;
  edges: DrawnEdge[];
  groups: DrawnGroup[];
  moves: DrawnMove[];
  bounds: { left: number; top: number; right: number; bottom: number };
}

export interface Places {
  positions: ReadonlyMap<string, Point>;
  empty: ReadonlyMap<string, Box>;
  routes: ReadonlyMap<string, readonly Point[]>;
  labels: ReadonlyMap<string, Point>;
  /** Positions as the layout gave them: a route holds while both ends are still there. */
  routedAt: ReadonlyMap<string, Point>;
}

export function buildModel(scene: Scene, places: Places, size: (node: SceneNode) => { w: number; h: number }, marks: PlanMarks | undefined, grouping: string): Model {
  const nodes = new Map<string, DrawnNode>();
  for (const node of scene.nodes) {
    const at = places.positions.get(node.id);
    if (at) nodes.set(node.id, { node, ...at, ...size(node) });
  }
  const groups = drawGroups(scene, nodes, places);
  const moves = drawMoves(nodes, groups, marks, grouping);
  const edges = drawEdges(scene.edges, nodes, places);
  holdLines(edges, nodes, groups);
  const bounds = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  const stretch = (left: number, top: number, right: number, bottom: number) => {
    bounds.left = Math.min(bounds.left, left);
    bounds.top = Math.min(bounds.top, top);
    bounds.right = Math.max(bounds.right, right);
    bounds.bottom = Math.max(bounds.bottom, bottom);
  };
  for (const n of nodes.values()) stretch(n.x - n.w / 2, n.y - n.h / 2, n.x + n.w / 2, n.y + n.h / 2);
  for (const g of groups) stretch(g.left, g.top, g.right, g.bottom);
  if (edges.length <= 200) for (const { path } of edges) stretch(path.box.left, path.box.top, path.box.right, path.box.bottom);
  return { scene, nodes, edges, groups, moves, bounds };
}

function drawGroups(scene: Scene, nodes: ReadonlyMap<string, DrawnNode>, places: Places): DrawnGroup[] {
  const found = new Map<string, DrawnGroup>();
  const byId = new Map(scene.groups.map((group) => [group.id, group]));
  for (const n of nodes.values()) {
    const group = n.node.group === undefined ? undefined : byId.get(n.node.group);
    if (!group) continue;
    const box = found.get(group.id) ?? { group, left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
    box.left = Math.min(box.left, n.x - n.w / 2 - PAD);
    box.right = Math.max(box.right, n.x + n.w / 2 + PAD);
    box.top = Math.min(box.top, n.y - n.h / 2 - TITLE);
    box.bottom = Math.max(box.bottom, n.y + n.h / 2 + PAD);
    found.set(group.id, box);
  }
  for (const group of scene.groups) {
    const at = places.empty.get(group.id);
    if (group.members === 0 && at) found.set(group.id, { group, left: at.x - at.w / 2, right: at.x + at.w / 2, top: at.y - at.h / 2, bottom: at.y + at.h / 2 });
  }
  return [...found.values()];
}

/** A box holds the lines between its members too, where those run outside the cards. */
function holdLines(edges: readonly DrawnEdge[], nodes: ReadonlyMap<string, DrawnNode>, groups: readonly DrawnGroup[]): void {
  if (edges.length > 400) return;
  const byId = new Map(groups.map((group) => [group.group.id, group]));
  for (const { edge, path, label } of edges) {
    const home = nodes.get(edge.source)?.node.group;
    const box = home === undefined || home !== nodes.get(edge.destination)?.node.group ? undefined : byId.get(home);
    if (!box) continue;
    const room = label ? 26 : 8;
    box.left = Math.min(box.left, path.box.left - 8);
    box.right = Math.max(box.right, path.box.right + 8);
    box.top = Math.min(box.top, path.box.top - room - (label ? 12 : 0));
    box.bottom = Math.max(box.bottom, path.box.bottom + room);
  }
}

function drawEdges(edges: readonly SceneEdge[], nodes: ReadonlyMap<string, DrawnNode>, places: Places): DrawnEdge[] {
  const ends = ports(edges, nodes);
  const steps = edges.length > 1500 ? 10 : edges.length > 300 ? 16 : 28;
  const unmoved = (id: string) => {
    const now = places.positions.get(id);
    const then = places.routedAt.get(id);
    return now !== undefined && then !== undefined && now.x === then.x && now.y === then.y;
  };
  return edges.flatMap((edge) => {
    const pair = ends.get(edge.id);
    const a = nodes.get(edge.source);
    const b = nodes.get(edge.destination);
    if (!pair || !a || !b) return [];
    const [from, to] = pair;
    if (a === b) return [{ edge, path: loop(a, steps) }];
    if (from.x < a.x) return [{ edge, path: backward(from, to, steps) }];
    if (to.x > b.x) return [{ edge, path: bow(from, to, steps) }];
    const route = unmoved(edge.source) && unmoved(edge.destination) ? places.routes.get(edge.id) : undefined;
    const bends = route ? route.slice(1, -1) : [];
    return [{ edge, path: path(from, to, bends, steps), label: route ? places.labels.get(edge.id) : undefined }];
  });
}

/** Cards that only the plan has, by box: `extraRoom` keeps space for them and `drawMoves` draws them. */
export function extraRoom(scene: Scene, marks: PlanMarks | undefined, grouping: string): Map<string, number> {
  const room = new Map<string, number>();
  if (!marks || grouping !== "node") return room;
  const present = new Set(scene.nodes.map((node) => node.id));
  const ghosts = new Set(marks.moves.filter((move) => move.to !== undefined && !move.done && !present.has(`${move.workload}@${move.to}`)).map((move) => `${move.workload}@${move.to}`));
  for (const ghost of ghosts) {
    const id = `${grouping}:${ghost.slice(ghost.lastIndexOf("@") + 1)}`;
    room.set(id, (room.get(id) ?? 0) + GHOST_ROW);
  }
  return room;
}

const GHOST_ROW = 62;

function drawMoves(nodes: ReadonlyMap<string, DrawnNode>, groups: DrawnGroup[], marks: PlanMarks | undefined, grouping: string): DrawnMove[] {
  if (!marks || grouping !== "node") return [];
  const moves: DrawnMove[] = [];
  const ghosts = new Map<string, Box>();
  for (const move of marks.moves) {
    if (move.to === undefined) continue;
    const from = nodes.get(`${move.workload}@${move.from ?? ""}`);
    const target = nodes.get(`${move.workload}@${move.to}`);
    const workload = move.workload.split("/").at(-1) ?? move.workload;
    if (target) {
      moves.push({ from, to: target, ghost: false, label: workload, workload: move.workload, done: move.done });
      continue;
    }
    const group = groups.find((g) => g.group.id === `${grouping}:${move.to}`);
    if (!group || move.done) continue;
    const key = `${move.workload}@${move.to}`;
    let ghost = ghosts.get(key);
    if (!ghost) {
      const w = from?.w ?? 150;
      const h = from?.h ?? 46;
      const first = group.group.members === 0 && ![...ghosts.keys()].some((k) => k.endsWith(`@${move.to}`));
      const top = first ? group.top + TITLE : group.bottom - PAD + 16;
      ghost = { x: (group.left + group.right) / 2, y: top + h / 2, w, h };
      group.bottom = Math.max(group.bottom, top + h + PAD);
      ghosts.set(key, ghost);
    }
    moves.push({ from, to: ghost, ghost: true, label: workload, workload: move.workload, done: false });
  }
  return moves;
}
