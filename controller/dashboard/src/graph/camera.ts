/** Pan and zoom. World → screen is `x * k + tx`. */
import type { Point } from "../layout/types";

export const ZOOM_MIN = 0.03;
export const ZOOM_MAX = 3;

export interface Bounds {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export class Camera {
  k = 1;
  tx = 0;
  ty = 0;

  toWorld(p: Point): Point {
    return { x: (p.x - this.tx) / this.k, y: (p.y - this.ty) / this.k };
  }

  toScreen(p: Point): Point {
    return { x: p.x * this.k + this.tx, y: p.y * this.k + this.ty };
  }

  pan(dx: number, dy: number): void {
    this.tx += dx;
    this.ty += dy;
  }

  /** Zooms so that the point under `at` stays there. */
  zoom(factor: number, at: Point): void {
    const k = Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, this.k * factor));
    this.tx = at.x - ((at.x - this.tx) / this.k) * k;
    this.ty = at.y - ((at.y - this.ty) / this.k) * k;
    this.k = k;
  }

  /** The camera that shows all of `bounds`, not larger than `most`. */
  static fit(bounds: Bounds, width: number, height: number, margin: number, most: number): { k: number; tx: number; ty: number } {
    const w = Math.max(1, bounds.right - bounds.left);
    const h = Math.max(1, bounds.bottom - bounds.top);
    const k = Math.max(ZOOM_MIN, Math.min(most, (width - 2 * margin) / w, (height - 2 * margin) / h));
    return { k, tx: (width - k * (bounds.left + bounds.right)) / 2, ty: (height - k * (bounds.top + bounds.bottom)) / 2 };
  }
}
