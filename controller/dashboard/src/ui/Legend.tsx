import { view } from "../model/store";
import { micros } from "../model/format";
import { LEVEL_WORDS, type Floor, type Level } from "../model/severity";

const SHOWN: Level[] = ["near", "far", "veryFar", "unknown"];

/** Says on the screen what colour, pattern and thickness mean. */
export function Legend({ floor }: { floor?: Floor }) {
  const against = !floor ? "" : floor.from === "sameNode" ? `a same-node call here: ${micros(floor.us)}` : `the median edge here: ${micros(floor.us)} (no same-node calls seen yet)`;
  return (
    <details class="legend" open>
      <summary>Legend</summary>
      <div class="legendbody">
        <h3>Colour: network p99 {floor && <span>against {against}</span>}</h3>
        <ul class="swatches">
          {SHOWN.map((name) => (
            <li key={name}>
              <svg viewBox="0 0 30 10" aria-hidden="true"><path class={`level ${name}`} d="M1 5h28" /></svg>
              {LEVEL_WORDS[name]}{(name === "far" || name === "veryFar") && <b class={`cue ${name}`}>{name === "far" ? "2.1×" : "4.2×"}</b>}
            </li>
          ))}
          <li><svg viewBox="0 0 30 10" aria-hidden="true"><path class="level error" d="M1 5h28" /></svg>failing <b class="cue error">✕ 2 %</b></li>
        </ul>
        <h3>Line</h3>
        <ul class="swatches">
          <li><svg viewBox="0 0 30 10" aria-hidden="true"><path class="level plain" d="M1 5h28" /></svg>stays on the node</li>
          <li><svg viewBox="0 0 30 10" aria-hidden="true"><path class="level plain dashed" d="M1 5h28" /></svg>leaves the node</li>
          <li><svg viewBox="0 0 30 10" aria-hidden="true"><path class="level plain thin" d="M1 5h12" /><path class="level plain thick" d="M16 5h13" /></svg>thicker: more requests per second</li>
          {view.value.plan && <li><svg viewBox="0 0 30 10" aria-hidden="true"><rect class="planmark" x="1" y="1" width="28" height="8" rx="4" /></svg>part of the plan</li>}
        </ul>
        <p>Labels: p50 / p95 / p99. <b>≈</b> marks figures of fewer than 100 requests.</p>
      </div>
    </details>
  );
}
