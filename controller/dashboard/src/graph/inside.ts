/** A callee that runs inside its caller: a card in a card. */
import type { Frame } from "./draw";
import { insideText } from "./labels";
import type { DrawnInside } from "./model";
import { fitText, FONT, rounded } from "./pen";

/** A callee inside its caller's card, with the calls that stay inside the pod. */
export function drawInside(ctx: CanvasRenderingContext2D, frame: Frame, { inside, x, y, w, h }: DrawnInside): void {
  const { palette, camera } = frame;
  const { edge } = inside;
  const selected = frame.focus !== undefined && (edge.id === frame.focus || edge.destination === frame.focus);
  const hovered = frame.hovered === edge.id;
  const left = x - w / 2;
  rounded(ctx, left, y - h / 2, w, h, 7);
  ctx.fillStyle = palette.box;
  ctx.fill();
  ctx.lineWidth = selected ? 2 : 1.2;
  ctx.strokeStyle = selected || hovered ? palette.accent : inside.failing ? palette.error : palette.good;
  ctx.stroke();
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  if (camera.k < 0.5) {
    if (camera.k < 0.24) return;
    ctx.font = `600 ${Math.min(18, 8 / camera.k)}px ${FONT}`;
    ctx.fillStyle = palette.text;
    ctx.textAlign = "center";
    ctx.fillText(fitText(ctx, inside.label, w - 12), x, y);
    ctx.textAlign = "left";
    return;
  }
  const text = insideText(inside, frame.metric);
  // Live figures: readable at the zoom at which labels are, which grow the same way; smaller where the name would be cut.
  let small = Math.min(13.5, Math.max(10.5, 9 / camera.k));
  let stay = 0;
  for (; ; small -= 0.5) {
    ctx.font = `600 ${small + 1.5}px ${FONT}`;
    const name = ctx.measureText(inside.label).width;
    ctx.font = `400 ${small}px ${FONT}`;
    stay = ctx.measureText(text.stay).width;
    if (small <= 10.5 || name + stay + 28 <= w) break;
  }
  ctx.fillStyle = palette.good;
  ctx.textAlign = "right";
  ctx.fillText(text.stay, left + w - 9, y - 9.5);
  ctx.textAlign = "left";
  ctx.font = `600 ${small + 1.5}px ${FONT}`;
  ctx.fillStyle = palette.text;
  ctx.fillText(fitText(ctx, inside.label, w - stay - 28), left + 9, y - 9.5);
  ctx.font = `400 ${small}px ${FONT}`;
  ctx.fillStyle = inside.failing ? palette.error : palette.muted;
  ctx.fillText(fitText(ctx, text.figures, w - 18), left + 9, y + 10.5);
}
