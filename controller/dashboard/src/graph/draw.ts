/** Paints one frame. No state of its own: the same arguments paint the same picture. */
import type { Box, Point } from "../layout/types";
import { ends, type PlanMarks } from "../model/plan";
import { thickness, type SceneEdge } from "../model/scene";
import { shortName } from "../model/format";
import type { Metric } from "../model/url";
import type { Camera } from "./camera";
import { along, length, split } from "./geometry";
import { drawInside } from "./inside";
import { cue, findPlace, labelText, type LabelText } from "./labels";
import { CARD, insides, type DrawnEdge, type DrawnGroup, type DrawnMove, type DrawnNode, type Model } from "./model";
import type { Palette } from "./palette";
import { fitText, FONT, rounded } from "./pen";

export interface Frame {
  model: Model;
  camera: Camera;
  width: number;
  height: number;
  ratio: number;
  palette: Palette;
  metric: Metric;
  marks?: PlanMarks;
  /** Selected or hovered: a workload, edge, box or line. */
  focus?: string;
  hovered?: string;
  /** True for nodes the find box does not match. */
  unmatched?: (node: DrawnNode) => boolean;
  keyboard: boolean;
}

/** What was painted inside the window; for the tests and for screen readers' counts. */
export interface Painted {
  nodes: number;
  edges: number;
  labels: number;
}

