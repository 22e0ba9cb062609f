/** The whole layout: each box inside, then the boxes among each other. Pure; runs in the worker. */
import { layered, ranks, type Inner } from "./layered";
import { EMPTY_BOX, PAD, TITLE, type Box, type LayoutEdge, type LayoutNode, type LayoutRequest, type LayoutResult, type Point } from "./types";

interface Block {
  id: string;
  w: number;
  h: number;
  column?: number;
  /** Corner of the content relative to the block's corner. */
  content: Point;
  inner?: Inner;
  empty: boolean;
}

/** Up to this many boxes are laid out in layers; more are packed in columns. */
const LAYERED_BOXES = 6;
const GAP = 56;
/** Above this many cards in several boxes, readable names are worth more than roomy lines. */
const COMPACT_NODES = 48;

export function layoutAll(request: LayoutRequest): LayoutResult {
  const members = new Map<string, LayoutNode[]>();
  const blockOf = new Map<string, string>();
  for (const node of request.nodes) {
    const key = node.group ?? (request.groups.length === 0 ? "" : node.id);
    blockOf.set(node.id, key);
    members.set(key, [...(members.get(key) ?? []), node]);
  }
  const inner = new Map<string, LayoutEdge[]>();
  const outer = new Map<string, LayoutEdge>();
  for (const edge of request.edges) {
    const a = blockOf.get(edge.source);
    const b = blockOf.get(edge.destination);
    if (a === undefined || b === undefined) continue;
    if (a === b) {
      const list = inner.get(a);
      if (list) list.push(edge);
      else inner.set(a, [edge]);
    } else {
      const key = `${a}>${b}`;
      const found = outer.get(key);
      if (found) found.weight += edge.weight;
      else outer.set(key, { id: key, source: a, destination: b, weight: edge.weight });
    }
  }
  const compact = request.nodes.length > COMPACT_NODES && members.size > 1;
  const columnOf = new Map(request.groups.map((group) => [group.id, group.column]));
  const extraOf = new Map(request.groups.map((group) => [group.id, group.extra ?? 0]));
  const blocks: Block[] = [...members.entries()].map(([id, nodes]) => {
    const [only] = nodes;
    if (nodes.length === 1 && only && only.id === id) return { id, w: only.w, h: only.h, column: columnOf.get(id), content: { x: 0, y: 0 }, inner: single(only), empty: false };
    const laid = layered(nodes, inner.get(id) ?? [], id === "" ? request.aspect : 1.5, compact && id !== "");
    if (id === "") return { id, w: laid.w, h: laid.h, content: { x: 0, y: 0 }, inner: laid, empty: false };
    return { id, w: Math.max(laid.w + 2 * PAD, 160), h: laid.h + TITLE + PAD + (extraOf.get(id) ?? 0), column: columnOf.get(id), content: { x: PAD, y: TITLE }, inner: laid, empty: false };
  });
  for (const group of request.groups) {
    if (!members.has(group.id)) blocks.push({ id: group.id, w: EMPTY_BOX.w, h: EMPTY_BOX.h + (group.extra ?? 0), column: group.column, content: { x: PAD, y: TITLE }, empty: true });
  }
  return assemble(blocks, arrange(blocks, [...outer.values()], request.aspect));
}

function single(node: LayoutNode): Inner {
  return { positions: new Map([[node.id, { x: node.w / 2, y: node.h / 2 }]]), routes: new Map(), labels: new Map(), w: node.w, h: node.h };
}

/** Top left corners of the blocks. */
function arrange(blocks: Block[], edges: LayoutEdge[], aspect: number): Map<string, Point> {
  if (blocks.length === 1) return new Map(blocks.map((block) => [block.id, { x: 0, y: 0 }]));
  if (blocks.some((block) => block.column !== undefined)) return packed(columnsByZone(blocks, aspect));
  if (blocks.length <= LAYERED_BOXES) {
    const laid = layered(blocks.map((block) => ({ id: block.id, w: block.w, h: block.h })), edges, aspect);
    return new Map(blocks.map((block) => {
      const centre = laid.positions.get(block.id) ?? { x: 0, y: 0 };
      return [block.id, { x: centre.x - block.w / 2, y: centre.y - block.h / 2 }];
    }));
  }
  return packed(columnsByCalls(blocks, edges, aspect));
}

