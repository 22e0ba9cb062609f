import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { GraphCanvas } from "../graph/canvas";
import { Walker, type Arrow } from "../graph/walk";
import { middle } from "../graph/draw";
import { findInside, insides } from "../graph/model";
import { count, micros, percent, rate } from "../model/format";
import { edgeTitle, workloadTexts } from "../model/scene";
import { drawnMarks, edgesById, hovered, match, reveal, scene, select, setView, state, toggleBox, view, workloadsById } from "../model/store";
import { Legend } from "./Legend";
import { hiddenText } from "./Toolbar";
import { theme } from "./theme";

const ARROWS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

/** What the tests (and a curious engineer) may ask the page: what is drawn, and where. */
export interface Probe {
  /** Time of the state on screen, by the controller's clock. */
  at: number;
  nodes: string[];
  edges: string[];
  /** Edges whose callee is drawn inside its caller's card. */
  inside: string[];
  hidden: { belowLimit: number; insideBoxes: number; filtered: number };
  painted: { nodes: number; edges: number; labels: number };
  firstPaint?: number;
  place(id: string): { x: number; y: number } | undefined;
}

declare global {
  interface Window {
    huddle?: () => Probe;
  }
}

export function GraphView() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const graph = useRef<GraphCanvas | undefined>(undefined);
  const [spoken, setSpoken] = useState("");

  useEffect(() => {
    if (!canvas.current) return;
    const walker = new Walker();
    let painted = { nodes: 0, edges: 0, labels: 0 };
    const made = new GraphCanvas(canvas.current, {
      select: (id) => select(id),
      hover: (id) => { hovered.value = id; },
      toggle: toggleBox,
      painted: (value) => { painted = value; },
      keyboard: (event) => {
        if (event.key === "Enter") return enter();
        if (!ARROWS.has(event.key) || !made.model) return false;
        const id = walker.next(walkGraph(made), view.value.selected, event.key as Arrow);
        if (id !== undefined) select(id, true);
        return true;
      },
    });
    graph.current = made;
    const stops = [
      effect(() => {
        const drawn = scene.value;
        if (!drawn) return;
        const now = view.value;
        const matches = match.value;
        made.show(drawn, {
          key: [state.value?.cluster.name ?? "", now.group, ...[...now.toggled].sort()].join("|"),
          grouping: now.group,
          metric: now.metric,
          marks: drawnMarks.value,
          selected: now.selected,
          match: matches ? (node) => (node.workload ? matches(...workloadTexts(node.workload)) : matches(node.label)) : undefined,
        });
      }),
      effect(() => {
        if (reveal.value > 0 && view.peek().selected !== undefined) made.reveal(view.peek().selected ?? "");
      }),
      effect(() => {
        void theme.value;
        made.repalette();
      }),
      effect(() => setSpoken(describe(view.value.selected))),
    ];
    window.huddle = () => probe(made, painted);
    return () => {
      delete window.huddle;
      for (const stop of stops) stop();
      made.dispose();
    };
  }, []);

  const drawn = scene.value;
  const hidden = hiddenText();
  return (
    <div class="graph">
      <div class="sheet">
      <canvas ref={canvas} tabIndex={0} role="application" aria-roledescription="service graph"
        aria-label={`Service graph: ${count(drawn?.nodes.length ?? 0)} workloads, ${count(drawn?.edges.length ?? 0)} edges. Arrow keys follow the calls, Enter opens the details, plus and minus zoom, 0 fits. The list view has the same data.`} />
      <div class="visually-hidden" role="status" aria-live="polite">{spoken}</div>
      <div class="zoom" role="group" aria-label="Zoom">
        <button type="button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => graph.current?.zoomBy(1.25)}>+</button>
        <button type="button" aria-label="Zoom out" title="Zoom out (−)" onClick={() => graph.current?.zoomBy(0.8)}>−</button>
        <button type="button" aria-label="Fit the graph" title="Fit (0)" onClick={() => graph.current?.fit()}><svg viewBox="0 0 20 20" aria-hidden="true"><path d="M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4" /></svg></button>
        <button type="button" aria-label="Arrange anew, forgetting moved cards" title="Arrange anew" onClick={() => graph.current?.tidy()}><svg viewBox="0 0 20 20" aria-hidden="true"><path d="M3 4h4v4H3zM13 8h4v4h-4zM3 12h4v4H3zM7 6h3v4h3M7 14h3v-4" /></svg></button>
      </div>
      {hidden && (
        <div class="hiddennote" role="status">
          {hidden}
          {(drawn?.hidden.belowLimit ?? 0) > 0 && <button type="button" onClick={() => setView({ all: true })}>Show all</button>}
          {view.value.all && <button type="button" onClick={() => setView({ all: false })}>Show the busiest</button>}
        </div>
      )}
      </div>
      <Legend floor={drawn?.floor} inside={drawn?.nodes.some((node) => node.inside.length > 0) ?? false} />
    </div>
  );
}

