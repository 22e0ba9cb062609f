/** Colours of the canvas, read from the style sheet so that light and dark live in one place. */
import type { Level } from "../model/severity";

export interface Palette {
  background: string;
  grid: string;
  card: string;
  cardBorder: string;
  box: string;
  boxBorder: string;
  text: string;
  muted: string;
  accent: string;
  plan: string;
  planSoft: string;
  good: string;
  warn: string;
  error: string;
  label: string;
  level: Record<Level, string>;
  /** The levels as text: amber lines are too light to read as letters. */
  levelText: Record<Level, string>;
}

export function readPalette(element: Element): Palette {
  const style = getComputedStyle(element);
  const get = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const level = { unknown: get("level-unknown"), near: get("level-near"), far: get("level-far"), veryFar: get("level-very-far") };
  return {
    background: get("canvas"),
    grid: get("grid"),
    card: get("card"),
    cardBorder: get("card-border"),
    box: get("box"),
    boxBorder: get("box-border"),
    text: get("text"),
    muted: get("muted"),
    accent: get("accent"),
    plan: get("plan"),
    planSoft: get("plan-soft"),
    good: get("good"),
    warn: get("warn"),
    error: get("error"),
    label: get("label"),
    level,
    levelText: { ...level, far: get("level-far-text") },
  };
}