interface Sight {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export function paint(ctx: CanvasRenderingContext2D, frame: Frame): Painted {
  const { camera, palette, width, height, ratio, model } = frame;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.fillStyle = palette.background;
  ctx.fillRect(0, 0, width, height);
  const a = camera.toWorld({ x: 0, y: 0 });
  const b = camera.toWorld({ x: width, y: height });
  const sight: Sight = { left: a.x, top: a.y, right: b.x, bottom: b.y };
  ctx.setTransform(ratio * camera.k, 0, 0, ratio * camera.k, ratio * camera.tx, ratio * camera.ty);
  const related = relatedTo(frame);
  for (const group of model.groups) if (group.right > sight.left && group.left < sight.right && group.bottom > sight.top && group.top < sight.bottom) drawGroup(ctx, frame, group, sight);
  const edges = model.edges.filter(({ path: { box } }) => box.right > sight.left - 8 && box.left < sight.right + 8 && box.bottom > sight.top - 8 && box.top < sight.bottom + 8);
  drawEdges(ctx, frame, edges, related);
  for (const move of model.moves) drawMove(ctx, frame, move);
  const nodes = [...model.nodes.values()].filter((n) => n.x + n.w / 2 > sight.left && n.x - n.w / 2 < sight.right && n.y + n.h / 2 + 24 > sight.top && n.y - n.h / 2 < sight.bottom);
  for (const node of nodes) drawNode(ctx, frame, node, related);
  for (const group of model.groups) if (camera.k < FAR_TITLES) groupTitle(ctx, frame, group, sight);
  const labels = drawLabels(ctx, frame, edges, nodes, related);
  return { nodes: nodes.length, edges: edges.length, labels };
}

interface Related {
  active: boolean;
  nodes: Set<string>;
  edges: Set<string>;
}

/** The focus with its neighbours stays bright; the rest steps back. */
function relatedTo({ focus, model }: Frame): Related {
  const related: Related = { active: false, nodes: new Set(), edges: new Set() };
  if (focus === undefined) return related;
  const own = new Set<string>();
  for (const { node } of model.nodes.values()) if (node.id === focus || node.workload?.id === focus) own.add(node.id);
  // A callee that runs inside: its callers' cards, and its own where it has one.
  for (const { node } of model.nodes.values()) {
    for (const { edge } of node.inside) {
      const about = edge.id === focus || edge.destination === focus;
      if (about) related.nodes.add(node.id);
      if (about || own.has(node.id)) for (const other of model.nodes.values()) if (other.node.workload?.id === edge.destination) related.nodes.add(other.node.id);
    }
  }
  for (const group of model.groups) if (group.group.id === focus) for (const { node } of model.nodes.values()) if (node.group === focus) own.add(node.id);
  for (const id of own) related.nodes.add(id);
  for (const { edge } of model.edges) {
    if (edge.id === focus || own.has(edge.source) || own.has(edge.destination) || edge.edges.some((e) => e.id === focus)) {
      related.edges.add(edge.id);
      related.nodes.add(edge.source);
      related.nodes.add(edge.destination);
    }
  }
  related.active = related.nodes.size > 0;
  return related;
}

/** Sizes that keep their size on screen down to a floor: titles stay readable when zoomed out. */
function atLeast(size: number, onScreen: number, k: number): number {
  return Math.max(size, onScreen / k);
}

function drawGroup(ctx: CanvasRenderingContext2D, frame: Frame, drawn: DrawnGroup, sight: Sight): void {
  const { palette, camera } = frame;
  const { left, top, right, bottom, group } = drawn;
  rounded(ctx, left, top, right - left, bottom - top, 14);
  ctx.fillStyle = palette.box;
  ctx.fill();
  ctx.lineWidth = frame.focus === group.id ? 2 / camera.k : Math.max(1, 1 / camera.k);
  ctx.strokeStyle = frame.focus === group.id ? palette.accent : palette.boxBorder;
  ctx.stroke();
  if (camera.k >= FAR_TITLES) groupTitle(ctx, frame, drawn, sight);
  if (camera.k > 0.45 && group.members > 1) {
    const box = toggleBoxOf(drawn);
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = palette.muted;
    ctx.beginPath();
    ctx.moveTo(box.x - 4, box.y);
    ctx.lineTo(box.x + 4, box.y);
    ctx.stroke();
  }
}

/** Below this zoom titles stand above their boxes and over everything else. */
const FAR_TITLES = 0.5;

function groupTitle(ctx: CanvasRenderingContext2D, { palette, camera }: Frame, { left, top, right, bottom, group }: DrawnGroup, sight: Sight): void {
  const size = Math.min(atLeast(12.5, 12, camera.k), 80);
  const room = right - left - 20;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.font = `600 ${size}px ${FONT}`;
  ctx.fillStyle = palette.text;
  // The title stays in sight while its box is.
  const y = camera.k < FAR_TITLES ? top - size * 0.7 : Math.min(Math.max(top + 17, sight.top + 16 / camera.k), bottom - 12);
  const title = fitText(ctx, group.label, room);
  ctx.fillText(title, camera.k < FAR_TITLES ? left + 4 : left + 16, y);
  const after = left + 16 + ctx.measureText(title).width + 8;
  const sub = [group.sub, group.members === 0 ? "no workloads" : ""].filter(Boolean).join(" · ");
  ctx.font = `400 ${size * 0.9}px ${FONT}`;
  ctx.fillStyle = palette.muted;
  if (sub && after + ctx.measureText(sub).width < right - 30) ctx.fillText(sub, after, y);
}

/** The "−" in a box's corner. */
export function toggleBoxOf(drawn: DrawnGroup): Box {
  return { x: drawn.right - 18, y: drawn.top + 17, w: 24, h: 24 };
}

function trace(ctx: CanvasRenderingContext2D, points: readonly Point[]): void {
  points.forEach((p, i) => (i === 0 ? ctx.moveTo(p.x, p.y) : ctx.lineTo(p.x, p.y)));
}

function edgeColour(edge: SceneEdge, palette: Palette): string {
  return edge.failing ? palette.error : palette.level[edge.level];
}

function textColour(edge: SceneEdge, palette: Palette): string {
  return edge.failing ? palette.error : palette.levelText[edge.level];
}

function drawEdges(ctx: CanvasRenderingContext2D, frame: Frame, edges: readonly DrawnEdge[], related: Related): void {
  const { camera, palette, model, marks } = frame;
  const crowded = edges.length > 250;
  ctx.lineCap = "butt";
  ctx.lineJoin = "round";
  // Quiet ones first, so that what matters lies on top.
  const order = (d: DrawnEdge) => (related.edges.has(d.edge.id) ? 8 : 0) + (d.edge.failing ? 4 : 0) + ({ unknown: 0, near: 1, far: 2, veryFar: 3 })[d.edge.level];
  const sorted = [...edges].sort((x, y) => order(x) - order(y));
  for (const drawn of sorted) {
    const { edge, path } = drawn;
    const bright = related.edges.has(edge.id);
    const dim = (related.active && !bright) || unmatchedEdge(frame, edge);
    ctx.globalAlpha = dim ? 0.1 : bright ? 1 : restingAlpha(frame, edge, crowded);
    const w = Math.max(thickness(edge.rps, model.scene.maxRps) * (crowded && !bright ? 0.62 : 1), 0.8 / camera.k);
    const colour = edgeColour(edge, palette);
    const [only] = edge.edges;
    if (marks && only && edge.edges.length === 1 && marks.edges.has(ends(only)) && !dim && (edge.locality === undefined || bright)) underlay(ctx, path.points, w + 9, palette.planSoft);
    if (bright && (edge.id === frame.focus || edge.edges.some((e) => e.id === frame.focus))) underlay(ctx, path.points, w + 6, palette.accent, 0.28);
    ctx.strokeStyle = colour;
    ctx.lineWidth = w;
    const total = length(path);
    const head = Math.min(total * 0.4, 6 + w * 1.5);
    const share = edge.local ?? 0;
    const body = 1 - head / Math.max(total, 1);
    const [line] = split(path, body);
    const plain = camera.k < 0.3 || (crowded && camera.k < 0.6 && !bright) || (edge.locality !== undefined && edge.local !== 0);
    if (plain || edge.local === undefined) {
      ctx.beginPath();
      trace(ctx, line);
      ctx.stroke();
    } else {
      // Solid up to the local share of the calls, dashed for those that leave the node.
      const [solid, dashed] = split(path, share * body);
      if (solid.length > 1) {
        ctx.beginPath();
        trace(ctx, solid);
        ctx.stroke();
      }
      if (share < 0.995) {
        const rest = dashed.length > 0 ? clipEnd(dashed, head) : dashed;
        ctx.setLineDash([Math.max(6, w * 1.7), Math.max(4, w * 1.1)]);
        ctx.beginPath();
        trace(ctx, rest);
        ctx.stroke();
        ctx.setLineDash([]);
      }
    }
    if (camera.k > 0.18) arrow(ctx, path.points, head, w, colour);
  }
  ctx.globalAlpha = 1;
}

/** Lines between boxes step back where there are many: they are the ones that tangle. */
function restingAlpha({ model }: Frame, edge: SceneEdge, crowded: boolean): number {
  const home = (id: string) => model.nodes.get(id)?.node.group ?? (model.groups.length > 0 ? id : "");
  const between = home(edge.source) !== home(edge.destination);
  if (edge.locality !== undefined) return between ? 0.28 : 0.95;
  if (!crowded) return between && model.edges.length > 60 ? 0.55 : 0.9;
  if (edge.failing) return 0.6;
  return between ? 0.12 + 0.06 * thickness(edge.rps, model.scene.maxRps) : 0.5;
}

function underlay(ctx: CanvasRenderingContext2D, points: readonly Point[], w: number, colour: string, alpha = 1): void {
  const before = ctx.globalAlpha;
  ctx.globalAlpha = alpha;
  ctx.lineCap = "round";
  ctx.strokeStyle = colour;
  ctx.lineWidth = w;
  ctx.beginPath();
  trace(ctx, points);
  ctx.stroke();
  ctx.lineCap = "butt";
  ctx.globalAlpha = before;
}

/** Cuts `cut` pixels off the end, where the arrow head is. */
function clipEnd(points: readonly Point[], cut: number): Point[] {
  const out = [...points];
  let left = cut;
  while (out.length > 1) {
    const end = out.at(-1);
    const before = out.at(-2);
    if (!end || !before) break;
    const step = Math.hypot(end.x - before.x, end.y - before.y);
    if (step > left) {
      const t = 1 - left / step;
      out[out.length - 1] = { x: before.x + (end.x - before.x) * t, y: before.y + (end.y - before.y) * t };
      break;
    }
    left -= step;
    out.pop();
  }
  return out;
}

function arrow(ctx: CanvasRenderingContext2D, points: readonly Point[], head: number, w: number, colour: string): void {
  const tip = points.at(-1);
  const from = clipEnd(points, head).at(-1);
  if (!tip || !from) return;
  const size = Math.hypot(tip.x - from.x, tip.y - from.y) || 1;
  const nx = (-(tip.y - from.y) / size) * (3 + w * 0.75);
  const ny = ((tip.x - from.x) / size) * (3 + w * 0.75);
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.moveTo(tip.x, tip.y);
  ctx.lineTo(from.x + nx, from.y + ny);
  ctx.lineTo(from.x - nx, from.y - ny);
  ctx.closePath();
  ctx.fill();
}

function unmatchedEdge(frame: Frame, edge: SceneEdge): boolean {
  if (!frame.unmatched) return false;
  const a = frame.model.nodes.get(edge.source);
  const b = frame.model.nodes.get(edge.destination);
  return (!a || frame.unmatched(a)) && (!b || frame.unmatched(b));
}

function drawNode(ctx: CanvasRenderingContext2D, frame: Frame, drawn: DrawnNode, related: Related): void {
  const { palette, camera } = frame;
  const { node, x, y, w, h } = drawn;
  const left = x - w / 2;
  const top = y - h / 2;
  const selected = frame.focus !== undefined && (node.id === frame.focus || node.workload?.id === frame.focus);
  const hovered = frame.hovered !== undefined && (node.id === frame.hovered || node.workload?.id === frame.hovered);
  const dim = (related.active && !related.nodes.has(node.id)) || frame.unmatched?.(drawn) === true;
  ctx.globalAlpha = dim ? 0.32 : node.lonely && frame.model.scene.hidden.filtered > 0 ? 0.45 : 1;
  if (!node.workload) {
    rounded(ctx, left + 5, top + 5, w, h, 9);
    ctx.fillStyle = palette.card;
    ctx.fill();
    ctx.strokeStyle = palette.cardBorder;
    ctx.lineWidth = 1;
    ctx.stroke();
  }
  rounded(ctx, left, top, w, h, 9);
  ctx.fillStyle = palette.card;
  ctx.fill();
  ctx.lineWidth = selected ? (frame.keyboard ? 3 : 2) : 1;
  ctx.strokeStyle = selected || hovered ? palette.accent : palette.cardBorder;
  ctx.stroke();
  if (camera.k < 0.22) {
    ctx.globalAlpha = 1;
    return;
  }
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  const twoLines = camera.k >= 0.5;
  // Callees inside stand below the card's own two lines.
  const middle = node.inside.length > 0 ? top + CARD / 2 : y;
  for (const inside of insides(drawn)) drawInside(ctx, frame, inside);
  if (!twoLines) {
    farName(ctx, frame, { ...drawn, y: middle });
  } else {
    status(ctx, palette, node.warning !== undefined, left + 15, middle);
    ctx.fillStyle = palette.text;
    ctx.font = `600 13px ${FONT}`;
    ctx.fillText(fitText(ctx, node.label, w - 36), left + 27, middle - 8);
    ctx.font = `400 11px ${FONT}`;
    ctx.fillStyle = node.warning ? palette.warn : palette.muted;
    ctx.fillText(fitText(ctx, node.warning ?? node.sub, w - 36), left + 27, middle + 10);
    if (!node.workload) {
      ctx.textAlign = "right";
      ctx.font = `600 15px ${FONT}`;
      ctx.fillStyle = palette.muted;
      ctx.fillText("+", left + w - 12, y);
    } else {
      badges(ctx, frame, drawn);
    }
  }
  ctx.globalAlpha = 1;
}

/** From afar a card has its name only, as large as it fits but not below what can be read; no text where none could be. */
function farName(ctx: CanvasRenderingContext2D, { palette, camera }: Frame, { node, x, y, w }: DrawnNode): void {
  if (camera.k < 0.24) return;
  const wish = Math.min(22, 9 / camera.k);
  ctx.font = `600 ${wish}px ${FONT}`;
  const size = Math.max(Math.min(wish, 8 / camera.k), Math.min(wish, (wish * (w - 16)) / Math.max(1, ctx.measureText(node.label).width)));
  ctx.font = `600 ${size}px ${FONT}`;
  ctx.fillStyle = node.warning ? palette.warn : palette.text;
  ctx.textAlign = "center";
  ctx.fillText(fitText(ctx, node.warning ? `▲ ${node.label}` : node.label, w - 12), x, y);
  ctx.textAlign = "left";
}

/** A disc for well, a triangle for "look here": the shape says it without the colour. */
function status(ctx: CanvasRenderingContext2D, palette: Palette, warning: boolean, x: number, y: number): void {
  ctx.beginPath();
  if (warning) {
    ctx.moveTo(x, y - 5.5);
    ctx.lineTo(x + 5.5, y + 4.5);
    ctx.lineTo(x - 5.5, y + 4.5);
    ctx.closePath();
    ctx.fillStyle = palette.warn;
  } else {
    ctx.arc(x, y, 3.6, 0, Math.PI * 2);
    ctx.fillStyle = palette.good;
  }
  ctx.fill();
}

/** What the plan does to a workload, and where that is said: under its card. */
function badge(ctx: CanvasRenderingContext2D, frame: Frame, { node, x, y, h }: DrawnNode): { text: string; box: Box } | undefined {
  const { marks } = frame;
  const id = node.workload?.id;
  if (!marks || id === undefined || frame.model.moves.length > 0) return undefined;
  const moves = marks.moves.filter((move) => move.workload === id);
  const texts: string[] = [];
  if (moves.length > 0) texts.push(moves.every((m) => m.done) ? `✓ ${moves.length} moved` : `⇢ ${moves.length} to move`);
  else if (marks.ruled.has(id)) texts.push("⇢ rule");
  if (marks.routed.has(id)) texts.push("local route");
  for (const joining of marks.joinings) if (joining.caller === id) texts.push(`${joining.done ? "✓" : "⇢"} ${shortName(joining.callee)} inside`);
  if (texts.length === 0) return undefined;
  const text = texts.join("  ·  ");
  ctx.font = BADGE_FONT;
  return { text, box: { x, y: y + h / 2 + 6.5, w: ctx.measureText(text).width + 14, h: 17 } };
}

const BADGE_FONT = `600 10.5px ${FONT}`;

function badges(ctx: CanvasRenderingContext2D, frame: Frame, node: DrawnNode): void {
  const { palette } = frame;
  const drawn = badge(ctx, frame, node);
  if (!drawn) return;
  const { text, box } = drawn;
  rounded(ctx, box.x - box.w / 2, box.y - box.h / 2, box.w, box.h, 8.5);
  ctx.fillStyle = palette.plan;
  ctx.fill();
  ctx.font = BADGE_FONT;
  ctx.fillStyle = palette.card;
  ctx.textAlign = "left";
  ctx.fillText(text, box.x - box.w / 2 + 7, box.y + 0.5);
}

function drawMove(ctx: CanvasRenderingContext2D, frame: Frame, move: DrawnMove): void {
  const { palette } = frame;
  const { to, from } = move;
  if (move.ghost) {
    rounded(ctx, to.x - to.w / 2, to.y - to.h / 2, to.w, to.h, 9);
    ctx.fillStyle = palette.planSoft;
    ctx.fill();
    ctx.setLineDash([5, 4]);
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = palette.plan;
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.font = `600 13px ${FONT}`;
    ctx.fillStyle = palette.plan;
    ctx.fillText(fitText(ctx, move.label, to.w - 24), to.x - to.w / 2 + 14, to.y - 8);
    ctx.font = `400 11px ${FONT}`;
    ctx.fillText("planned", to.x - to.w / 2 + 14, to.y + 10);
  }
  if (!from) return;
  const side = to.x >= from.x ? 1 : -1;
  const a = { x: from.x + (side * from.w) / 2, y: from.y + from.h / 4 };
  const b = { x: to.x - (side * to.w) / 2, y: to.y + (move.ghost ? 0 : to.h / 4) };
  const reach = Math.max(40, Math.abs(b.x - a.x) / 2) * side;
  ctx.strokeStyle = palette.plan;
  ctx.lineWidth = 2.5;
  ctx.setLineDash(move.done ? [] : [2, 5]);
  ctx.lineCap = "round";
  ctx.beginPath();
  ctx.moveTo(a.x, a.y);
  ctx.bezierCurveTo(a.x + reach, a.y, b.x - reach, b.y, b.x, b.y);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.lineCap = "butt";
  arrow(ctx, [{ x: b.x - side * 12, y: b.y }, b], 10, 4, palette.plan);
}

/** Which edges get a full label: the focus always, all of them where there is room. */
function wantsLabel(frame: Frame, drawn: DrawnEdge, related: Related, inSight: number): boolean {
  const { edge } = drawn;
  if (edge.id === frame.hovered || edge.id === frame.focus || edge.edges.some((e) => e.id === frame.focus)) return true;
  if (related.active) return related.edges.has(edge.id) && related.edges.size <= 24 && frame.camera.k > 0.4;
  return (frame.camera.k >= 0.62 && inSight <= 48) || (frame.camera.k >= 1.1 && inSight <= 140);
}

function drawLabels(ctx: CanvasRenderingContext2D, frame: Frame, edges: readonly DrawnEdge[], nodes: readonly DrawnNode[], related: Related): number {
  const { camera } = frame;
  const k = Math.max(1, 0.82 / camera.k);
  const taken: Box[] = nodes.map(({ x, y, w, h }) => ({ x, y, w, h }));
  // Badges are drawn where the cards are (see drawNode); a label would cover them.
  for (const node of nodes) {
    const box = badge(ctx, frame, node)?.box;
    if (box) taken.push(box);
  }
  let count = 0;
  const important = (d: DrawnEdge) => (d.edge.id === frame.hovered || d.edge.id === frame.focus ? 1e9 : 0) + (d.edge.failing || d.edge.slow ? 1e6 : 0) + d.edge.rps;
  const sorted = edges.length > 400 && camera.k < 0.6 ? edges.filter((d) => related.edges.has(d.edge.id) || d.edge.id === frame.hovered) : [...edges];
  sorted.sort((x, y) => important(y) - important(x));
  for (const drawn of sorted) {
    if (related.active && !related.edges.has(drawn.edge.id) && drawn.edge.id !== frame.hovered) continue;
    if (unmatchedEdge(frame, drawn.edge)) continue;
    if (wantsLabel(frame, drawn, related, edges.length)) {
      const text = labelText(drawn.edge, frame.metric, frame.model.scene.floor, frame.marks);
      const size = labelSize(ctx, text, k);
      const place = findPlace(drawn, size, taken, drawn.edge.id === frame.hovered || drawn.edge.id === frame.focus);
      if (place) {
        fullLabel(ctx, frame, drawn.edge, text, place, k);
        taken.push(place);
        count += 1;
        continue;
      }
    }
    const short = cue(drawn.edge, frame.model.scene.floor);
    const apart = drawn.edge.locality !== undefined && !related.edges.has(drawn.edge.id);
    if (short && !apart && camera.k > 0.5 && edges.length < 200) {
      ctx.font = `600 ${10.5 * k}px ${FONT}`;
      const box = findPlace(drawn, { w: ctx.measureText(short).width + 12 * k, h: 17 * k }, taken, false);
      if (box) {
        pill(ctx, frame, short, box, k, drawn.edge);
        taken.push(box);
      }
    }
  }
  return count;
}

function labelSize(ctx: CanvasRenderingContext2D, text: LabelText, k: number): { w: number; h: number } {
  ctx.font = `600 ${11.5 * k}px ${FONT}`;
  const cueWidth = text.cue ? ctx.measureText(text.cue).width + 16 * k : 0;
  const first = ctx.measureText(text.first).width + cueWidth;
  ctx.font = `400 ${10.5 * k}px ${FONT}`;
  const second = ctx.measureText(text.second).width;
  ctx.font = `600 ${10.5 * k}px ${FONT}`;
  const third = text.plan ? ctx.measureText(text.plan).width : 0;
  return { w: Math.max(first, second, third) + 16 * k, h: (text.plan ? 50 : 35) * k };
}

function fullLabel(ctx: CanvasRenderingContext2D, frame: Frame, edge: SceneEdge, text: LabelText, box: Box, k: number): void {
  const { palette } = frame;
  const left = box.x - box.w / 2;
  const top = box.y - box.h / 2;
  rounded(ctx, left, top, box.w, box.h, 7 * k);
  ctx.fillStyle = palette.label;
  ctx.fill();
  ctx.lineWidth = k;
  ctx.strokeStyle = palette.boxBorder;
  ctx.stroke();
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.font = `600 ${11.5 * k}px ${FONT}`;
  ctx.fillStyle = palette.text;
  ctx.fillText(text.first, left + 8 * k, top + 11.5 * k);
  if (text.cue) {
    const at = left + 8 * k + ctx.measureText(text.first).width + 7 * k;
    ctx.fillStyle = textColour(edge, palette);
    ctx.fillText(text.cue, at, top + 11.5 * k);
  }
  ctx.font = `400 ${10.5 * k}px ${FONT}`;
  ctx.fillStyle = palette.muted;
  ctx.fillText(text.second, left + 8 * k, top + 25.5 * k);
  if (text.plan) {
    ctx.font = `600 ${10.5 * k}px ${FONT}`;
    ctx.fillStyle = palette.plan;
    ctx.fillText(text.plan, left + 8 * k, top + 40 * k);
  }
}

function pill(ctx: CanvasRenderingContext2D, frame: Frame, text: string, box: Box, k: number, edge: SceneEdge): void {
  rounded(ctx, box.x - box.w / 2, box.y - box.h / 2, box.w, box.h, box.h / 2);
  ctx.fillStyle = frame.palette.label;
  ctx.fill();
  ctx.lineWidth = 1.2 * k;
  ctx.strokeStyle = edgeColour(edge, frame.palette);
  ctx.stroke();
  ctx.fillStyle = textColour(edge, frame.palette);
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.font = `600 ${10.5 * k}px ${FONT}`;
  ctx.fillText(text, box.x, box.y + 0.5);
}

/** The middle of a line: where the keyboard's focus goes. */
export function middle(drawn: DrawnEdge): Point {
  return along(drawn.path, 0.5);
}
