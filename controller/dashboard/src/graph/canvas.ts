/** The graph on a canvas: what to paint when, and what the pointer and the keyboard do. */
import type { Box, Point } from "../layout/types";
import type { PlanMarks } from "../model/plan";
import type { Scene, SceneNode } from "../model/scene";
import type { Metric } from "../model/url";
import { arranger } from "./arrangement";
import { Camera } from "./camera";
import { middle, paint, toggleBoxOf, type Painted } from "./draw";
import { distance } from "./geometry";
import { buildModel, CARD, extraRoom, findInside, heightWith, HOLDING, insides, type DrawnEdge, type DrawnGroup, type DrawnInside, type DrawnNode, type Model } from "./model";
import { readPalette, type Palette } from "./palette";
import { FONT } from "./pen";

export interface Settings {
  /** Arrangements with the same key share their places. */
  key: string;
  grouping: string;
  metric: Metric;
  marks?: PlanMarks;
  selected?: string;
  match?: (node: SceneNode) => boolean;
}

export interface Events {
  select(id: string | undefined): void;
  hover(id: string | undefined): void;
  toggle(group: string): void;
  painted(painted: Painted, model: Model): void;
  keyboard(event: KeyboardEvent): boolean;
}

export type Hit = { kind: "node"; drawn: DrawnNode } | { kind: "inside"; drawn: DrawnInside; card: DrawnNode } | { kind: "edge"; drawn: DrawnEdge } | { kind: "toggle" | "group"; drawn: DrawnGroup };

