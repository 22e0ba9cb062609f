/** Shapes of edges: ports on the cards' sides, curves as polylines, and what follows from them. */
import type { Box, Point } from "../layout/types";

/** Corners of a polyline, with the length up to each. */
export interface Path {
  points: Point[];
  lengths: number[];
  box: { left: number; top: number; right: number; bottom: number };
}

export interface Line {
  id: string;
  source: string;
  destination: string;
}

type Side = "left" | "right" | "top";

interface Port {
  x: number;
  y: number;
}

function sides(a: Box, b: Box): [Side, Side] {
  if (a === b) return ["top", "top"];
  // A callee in the same column is left and entered on the right, so that the line does not run through cards.
  if (Math.abs(b.x - a.x) < (a.w + b.w) / 4) return ["right", "right"];
  return b.x > a.x ? ["right", "left"] : ["left", "right"];
}

/** Every line's two ends, spread along the cards' sides in the order of the other ends, so that lines do not cross at a card. */
export function ports(lines: readonly Line[], boxes: ReadonlyMap<string, Box>): Map<string, [Port, Port]> {
  const wanted = new Map<string, { key: string; order: number; side: Side; box: Box }[]>();
  const add = (node: string, side: Side, key: string, order: number, box: Box) => {
    const at = `${node}|${side}`;
    const list = wanted.get(at);
    if (list) list.push({ key, order, side, box });
    else wanted.set(at, [{ key, order, side, box }]);
  };
  for (const line of lines) {
    const a = boxes.get(line.source);
    const b = boxes.get(line.destination);
    if (!a || !b) continue;
    const [from, to] = sides(a, b);
    add(line.source, from, `${line.id}|0`, b.y, a);
    add(line.destination, to, `${line.id}|1`, a.y, b);
  }
  const found = new Map<string, Port>();
  for (const list of wanted.values()) {
    list.sort((a, b) => a.order - b.order || (a.key < b.key ? -1 : 1));
    list.forEach(({ key, side, box }, i) => {
      const step = Math.min(11, (box.h * 0.64) / list.length);
      const offset = (i - (list.length - 1) / 2) * step;
      found.set(key, side === "top" ? { x: box.x + offset, y: box.y - box.h / 2 } : { x: box.x + (side === "right" ? box.w / 2 : -box.w / 2), y: box.y + offset });
    });
  }
  const pairs = new Map<string, [Port, Port]>();
  for (const line of lines) {
    const a = found.get(`${line.id}|0`);
    const b = found.get(`${line.id}|1`);
    if (a && b) pairs.set(line.id, [a, b]);
  }
  return pairs;
}

function cubic(a: Point, c1: Point, c2: Point, b: Point, steps: number, out: Point[]): void {
  for (let i = 1; i <= steps; i++) {
    const t = i / steps;
    const u = 1 - t;
    out.push({
      x: u * u * u * a.x + 3 * u * u * t * c1.x + 3 * u * t * t * c2.x + t * t * t * b.x,
      y: u * u * u * a.y + 3 * u * u * t * c1.y + 3 * u * t * t * c2.y + t * t * t * b.y,
    });
  }
}

/** A smooth line from port to port, over the layout's bends where there are any. */
export function path(from: Point, to: Point, bends: readonly Point[], steps: number): Path {
  const points: Point[] = [from];
  const stops = [...bends, to];
  const forward = stops.every((stop, i) => stop.x >= (i === 0 ? from.x : (stops[i - 1]?.x ?? 0)) - 1);
  if (bends.length > 0 && forward) {
    let at: Point = from;
    for (const stop of stops) {
      const middle = (at.x + stop.x) / 2;
      if (Math.abs(stop.y - at.y) < 0.5) points.push(stop);
      else cubic(at, { x: middle, y: at.y }, { x: middle, y: stop.y }, stop, Math.max(6, Math.round(steps / 2)), points);
      at = stop;
    }
    return measure(points);
  }
  const reach = Math.max(36, Math.abs(to.x - from.x) / 2);
  if (from.x === to.x && from.y === to.y) return measure([from, to]);
  cubic(from, { x: from.x + reach, y: from.y }, { x: to.x - reach, y: to.y }, to, steps, points);
  return measure(points);
}

