/** What every shape on the canvas is drawn with. */
export const FONT = 'Inter, "Segoe UI", system-ui, -apple-system, "Helvetica Neue", "DejaVu Sans", sans-serif';

export function rounded(ctx: CanvasRenderingContext2D, left: number, top: number, w: number, h: number, r: number): void {
  ctx.beginPath();
  ctx.roundRect(left, top, w, h, r);
}

export function fitText(ctx: CanvasRenderingContext2D, text: string, room: number): string {
  if (ctx.measureText(text).width <= room) return text;
  let short = text;
  while (short.length > 1 && ctx.measureText(`${short}…`).width > room) short = short.slice(0, -1);
  return `${short}…`;
}