export class GraphCanvas {
  readonly camera = new Camera();
  model: Model | undefined;
  /** Milliseconds from the first scene to the first painted node. */
  firstPaint: number | undefined;
  private readonly ctx: CanvasRenderingContext2D;
  private readonly sizes = new Map<string, { w: number; h: number }>();
  private readonly watching: ResizeObserver;
  private readonly dark = matchMedia("(prefers-color-scheme: dark)");
  private readonly calm = matchMedia("(prefers-reduced-motion: reduce)");
  private palette: Palette;
  private scene: Scene | undefined;
  private settings: Settings | undefined;
  private hoveredId: string | undefined;
  private width = 0;
  private height = 0;
  private frame: number | undefined;
  private flight: number | undefined;
  private fitted: string | undefined;
  private userMoved = false;
  private keyboard = false;

  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly events: Events,
  ) {
    const ctx = canvas.getContext("2d", { alpha: false });
    if (!ctx) throw new Error("this browser has no 2D canvas");
    this.ctx = ctx;
    this.palette = readPalette(canvas);
    arranger.arranged = (key) => {
      if (key === this.settings?.key) this.rebuild(true);
    };
    this.watching = new ResizeObserver(() => this.resize());
    this.watching.observe(canvas);
    this.dark.addEventListener("change", this.repalette);
    canvas.addEventListener("pointerdown", this.down);
    canvas.addEventListener("pointermove", this.hoverAt);
    canvas.addEventListener("pointerleave", this.leave);
    canvas.addEventListener("dblclick", this.double);
    canvas.addEventListener("wheel", this.wheel, { passive: false });
    canvas.addEventListener("keydown", this.key);
    canvas.addEventListener("focus", this.refocus);
    canvas.addEventListener("blur", this.refocus);
    this.resize();
  }

  dispose(): void {
    this.watching.disconnect();
    this.dark.removeEventListener("change", this.repalette);
    arranger.arranged = undefined;
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    if (this.flight !== undefined) cancelAnimationFrame(this.flight);
  }

  show(scene: Scene, settings: Settings): void {
    this.scene = scene;
    this.settings = settings;
    this.rebuild(false);
  }

  private rebuild(fit: boolean): void {
    const { scene, settings } = this;
    if (!scene || !settings || this.width === 0) return;
    const ready = arranger.ensure(settings.key, scene, this.size, this.width / Math.max(1, this.height), extraRoom(scene, settings.marks, settings.grouping));
    // Until the worker has answered, the old picture stays.
    if (!ready && this.model && this.model.scene.nodes.length > 0) return;
    this.model = buildModel(scene, arranger.places(settings.key), this.size, settings.marks, settings.grouping);
    if (ready && this.model.nodes.size > 0 && (this.fitted !== settings.key || (fit && !this.userMoved))) {
      const first = this.fitted === undefined;
      this.fitted = settings.key;
      this.userMoved = false;
      this.fit(!first);
    }
    this.invalidate();
  }

  /** Card size by the length of its name; names beyond 24 characters are cut in the picture and whole in the panel. */
  private readonly size = (node: SceneNode): { w: number; h: number } => {
    const key = `${node.label}|${node.workload ? node.inside.length : "+"}`;
    let found = this.sizes.get(key);
    if (!found) {
      this.ctx.setTransform(1, 0, 0, 1, 0, 0);
      this.ctx.font = `600 13px ${FONT}`;
      const own = Math.round(Math.min(216, Math.max(124, this.ctx.measureText(node.label).width + 46 + (node.workload ? 0 : 20))));
      found = node.inside.length > 0 ? { w: HOLDING, h: heightWith(node.inside.length) } : { w: own, h: CARD };
      this.sizes.set(key, found);
    }
    return found;
  };

  private resize(): void {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = devicePixelRatio || 1;
    if (clientWidth === 0 || clientHeight === 0) return;
    const first = this.width === 0;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    if (first) this.rebuild(false);
    else if (!this.userMoved && this.model) this.fit(false);
    this.draw();
  }

  readonly repalette = (): void => {
    this.palette = readPalette(this.canvas);
    this.invalidate();
  };

  invalidate(): void {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  private draw(): void {
    const { model, settings } = this;
    if (!model || !settings || this.width === 0) return;
    const { match } = settings;
    const painted = paint(this.ctx, {
      model,
      camera: this.camera,
      width: this.width,
      height: this.height,
      ratio: devicePixelRatio || 1,
      palette: this.palette,
      metric: settings.metric,
      marks: settings.marks,
      focus: settings.selected,
      hovered: this.hoveredId,
      unmatched: match ? (drawn) => !match(drawn.node) : undefined,
      keyboard: this.keyboard,
    });
    if (this.firstPaint === undefined && painted.nodes > 0) {
      this.firstPaint = performance.now();
      performance.mark("huddle:first-graph");
    }
    this.events.painted(painted, model);
  }

  fit(animate = true): void {
    if (!this.model || this.model.nodes.size === 0) return;
    this.userMoved = false;
    this.fly(Camera.fit(this.model.bounds, this.width, this.height, 58, this.width > 1800 ? 1.5 : 1.15), animate);
  }

  /** Brings a workload, edge or box into sight; nearer if it is too small to read. */
  reveal(id: string): void {
    const at = this.placeOf(id);
    if (!at) return;
    const k = Math.max(this.camera.k, 0.8);
    const screen = this.camera.toScreen(at);
    const inside = screen.x > 60 && screen.x < this.width - 60 && screen.y > 60 && screen.y < this.height - 60;
    if (inside && k === this.camera.k) return;
    this.userMoved = true;
    this.fly({ k, tx: this.width / 2 - at.x * k, ty: this.height / 2 - at.y * k }, true);
  }

  placeOf(id: string): Point | undefined {
    const { model } = this;
    if (!model) return undefined;
    const node = model.nodes.get(id) ?? [...model.nodes.values()].find((n) => n.node.workload?.id === id);
    if (node) return node;
    const inside = findInside(model.nodes.values(), id);
    if (inside) return inside;
    const edge = model.edges.find((d) => d.edge.id === id) ?? model.edges.find((d) => d.edge.edges.some((e) => e.id === id));
    return edge ? middle(edge) : undefined;
  }

  zoomBy(factor: number): void {
    this.userMoved = true;
    this.camera.zoom(factor, { x: this.width / 2, y: this.height / 2 });
    this.invalidate();
  }

  tidy(): void {
    if (!this.settings) return;
    arranger.reset(this.settings.key);
    this.fitted = undefined;
    this.rebuild(true);
  }

  private fly(to: { k: number; tx: number; ty: number }, animate: boolean): void {
    if (this.flight !== undefined) cancelAnimationFrame(this.flight);
    this.flight = undefined;
    const from = { k: this.camera.k, tx: this.camera.tx, ty: this.camera.ty };
    if (!animate || this.calm.matches || document.hidden) {
      Object.assign(this.camera, to);
      this.invalidate();
      return;
    }
    const begin = performance.now();
    const step = (now: number) => {
      const t = Math.min(1, (now - begin) / 240);
      const s = 1 - (1 - t) ** 3;
      this.camera.k = from.k + (to.k - from.k) * s;
      this.camera.tx = from.tx + (to.tx - from.tx) * s;
      this.camera.ty = from.ty + (to.ty - from.ty) * s;
      this.draw();
      this.flight = t < 1 ? requestAnimationFrame(step) : undefined;
    };
    this.flight = requestAnimationFrame(step);
  }

  hit(at: Point): Hit | undefined {
    const { model } = this;
    if (!model) return undefined;
    const p = this.camera.toWorld(at);
    for (const drawn of [...model.nodes.values()].reverse()) {
      if (!holds(drawn, p)) continue;
      const inside = insides(drawn).find((one) => holds(one, p));
      return inside ? { kind: "inside", drawn: inside, card: drawn } : { kind: "node", drawn };
    }
    const limit = 7 / this.camera.k;
    let best: DrawnEdge | undefined;
    let near = limit;
    for (const drawn of model.edges) {
      const d = distance(drawn.path, p, limit);
      if (d < near) {
        near = d;
        best = drawn;
      }
    }
    if (best) return { kind: "edge", drawn: best };
    for (const drawn of model.groups) {
      const box = toggleBoxOf(drawn);
      if (drawn.group.members > 1 && Math.abs(p.x - box.x) <= box.w / 2 && Math.abs(p.y - box.y) <= box.h / 2) return { kind: "toggle", drawn };
      if (p.x >= drawn.left && p.x <= drawn.right && p.y >= drawn.top && p.y <= drawn.top + 32) return { kind: "group", drawn };
    }
    return undefined;
  }

  private readonly down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    const start = local(event);
    const hit = this.hit(start);
    const ids = this.dragged(hit);
    let last = start;
    let moved = false;
    this.canvas.setPointerCapture(event.pointerId);
    const move = (e: PointerEvent) => {
      const at = local(e);
      if (!moved && Math.hypot(at.x - start.x, at.y - start.y) < 4) return;
      moved = true;
      if (ids.length > 0 && this.settings) {
        arranger.move(this.settings.key, ids, (at.x - last.x) / this.camera.k, (at.y - last.y) / this.camera.k);
        this.rebuild(false);
      } else {
        this.camera.pan(at.x - last.x, at.y - last.y);
      }
      this.userMoved = true;
      last = at;
      this.invalidate();
    };
    const up = () => {
      this.canvas.removeEventListener("pointermove", move);
      this.canvas.removeEventListener("pointerup", up);
      this.canvas.removeEventListener("pointercancel", up);
      if (moved) {
        if (ids.length > 0 && this.settings) arranger.save(this.settings.key);
      } else {
        this.click(hit);
      }
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", up);
    this.canvas.addEventListener("pointercancel", up);
  };

  /** A card moves alone, a box's title moves all of it, anything else moves the view. */
  private dragged(hit: Hit | undefined): string[] {
    if (hit?.kind === "node") return [hit.drawn.node.id];
    if (hit?.kind === "inside") return [hit.card.node.id];
    if (hit?.kind === "group") return [...(this.model?.nodes.values() ?? [])].filter((n) => n.node.group === hit.drawn.group.id).map((n) => n.node.id);
    return [];
  }

  private click(hit: Hit | undefined): void {
    if (hit?.kind === "toggle") this.events.toggle(hit.drawn.group.id);
    else this.events.select(hit ? idOf(hit) : undefined);
  }

  private readonly double = (event: MouseEvent): void => {
    const hit = this.hit(local(event));
    if (hit?.kind === "node" && !hit.drawn.node.workload) this.events.toggle(hit.drawn.node.id);
    else if (hit?.kind === "group") this.events.toggle(hit.drawn.group.id);
    else if (!hit) this.fit();
  };

  private readonly hoverAt = (event: PointerEvent): void => {
    if (event.buttons !== 0) return;
    const hit = this.hit(local(event));
    const id = hit?.kind === "node" ? hit.drawn.node.id : hit?.kind === "inside" ? hit.drawn.inside.edge.id : hit?.kind === "edge" ? hit.drawn.edge.id : undefined;
    this.canvas.style.cursor = hit ? "pointer" : "grab";
    if (id === this.hoveredId) return;
    this.hoveredId = id;
    this.events.hover(id);
    this.invalidate();
  };

  private readonly leave = (): void => {
    if (this.hoveredId === undefined) return;
    this.hoveredId = undefined;
    this.events.hover(undefined);
    this.invalidate();
  };

  private readonly wheel = (event: WheelEvent): void => {
    event.preventDefault();
    this.userMoved = true;
    this.camera.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : event.ctrlKey ? 0.01 : 0.0016)), local(event));
    this.invalidate();
  };

  private readonly refocus = (): void => {
    this.keyboard = document.activeElement === this.canvas && this.canvas.matches(":focus-visible");
    this.invalidate();
  };

  private readonly key = (event: KeyboardEvent): void => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const zoom = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key];
    if (zoom !== undefined) this.zoomBy(zoom);
    else if (event.key === "0") this.fit();
    else if (!this.events.keyboard(event)) return;
    event.preventDefault();
  };
}

function holds(box: Box, at: Point): boolean {
  return Math.abs(at.x - box.x) <= box.w / 2 && Math.abs(at.y - box.y) <= box.h / 2;
}

function local(event: MouseEvent): Point {
  return { x: event.offsetX, y: event.offsetY };
}

/** The id people select: the workload, the edge of the state, the box, or the line that stands for several edges. */
export function idOf(hit: Hit): string {
  if (hit.kind === "node") return hit.drawn.node.workload?.id ?? hit.drawn.node.id;
  if (hit.kind === "inside") return hit.drawn.inside.edge.id;
  if (hit.kind === "edge") {
    const [only] = hit.drawn.edge.edges;
    return hit.drawn.edge.edges.length === 1 && only ? only.id : hit.drawn.edge.id;
  }
  return hit.drawn.group.id;
}