function enter(): boolean {
  const id = view.value.selected;
  if (id !== undefined && scene.value?.nodes.some((node) => node.id === id && !node.workload)) toggleBox(id);
  else document.getElementById("panel")?.focus();
  return true;
}

/** The walk knows ids that can be selected: workloads stand for all their cards. */
function walkGraph(made: GraphCanvas) {
  const { model } = made;
  const nodes = new Map<string, { id: string; at: { x: number; y: number } }>();
  const idOf = new Map<string, string>();
  for (const { node, x, y } of model?.nodes.values() ?? []) {
    const id = node.workload?.id ?? node.id;
    idOf.set(node.id, id);
    if (!nodes.has(id)) nodes.set(id, { id, at: { x, y } });
  }
  const within = [...(model?.nodes.values() ?? [])].flatMap((drawn) => insides(drawn).map((one) => ({ ...one, source: idOf.get(drawn.node.id) ?? drawn.node.id })));
  for (const { inside, x, y } of within) if (!nodes.has(inside.edge.destination)) nodes.set(inside.edge.destination, { id: inside.edge.destination, at: { x, y } });
  const edges = new Map<string, { id: string; source: string; destination: string; rps: number }>();
  for (const { inside, source } of within) if (!inside.filtered) edges.set(inside.edge.id, { id: inside.edge.id, source, destination: inside.edge.destination, rps: inside.edge.rps });
  for (const { edge } of model?.edges ?? []) {
    const [only] = edge.edges;
    const id = edge.edges.length === 1 && only ? only.id : edge.id;
    if (!edges.has(id)) edges.set(id, { id, source: idOf.get(edge.source) ?? edge.source, destination: idOf.get(edge.destination) ?? edge.destination, rps: edge.rps });
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

/** The selection in a sentence, for screen readers. */
function describe(id: string | undefined): string {
  if (id === undefined) return "";
  const workload = workloadsById.peek().get(id);
  if (workload) return `Workload ${workload.name} in ${workload.namespace}, ${workload.ready} of ${workload.replicas} ready`;
  const edge = edgesById.peek().get(id);
  if (!edge) return "";
  const network = edge.total.network ? `, network p99 ${micros(edge.total.network.p99Us)}` : "";
  return `Call ${edgeTitle(edge)}: ${rate(edge.rps)} requests per second, p99 ${micros(edge.total.p99Us)}${network}, errors ${percent(edge.errorRate)}${edge.inside ? `. ${edge.inside.sentence}` : ""}${edge.finding ? `. ${edge.finding.sentence}` : ""}`;
}

function probe(made: GraphCanvas, painted: Probe["painted"]): Probe {
  const { model } = made;
  const cards = [...(model?.nodes.values() ?? [])];
  const within = cards.flatMap(({ node }) => node.inside);
  return {
    at: state.value?.at ?? 0,
    nodes: [...new Set([...cards.map(({ node }) => node.workload?.id ?? node.id), ...within.map(({ edge }) => edge.destination)])],
    edges: [...new Set([...(model?.edges ?? []).flatMap(({ edge }) => edge.edges.map((e) => e.id)), ...within.filter((one) => !one.filtered).map(({ edge }) => edge.id)])],
    inside: [...new Set(within.map(({ edge }) => edge.id))],
    hidden: model?.scene.hidden ?? { belowLimit: 0, insideBoxes: 0, filtered: 0 },
    painted,
    firstPaint: made.firstPaint,
    place: (id) => {
      const inside = findInside(cards.filter(({ node }) => node.inside.some(({ edge }) => edge.id === id)), id);
      const drawn = model?.edges.find(({ edge }) => edge.edges.some((e) => e.id === id));
      const at = inside ?? (drawn ? middle(drawn) : made.placeOf(id));
      return at ? made.camera.toScreen(at) : undefined;
    },
  };
}
