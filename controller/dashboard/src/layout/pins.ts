/**
 * Positions stay: a node that is on screen keeps its place through every update. New nodes go next to their
 * neighbours; only a mostly new graph, another grouping or the user's "tidy" asks for a new layout.
 */
import type { LayoutEdge, LayoutNode, Point } from "./types";

/** Below this share of known nodes a new layout reads better than patches. */
const KNOWN_ENOUGH = 0.5;

export function needsLayout(nodes: readonly LayoutNode[], known: ReadonlyMap<string, Point>): boolean {
  if (nodes.length === 0) return false;
  const found = nodes.reduce((sum, node) => sum + (known.has(node.id) ? 1 : 0), 0);
  return found < nodes.length * KNOWN_ENOUGH;
}

/** Places the nodes that have no position yet beside their neighbours (or their box), where nothing stands. */
export function placeNew(nodes: readonly LayoutNode[], edges: readonly LayoutEdge[], known: Map<string, Point>): string[] {
  const fresh = nodes.filter((node) => !known.has(node.id));
  if (fresh.length === 0) return [];
  const placed = nodes.filter((node) => known.has(node.id));
  for (const node of fresh) {
    const around = edges.flatMap((edge) => (edge.source === node.id ? [edge.destination] : edge.destination === node.id ? [edge.source] : []));
    const near = [...around, ...placed.filter((other) => node.group !== undefined && other.group === node.group).map((other) => other.id)]
      .flatMap((id) => known.get(id) ?? []);
    const inGroup = placed.filter((other) => other.group === node.group).flatMap((other) => known.get(other.id) ?? []);
    const anchors = inGroup.length > 0 ? inGroup : near.length > 0 ? near : [...known.values()].slice(0, 50);
    const centre = mean(around.length > 0 && inGroup.length > 0 ? [mean(inGroup), ...around.flatMap((id) => known.get(id) ?? [])] : anchors);
    known.set(node.id, freeSpot(node, centre, placed, known));
    placed.push(node);
  }
  return fresh.map((node) => node.id);
}

function mean(points: readonly Point[]): Point {
  if (points.length === 0) return { x: 0, y: 0 };
  return { x: points.reduce((sum, p) => sum + p.x, 0) / points.length, y: points.reduce((sum, p) => sum + p.y, 0) / points.length };
}

/** Walks squares around the wish until nothing overlaps. */
function freeSpot(node: LayoutNode, wish: Point, placed: readonly LayoutNode[], known: ReadonlyMap<string, Point>): Point {
  const gap = 18;
  const free = (at: Point) =>
    placed.every((other) => {
      const p = known.get(other.id);
      return !p || Math.abs(p.x - at.x) >= (node.w + other.w) / 2 + gap || Math.abs(p.y - at.y) >= (node.h + other.h) / 2 + gap;
    });
  for (let ring = 0; ring < 60; ring++) {
    for (let dx = -ring; dx <= ring; dx++) {
      for (const dy of Math.abs(dx) === ring ? range(-ring, ring) : [ring, -ring]) {
        const at = { x: wish.x + (dx * (node.w + gap)) / 2, y: wish.y + (dy * (node.h + gap)) / 2 };
        if (free(at)) return at;
      }
    }
  }
  return wish;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

const PREFIX = "huddle.positions.";
/** A saved arrangement of more nodes than this would crowd the browser's small store. */
const SAVED_NODES = 2000;

/** The user's arrangement, or nothing where there is none or the store is closed to us. */
export function loadPins(key: string): Map<string, Point> {
  try {
    const text = localStorage.getItem(PREFIX + key);
    const entries: unknown = text === null ? [] : JSON.parse(text);
    if (!Array.isArray(entries)) return new Map();
    return new Map(entries.flatMap((entry: unknown) => {
      if (!Array.isArray(entry) || typeof entry[0] !== "string" || !Number.isFinite(entry[1]) || !Number.isFinite(entry[2])) return [];
      return [[entry[0], { x: entry[1] as number, y: entry[2] as number }] as const];
    }));
  } catch {
    return new Map();
  }
}

export function savePins(key: string, positions: ReadonlyMap<string, Point>): void {
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify([...positions].slice(-SAVED_NODES).map(([id, p]) => [id, Math.round(p.x), Math.round(p.y)])));
  } catch {
    // A full or closed store costs the arrangement, not the page.
  }
}

export function forgetPins(key: string): void {
  try {
    localStorage.removeItem(PREFIX + key);
  } catch {
    // As above.
  }
}
