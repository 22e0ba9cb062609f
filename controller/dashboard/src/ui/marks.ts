/** Marks of states and verdicts: shapes that say it without a colour. */
export const VERDICT_MARKS: Record<string, string> = { improved: "✓", unchanged: "=", regressed: "✕", waiting: "…" };
export const STATE_MARKS: Record<string, string> = { pending: "○", running: "◐", done: "●", undoing: "↺", undone: "↺", skipped: "–", failed: "✕" };
