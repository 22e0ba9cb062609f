/**
 * Walking the graph with the arrow keys. Right and Left follow the calls: workload → call → workload and back.
 * Up and Down change between the calls of the workload one came from, or between workloads by place.
 */
import type { Point } from "../layout/types";

export interface WalkGraph {
  nodes: { id: string; at: Point }[];
  edges: { id: string; source: string; destination: string; rps: number }[];
}

export type Arrow = "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown";

export class Walker {
  /** The workload from which the present call was entered. */
  private from: string | undefined;

  next(graph: WalkGraph, selected: string | undefined, key: Arrow): string | undefined {
    const edge = graph.edges.find((e) => e.id === selected);
    if (edge) return this.fromEdge(graph, edge, key);
    const node = graph.nodes.find((n) => n.id === selected);
    if (!node) return first(graph);
    return key === "ArrowRight" || key === "ArrowLeft" ? this.enter(graph, node.id, key) : nearest(graph, node, key);
  }

  private enter(graph: WalkGraph, node: string, key: Arrow): string {
    this.from = node;
    const calls = callsOf(graph, node, key === "ArrowRight");
    return calls[0]?.id ?? node;
  }

  private fromEdge(graph: WalkGraph, edge: WalkGraph["edges"][number], key: Arrow): string {
    if (key === "ArrowRight") return edge.destination;
    if (key === "ArrowLeft") return edge.source;
    const home = this.from === edge.destination ? edge.destination : edge.source;
    const calls = callsOf(graph, home, home === edge.source);
    const at = calls.findIndex((e) => e.id === edge.id);
    const step = key === "ArrowDown" ? 1 : -1;
    return calls[(at + step + calls.length) % calls.length]?.id ?? edge.id;
  }
}

/** Calls in the order in which they stand on the screen. */
function callsOf(graph: WalkGraph, node: string, outgoing: boolean): WalkGraph["edges"] {
  const place = new Map(graph.nodes.map((n) => [n.id, n.at]));
  return graph.edges
    .filter((e) => (outgoing ? e.source : e.destination) === node)
    .sort((a, b) => (place.get(outgoing ? a.destination : a.source)?.y ?? 0) - (place.get(outgoing ? b.destination : b.source)?.y ?? 0) || (a.id < b.id ? -1 : 1));
}

/** Top left: where reading starts. */
function first(graph: WalkGraph): string | undefined {
  return [...graph.nodes].sort((a, b) => a.at.x + a.at.y - b.at.x - b.at.y || (a.id < b.id ? -1 : 1))[0]?.id;
}

function nearest(graph: WalkGraph, from: WalkGraph["nodes"][number], key: Arrow): string {
  const sign = key === "ArrowDown" ? 1 : -1;
  let best = from.id;
  let least = Infinity;
  for (const node of graph.nodes) {
    const dy = (node.at.y - from.at.y) * sign;
    if (dy <= 1) continue;
    const cost = dy + 2 * Math.abs(node.at.x - from.at.x);
    if (cost < least) {
      least = cost;
      best = node.id;
    }
  }
  return best;
}
