import { view } from "../model/store";
import { micros } from "../model/format";
import { FAR, LEVEL_WORDS, VERY_FAR, type Floor, type Level } from "../model/severity";

const SHOWN: Level[] = ["near", "far", "veryFar", "unknown"];
const CUES: Partial<Record<Level, string>> = { far: `${FAR + 1}.1×`, veryFar: `${VERY_FAR + 1}.2×` };

/** Says on the screen what colour, pattern and thickness mean; below the graph, so that it covers nothing. */
export function Legend({ floor, inside }: { floor?: Floor; inside: boolean }) {
  const against = !floor ? "" : floor.from === "sameNode" ? `÷ that of a same-node call (${micros(floor.us)})` : `÷ that of the median edge (${micros(floor.us)}; no same-node calls yet)`;
  return (
    <div class="legend" role="note" aria-label="Legend">
      <ul>
        <li class="what"><b>Colour</b> network p99 {against}</li>
        {SHOWN.map((name) => (
          <li key={name}>
            <svg viewBox="0 0 26 10" aria-hidden="true"><path class={`level ${name}`} d="M1 5h24" /></svg>
            {LEVEL_WORDS[name]}{CUES[name] && <b class={`cue ${name}`}>{CUES[name]}</b>}
          </li>
        ))}
        <li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="level error" d="M1 5h24" /></svg>failing <b class="cue error">✕ 2 %</b></li>
      </ul>
      <ul>
        <li class="what"><b>Line</b></li>
        <li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="level plain" d="M1 5h24" /></svg>share that stays on the node</li>
        <li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="level plain dashed" d="M1 5h24" /></svg>leaves it</li>
        {inside && <li data-legend-inside><svg viewBox="0 0 26 10" aria-hidden="true"><rect class="cardmark" x="1" y="0.5" width="24" height="9" rx="2.5" /><rect class="insidemark" x="4" y="4" width="18" height="4" rx="1.5" /></svg>runs inside the caller's pods</li>}
        <li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="level plain thin" d="M1 5h10" /><path class="level plain thick" d="M14 5h11" /></svg>thicker: more rps</li>
        {view.value.plan && <li><svg viewBox="0 0 26 10" aria-hidden="true"><rect class="planmark" x="1" y="1" width="24" height="8" rx="4" /></svg>in the plan</li>}
        <li class="what"><b>Label</b> p50 / p95 / p99; <b>≈</b> fewer than 100 requests</li>
      </ul>
    </div>
  );
}
