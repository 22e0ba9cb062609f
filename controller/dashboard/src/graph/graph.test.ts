import { describe, expect, it } from "vitest";
import { Camera } from "./camera";
import { along, distance, length, measure, ports, split } from "./geometry";
import { Walker, type WalkGraph } from "./walk";

const line = measure([{ x: 0, y: 0 }, { x: 60, y: 0 }, { x: 60, y: 40 }]);

describe("geometry", () => {
  it("splits a line by its length", () => {
    for (const share of [0, 0.25, 0.6, 0.9, 1]) {
      const [a, b] = split(line, share);
      expect(length(measure(a)) || 0).toBeCloseTo(share * 100);
      expect(length(measure(b)) || 0).toBeCloseTo((1 - share) * 100);
    }
    expect(along(line, 0.8)).toEqual({ x: 60, y: 20 });
  });

  it("measures distance to the nearest part", () => {
    expect(distance(line, { x: 30, y: 5 }, 10)).toBe(5);
    expect(distance(line, { x: 63, y: 20 }, 10)).toBe(3);
    expect(distance(line, { x: 200, y: 200 }, 10)).toBe(Infinity);
  });

  it("gives every line its own port, in the order of the other ends", () => {
    const boxes = new Map(["a", "top", "middle", "bottom"].map((id, i) => [id, { x: i === 0 ? 0 : 300, y: i * 80, w: 100, h: 46 }]));
    const lines = ["bottom", "top", "middle"].map((id) => ({ id, source: "a", destination: id }));
    const found = ports(lines, boxes);
    const y = (id: string) => found.get(id)?.[0].y ?? 0;
    expect(y("top")).toBeLessThan(y("middle"));
    expect(y("middle")).toBeLessThan(y("bottom"));
  });
});

describe("camera", () => {
  it("keeps the point under the pointer when it zooms, and fits all", () => {
    const camera = new Camera();
    const at = { x: 120, y: 80 };
    const world = camera.toWorld(at);
    camera.zoom(1.7, at);
    expect(camera.toScreen(world).x).toBeCloseTo(at.x);
    Object.assign(camera, Camera.fit({ left: -500, top: 0, right: 1500, bottom: 800 }, 1000, 600, 40, 1.2));
    for (const corner of [{ x: -500, y: 0 }, { x: 1500, y: 800 }]) {
      const on = camera.toScreen(corner);
      expect(on.x).toBeGreaterThanOrEqual(39.9);
      expect(on.x).toBeLessThanOrEqual(960.1);
      expect(on.y).toBeGreaterThanOrEqual(39.9);
      expect(on.y).toBeLessThanOrEqual(560.1);
    }
  });
});

describe("walk", () => {
  const graph: WalkGraph = {
    nodes: [{ id: "a", at: { x: 0, y: 50 } }, { id: "b", at: { x: 100, y: 0 } }, { id: "c", at: { x: 100, y: 100 } }],
    edges: [{ id: "a>c", source: "a", destination: "c", rps: 1 }, { id: "a>b", source: "a", destination: "b", rps: 2 }],
  };

  it("follows calls, changes between them and comes back", () => {
    const walker = new Walker();
    const step = (from: string | undefined, key: "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown") => walker.next(graph, from, key);
    expect(step(undefined, "ArrowRight")).toBe("a");
    expect(step("a", "ArrowRight")).toBe("a>b");
    expect(step("a>b", "ArrowDown")).toBe("a>c");
    expect(step("a>c", "ArrowDown")).toBe("a>b");
    expect(step("a>c", "ArrowRight")).toBe("c");
    expect(step("c", "ArrowUp")).toBe("b");
    expect(step("c", "ArrowLeft")).toBe("a>c");
    expect(step("a>c", "ArrowLeft")).toBe("a");
  });

  it("reaches everything", () => {
    const seen = new Set<string>();
    const walker = new Walker();
    let at: string | undefined;
    for (const key of ["ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowDown", "ArrowRight"] as const) {
      at = walker.next(graph, at, key);
      if (at !== undefined) seen.add(at);
    }
    expect(seen).toEqual(new Set(["a", "b", "c", "a>b", "a>c"]));
  });
});
