/**
 * Keeps the places of nodes for each way of grouping, and decides when a layout is asked for. There is one for the page:
 * it outlives the canvas, so that a look at the list moves nothing.
 */
import { LayoutClient } from "../layout/client";
import { forgetPins, loadPins, needsLayout, placeNew, savePins } from "../layout/pins";
import type { Box, LayoutEdge, LayoutNode, LayoutResult, Point } from "../layout/types";
import type { Scene, SceneNode } from "../model/scene";
import type { Places } from "./model";

/** Labels get room of their own in the layout up to this many edges. */
const LABELLED_EDGES = 60;
const LABEL_ROOM = { w: 152, h: 44 };

interface Arrangement {
  positions: Map<string, Point>;
  empty: Map<string, Box>;
  routes: Map<string, Point[]>;
  labels: Map<string, Point>;
  routedAt: Map<string, Point>;
}

function none(): Arrangement {
  return { positions: new Map(), empty: new Map(), routes: new Map(), labels: new Map(), routedAt: new Map() };
}

class Arranger {
  private readonly client = new LayoutClient();
  private readonly known = new Map<string, Arrangement>();
  private pending: string | undefined;

  /** Told when the worker has answered. */
  arranged: ((key: string) => void) | undefined;

  places(key: string): Places {
    return this.get(key);
  }

  private get(key: string): Arrangement {
    let found = this.known.get(key);
    if (!found) {
      found = none();
      found.positions = loadPins(key);
      this.known.set(key, found);
    }
    return found;
  }

  /** Makes sure that every node of the scene has a place, now or as soon as the worker answers. True: all have one now. */
  ensure(key: string, scene: Scene, size: (node: SceneNode) => { w: number; h: number }, aspect: number, extra: ReadonlyMap<string, number>): boolean {
    const found = this.get(key);
    const nodes: LayoutNode[] = scene.nodes.map((node) => ({ id: node.id, group: node.group, ...size(node) }));
    if (needsLayout(nodes, found.positions)) {
      if (this.pending !== key) this.ask(key, scene, nodes, aspect, extra);
      return false;
    }
    const edges = layoutEdges(scene);
    placeNew(nodes, edges, found.positions);
    return true;
  }

  private ask(key: string, scene: Scene, nodes: LayoutNode[], aspect: number, extra: ReadonlyMap<string, number>): void {
    this.pending = key;
    const groups = scene.groups.filter((group) => !group.collapsed).map(({ id, column }) => ({ id, column, extra: extra.get(id) }));
    this.client.ask({ nodes, edges: layoutEdges(scene), groups, aspect }, (result) => {
      this.pending = undefined;
      this.take(key, result);
    });
  }

  private take(key: string, result: LayoutResult): void {
    const found = this.get(key);
    found.positions = new Map(result.positions);
    found.routedAt = new Map([...result.positions].map(([id, p]) => [id, { ...p }]));
    found.routes = result.routes;
    found.labels = result.labels;
    found.empty = result.empty;
    this.arranged?.(key);
  }

  move(key: string, ids: readonly string[], dx: number, dy: number): void {
    const { positions } = this.get(key);
    for (const id of ids) {
      const at = positions.get(id);
      if (at) positions.set(id, { x: at.x + dx, y: at.y + dy });
    }
  }

  save(key: string): void {
    savePins(key, this.get(key).positions);
  }

  /** Forgets the user's arrangement; the next `ensure` lays out anew. */
  reset(key: string): void {
    forgetPins(key);
    this.known.set(key, none());
    this.pending = undefined;
  }
}

/** Made when the page loads, so that the worker is ready before the first state arrives. */
export const arranger = new Arranger();

function layoutEdges(scene: Scene): LayoutEdge[] {
  const label = scene.edges.length <= LABELLED_EDGES ? LABEL_ROOM : undefined;
  return scene.edges.map((edge) => ({ id: edge.id, source: edge.source, destination: edge.destination, weight: edge.rps, label }));
}
