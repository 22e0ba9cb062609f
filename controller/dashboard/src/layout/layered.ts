/** Layered layouts of one box: dagre where it is quick enough, and a plain columns layout for large boxes. */
import { Graph, layout as dagreLayout } from "@dagrejs/dagre";
import type { LayoutEdge, LayoutNode, Point } from "./types";

export interface Inner {
  positions: Map<string, Point>;
  routes: Map<string, Point[]>;
  labels: Map<string, Point>;
  w: number;
  h: number;
}

/** Above these, crossing minimisation takes longer than people wait (dagre: 500 nodes ≈ 20 s). */
const DAGRE_NODES = 120;
const DAGRE_EDGES = 180;
/** Up to this many, the slower ranker that gives the shortest lines. */
const SIMPLEX_NODES = 60;

/** `compact`: columns packed to the box's shape, for boxes that must share the window with many others. */
export function layered(nodes: LayoutNode[], edges: LayoutEdge[], aspect: number, compact = false): Inner {
  const inside = new Set(nodes.map((node) => node.id));
  const own = busiest(edges.filter((edge) => inside.has(edge.source) && inside.has(edge.destination) && edge.source !== edge.destination), Math.max(30, nodes.length * 1.25));
  const linked = new Set(own.flatMap((edge) => [edge.source, edge.destination]));
  const connected = nodes.filter((node) => linked.has(node.id));
  const isolated = nodes.filter((node) => !linked.has(node.id));
  const core = connected.length === 0 ? blank() : !compact && connected.length <= DAGRE_NODES && own.length <= DAGRE_EDGES ? withDagre(connected, own, aspect) : inColumns(connected, own, aspect, compact ? 54 : 90);
  return isolated.length === 0 ? core : below(core, isolated, aspect);
}

/** The busiest edges shape the layout; the others are drawn over it. Keeps dense boxes quick and their lines short. */
function busiest(edges: LayoutEdge[], most: number): LayoutEdge[] {
  return edges.length <= most ? edges : [...edges].sort((a, b) => b.weight - a.weight || (a.id < b.id ? -1 : 1)).slice(0, most);
}

function blank(): Inner {
  return { positions: new Map(), routes: new Map(), labels: new Map(), w: 0, h: 0 };
}

function withDagre(nodes: LayoutNode[], edges: LayoutEdge[], aspect: number): Inner {
  const graph = new Graph({ multigraph: true });
  const labelled = edges.some((edge) => edge.label);
  graph.setGraph({ rankdir: "LR", ranker: nodes.length > SIMPLEX_NODES ? "tight-tree" : "network-simplex", acyclicer: "greedy", nodesep: labelled ? 36 : 22, ranksep: labelled ? 26 : 58, edgesep: labelled ? 16 : 10 });
  for (const node of nodes) graph.setNode(node.id, { width: node.w, height: node.h });
  for (const edge of edges) {
    graph.setEdge(edge.source, edge.destination, { weight: Math.max(1, Math.round(Math.log2(1 + edge.weight))), width: edge.label?.w ?? 0, height: edge.label?.h ?? 0, labelpos: "c" }, edge.id);
  }
  dagreLayout(graph);
  const out = blank();
  for (const id of graph.nodes()) {
    const { x, y } = graph.node(id) as Point;
    out.positions.set(id, { x, y });
  }
  for (const key of graph.edges()) {
    const laid = graph.edge(key) as { points?: Point[]; x?: number; y?: number };
    if (key.name === undefined || !laid.points) continue;
    out.routes.set(key.name, laid.points.map(({ x, y }) => ({ x, y })));
    if (laid.x !== undefined && laid.y !== undefined) out.labels.set(key.name, { x: laid.x, y: laid.y });
  }
  const size = graph.graph() as { width?: number; height?: number };
  out.w = size.width ?? 0;
  out.h = size.height ?? 0;
  return stretch(out, aspect);
}

/** A wide, flat layout uses the window's height: rows further apart, same order. */
function stretch(laid: Inner, aspect: number): Inner {
  const factor = Math.min(1.7, laid.h > 0 ? laid.w / aspect / laid.h : 1);
  if (factor <= 1) return laid;
  for (const at of laid.positions.values()) at.y *= factor;
  for (const at of laid.labels.values()) at.y *= factor;
  for (const route of laid.routes.values()) for (const at of route) at.y *= factor;
  laid.h *= factor;
  return laid;
}

