/** What the layout worker is asked and answers. Coordinates are centres, in pixels at zoom 1. */

export interface Point {
  x: number;
  y: number;
}

export interface Box extends Point {
  w: number;
  h: number;
}

export interface LayoutNode {
  id: string;
  group?: string;
  w: number;
  h: number;
}

export interface LayoutEdge {
  id: string;
  source: string;
  destination: string;
  weight: number;
  /** Room for a label; absent: none is kept free. */
  label?: { w: number; h: number };
}

export interface LayoutGroup {
  id: string;
  column?: number;
  /** Room kept free at the bottom, for cards that the plan will bring. */
  extra?: number;
}

export interface LayoutRequest {
  nodes: LayoutNode[];
  edges: LayoutEdge[];
  groups: LayoutGroup[];
  /** Width ÷ height of the window. */
  aspect: number;
}

export interface LayoutResult {
  positions: Map<string, Point>;
  /** Bends of edges that do not cross boxes; good while both ends stay where the layout put them. */
  routes: Map<string, Point[]>;
  /** Label places that go with the routes. */
  labels: Map<string, Point>;
  /** Boxes without members (an empty node); the others follow from their members. */
  empty: Map<string, Box>;
}

/** Space between a box and its members. */
export const PAD = 22;
/** Room for a box's title. */
export const TITLE = 34;
export const EMPTY_BOX = { w: 220, h: 110 };