/** Callers left of callees; a column ends when it is as high as the window's shape allows. */
function columnsByCalls(blocks: Block[], edges: LayoutEdge[], aspect: number): Block[][] {
  const rank = ranks(blocks.map((block) => block.id), edges);
  const area = blocks.reduce((sum, block) => sum + (block.w + GAP) * (block.h + GAP), 0);
  const height = Math.max(Math.sqrt(area / aspect), ...blocks.map((block) => block.h));
  const sorted = [...blocks].sort((a, b) => (rank.get(a.id) ?? 0) - (rank.get(b.id) ?? 0) || (a.id < b.id ? -1 : 1));
  const columns: Block[][] = [];
  let filled = Infinity;
  for (const block of sorted) {
    if (filled + block.h > height * 1.08) {
      columns.push([]);
      filled = 0;
    }
    columns.at(-1)?.push(block);
    filled += block.h + GAP;
  }
  return columns;
}

/** A column (or several side by side) for each zone. */
function columnsByZone(blocks: Block[], aspect: number): Block[][] {
  const zones = new Map<number, Block[]>();
  for (const block of [...blocks].sort((a, b) => (a.id < b.id ? -1 : 1))) zones.set(block.column ?? 99, [...(zones.get(block.column ?? 99) ?? []), block]);
  const area = blocks.reduce((sum, block) => sum + (block.w + GAP) * (block.h + GAP), 0);
  const rows = Math.sqrt(area / aspect);
  return [...zones.entries()].sort(([a], [b]) => a - b).flatMap(([, list]) => {
    const high = list.reduce((sum, block) => sum + block.h + GAP, 0);
    const parts = Math.max(1, Math.round(high / Math.max(rows, ...list.map((block) => block.h))));
    const per = Math.ceil(list.length / parts);
    return Array.from({ length: Math.ceil(list.length / per) }, (_, i) => list.slice(i * per, (i + 1) * per));
  });
}

function packed(columns: Block[][]): Map<string, Point> {
  const at = new Map<string, Point>();
  let x = 0;
  // From afar the titles stand above the boxes: many boxes need more room between them.
  const gap = columns.flat().length > 8 ? GAP * 1.7 : GAP;
  const heights = columns.map((column) => column.reduce((sum, block) => sum + block.h + gap, -gap));
  const tallest = Math.max(...heights);
  columns.forEach((column, i) => {
    const w = Math.max(...column.map((block) => block.w));
    let y = (tallest - (heights[i] ?? 0)) / 2;
    for (const block of column) {
      at.set(block.id, { x: x + (w - block.w) / 2, y });
      y += block.h + gap;
    }
    x += w + GAP * 1.6;
  });
  return at;
}

function assemble(blocks: Block[], corners: Map<string, Point>): LayoutResult {
  const result: LayoutResult = { positions: new Map(), routes: new Map(), labels: new Map(), empty: new Map<string, Box>() };
  for (const block of blocks) {
    const corner = corners.get(block.id) ?? { x: 0, y: 0 };
    if (block.empty) {
      result.empty.set(block.id, { x: corner.x + block.w / 2, y: corner.y + EMPTY_BOX.h / 2, ...EMPTY_BOX });
      continue;
    }
    const dx = corner.x + block.content.x;
    const dy = corner.y + block.content.y;
    const move = ({ x, y }: Point) => ({ x: x + dx, y: y + dy });
    for (const [id, point] of block.inner?.positions ?? []) result.positions.set(id, move(point));
    for (const [id, points] of block.inner?.routes ?? []) result.routes.set(id, points.map(move));
    for (const [id, point] of block.inner?.labels ?? []) result.labels.set(id, move(point));
  }
  return result;
}