/** Leaves on the right and comes back on the right: a call to a card in the same column. */
export function bow(from: Point, to: Point, steps: number): Path {
  const reach = 40 + Math.min(80, Math.abs(to.y - from.y) / 5);
  const points: Point[] = [from];
  cubic(from, { x: from.x + reach, y: from.y }, { x: to.x + reach, y: to.y }, to, steps, points);
  return measure(points);
}

/** A workload that calls itself. */
export function loop(box: Box, steps: number): Path {
  const top = box.y - box.h / 2;
  const from = { x: box.x + box.w / 2 - 34, y: top };
  const to = { x: box.x + box.w / 2 - 12, y: top };
  const points: Point[] = [from];
  cubic(from, { x: from.x - 12, y: top - 34 }, { x: to.x + 12, y: top - 34 }, to, steps, points);
  return measure(points);
}

/** Right to left: leaves on the left and enters on the right. */
export function backward(from: Point, to: Point, steps: number): Path {
  const reach = Math.max(36, Math.abs(to.x - from.x) / 2);
  const points: Point[] = [from];
  cubic(from, { x: from.x - reach, y: from.y }, { x: to.x + reach, y: to.y }, to, steps, points);
  return measure(points);
}

export function measure(points: Point[]): Path {
  const lengths = [0];
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  points.forEach((p, i) => {
    const last = points[i - 1];
    if (last) lengths.push((lengths[i - 1] ?? 0) + Math.hypot(p.x - last.x, p.y - last.y));
    box.left = Math.min(box.left, p.x);
    box.right = Math.max(box.right, p.x);
    box.top = Math.min(box.top, p.y);
    box.bottom = Math.max(box.bottom, p.y);
  });
  return { points, lengths, box };
}

export function length(path: Path): number {
  return path.lengths.at(-1) ?? 0;
}

/** The point at a share of the length. */
export function along(path: Path, share: number): Point {
  const wanted = length(path) * Math.min(1, Math.max(0, share));
  for (let i = 1; i < path.points.length; i++) {
    const end = path.lengths[i] ?? 0;
    const a = path.points[i - 1];
    const b = path.points[i];
    if (end >= wanted && a && b) {
      const start = path.lengths[i - 1] ?? 0;
      const t = end === start ? 0 : (wanted - start) / (end - start);
      return { x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t };
    }
  }
  return path.points.at(-1) ?? { x: 0, y: 0 };
}

/** The first part, up to a share of the length, and the rest. */
export function split(path: Path, share: number): [Point[], Point[]] {
  if (share <= 0) return [[], path.points];
  if (share >= 1) return [path.points, []];
  const cut = along(path, share);
  const wanted = length(path) * share;
  const index = path.lengths.findIndex((l) => l >= wanted);
  return [[...path.points.slice(0, index), cut], [cut, ...path.points.slice(index)]];
}

/** Distance of a point from the line, or infinity where it is clearly further than `limit`. */
export function distance(path: Path, at: Point, limit: number): number {
  const { left, top, right, bottom } = path.box;
  if (at.x < left - limit || at.x > right + limit || at.y < top - limit || at.y > bottom + limit) return Infinity;
  let best = Infinity;
  for (let i = 1; i < path.points.length; i++) {
    const a = path.points[i - 1];
    const b = path.points[i];
    if (!a || !b) continue;
    const dx = b.x - a.x;
    const dy = b.y - a.y;
    const square = dx * dx + dy * dy;
    const t = square === 0 ? 0 : Math.min(1, Math.max(0, ((at.x - a.x) * dx + (at.y - a.y) * dy) / square));
    best = Math.min(best, Math.hypot(at.x - a.x - dx * t, at.y - a.y - dy * t));
  }
  return best;
}

export function overlaps(a: Box, b: Box, gap = 0): boolean {
  return Math.abs(a.x - b.x) < (a.w + b.w) / 2 + gap && Math.abs(a.y - b.y) < (a.h + b.h) / 2 + gap;
}