/** Longest path from a source once back edges of a depth-first walk are left out: the column of each node. */
export function ranks(ids: string[], edges: { source: string; destination: string; weight: number }[]): Map<string, number> {
  const out = new Map<string, { to: string; weight: number }[]>();
  const incoming = new Map<string, number>(ids.map((id) => [id, 0]));
  for (const edge of edges) {
    if (edge.source === edge.destination) continue;
    const list = out.get(edge.source) ?? [];
    list.push({ to: edge.destination, weight: edge.weight });
    out.set(edge.source, list);
    incoming.set(edge.destination, (incoming.get(edge.destination) ?? 0) + 1);
  }
  for (const list of out.values()) list.sort((a, b) => b.weight - a.weight);
  // Depth first from the nodes with the fewest callers; finished order reversed is topological without back edges.
  const colour = new Map<string, 1 | 2>();
  const order: string[] = [];
  const back = new Set<string>();
  const roots = [...ids].sort((a, b) => (incoming.get(a) ?? 0) - (incoming.get(b) ?? 0) || (out.get(b)?.length ?? 0) - (out.get(a)?.length ?? 0) || (a < b ? -1 : 1));
  for (const root of roots) {
    if (colour.has(root)) continue;
    const stack: { id: string; next: number }[] = [{ id: root, next: 0 }];
    colour.set(root, 1);
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const child = out.get(top.id)?.[top.next];
      top.next += 1;
      if (!child) {
        colour.set(top.id, 2);
        order.push(top.id);
        stack.pop();
      } else if (colour.get(child.to) === 1) {
        back.add(`${top.id}>${child.to}`);
      } else if (!colour.has(child.to)) {
        colour.set(child.to, 1);
        stack.push({ id: child.to, next: 0 });
      }
    }
  }
  const rank = new Map<string, number>(ids.map((id) => [id, 0]));
  for (const id of order.reverse()) {
    for (const { to } of out.get(id) ?? []) {
      if (!back.has(`${id}>${to}`)) rank.set(to, Math.max(rank.get(to) ?? 0, (rank.get(id) ?? 0) + 1));
    }
  }
  return rank;
}

/**
 * Columns in the order of the ranks, each filled to the height that the window's shape allows; order inside a column by
 * the mean place of the neighbours. Linear in the edges.
 */
function inColumns(nodes: LayoutNode[], edges: LayoutEdge[], aspect: number, gap: number): Inner {
  const rank = ranks(nodes.map((node) => node.id), edges);
  const neighbours = new Map<string, string[]>();
  const link = (a: string, b: string) => {
    const list = neighbours.get(a);
    if (list) list.push(b);
    else neighbours.set(a, [b]);
  };
  for (const { source, destination } of edges) {
    link(source, destination);
    link(destination, source);
  }
  const rowHeight = Math.max(...nodes.map((node) => node.h)) + (gap > 60 ? 26 : 16);
  const width = Math.max(...nodes.map((node) => node.w)) + gap;
  const rows = Math.max(3, Math.round(Math.sqrt((nodes.length * width) / rowHeight / aspect)));
  const columns = fill([...nodes].sort((a, b) => (rank.get(a.id) ?? 0) - (rank.get(b.id) ?? 0) || (a.id < b.id ? -1 : 1)), rank, rows);
  const place = new Map<string, number>();
  columns.forEach((list) => list.forEach((node, i) => place.set(node.id, i / list.length)));
  for (let sweep = 0; sweep < 6; sweep++) {
    for (const list of sweep % 2 === 0 ? columns : [...columns].reverse()) {
      const mean = (node: LayoutNode) => {
        const around = neighbours.get(node.id) ?? [];
        return around.reduce((sum, id) => sum + (place.get(id) ?? 0), 0) / Math.max(1, around.length);
      };
      const keyed = list.map((node) => ({ node, key: mean(node) })).sort((a, b) => a.key - b.key || (a.node.id < b.node.id ? -1 : 1));
      keyed.forEach(({ node }, i) => {
        list[i] = node;
        place.set(node.id, i / list.length);
      });
    }
  }
  const out = blank();
  const tallest = Math.max(...columns.map((list) => list.length));
  columns.forEach((list, column) => {
    const top = ((tallest - list.length) / 2) * rowHeight;
    list.forEach((node, i) => out.positions.set(node.id, { x: (column + 0.5) * width - gap / 2, y: top + (i + 0.5) * rowHeight }));
  });
  out.w = columns.length * width - gap;
  out.h = tallest * rowHeight;
  return out;
}

/** A new column starts with a new rank once the last one is nearly full, and in any case when it is full. */
function fill(sorted: readonly LayoutNode[], rank: ReadonlyMap<string, number>, rows: number): LayoutNode[][] {
  const columns: LayoutNode[][] = [];
  let last: number | undefined;
  for (const node of sorted) {
    const current = columns.at(-1);
    const own = rank.get(node.id) ?? 0;
    if (!current || current.length >= rows || (own !== last && current.length >= rows * 0.8)) columns.push([node]);
    else current.push(node);
    last = own;
  }
  return columns;
}

/** Nodes without calls inside the box stand in rows under the others. */
function below(core: Inner, isolated: LayoutNode[], aspect: number): Inner {
  const w = Math.max(...isolated.map((node) => node.w)) + 24;
  const h = Math.max(...isolated.map((node) => node.h)) + 18;
  const perRow = core.w > 0 ? Math.max(1, Math.floor(core.w / w)) : Math.max(1, Math.min(isolated.length, Math.round(Math.sqrt((isolated.length * aspect * h) / w))));
  const top = core.h > 0 ? core.h + 26 : 0;
  isolated.forEach((node, i) => {
    core.positions.set(node.id, { x: (i % perRow) * w + w / 2, y: top + Math.floor(i / perRow) * h + h / 2 });
  });
  core.w = Math.max(core.w, Math.min(perRow, isolated.length) * w - 24);
  core.h = top + Math.ceil(isolated.length / perRow) * h - 18;
  return core;
}
