import type { RefObject } from "preact";
import { match, plan, scene, select, setView, state, summary, view } from "../model/store";
import { count } from "../model/format";
import { GROUPINGS, workloadTexts, type Grouping } from "../model/scene";
import { METRICS, type Metric } from "../model/url";

const GROUP_WORDS: Record<Grouping, string> = { namespace: "Namespace", node: "Node", zone: "Zone", none: "None" };
const METRIC_WORDS: Record<Metric, string> = { upstream: "Whole call", network: "Network", served: "Callee" };
const METRIC_HELP: Record<Metric, string> = {
  upstream: "Request sent to response headers received, measured at the caller's proxy",
  network: "Whole call minus the callee's own time: network and proxies, the part that moving pods can remove",
  served: "Request received to response headers from the application, measured at the callee's proxy",
};

export function Toolbar({ find }: { find: RefObject<HTMLInputElement | null> }) {
  const now = view.value;
  const facts = summary.value;
  return (
    <div class="toolbar" role="toolbar" aria-label="View settings">
      <Segments label="View" value={now.view} options={[["graph", "Graph"], ["list", "List"]]} onChange={(value) => setView({ view: value })} />
      <label class="find">
        <svg viewBox="0 0 20 20" aria-hidden="true"><circle cx="8.500" cy="8.500" r="5.500" /><path d="m13 13 4.500 4.500" /></svg>
        <input ref={find} type="search" placeholder="Find workload, pod or node" aria-label="Find a workload, namespace, pod, node or zone" value={now.find}
          onInput={(event) => setView({ find: event.currentTarget.value })}
          onKeyDown={(event) => { if (event.key === "Enter") nextMatch(); }} />
        <kbd aria-hidden="true">/</kbd>
      </label>
      <FindCount />
      <Toggle label="Only slow" count={facts?.slow} on={now.slow} onChange={(slow) => setView({ slow })} title="Edges with a finding that Huddle can act on" />
      <Toggle label="Only errors" count={facts?.errors} on={now.errors} onChange={(errors) => setView({ errors })} title="Edges with failed requests in the window" />
      <div class="spring" />
      {now.view === "graph" && (
        <>
          {plan.value && <Toggle label="Plan" on={now.plan} onChange={(value) => setView({ plan: value })} title="Draw the plan on the graph" tone="plan" />}
          <Choice label="Labels" value={now.metric} options={METRICS.map((m) => [m, METRIC_WORDS[m]])} title={METRIC_HELP[now.metric]} onChange={(metric) => setView({ metric })} />
          <Segments label="Boxes" shown value={now.group} options={GROUPINGS.map((g) => [g, GROUP_WORDS[g]])} onChange={(group) => setView({ group, toggled: [] })} />
        </>
      )}
    </div>
  );
}

/** Enter in the find box goes from match to match. */
function nextMatch(): void {
  const matches = match.value;
  const workloads = state.value?.workloads.filter((w) => matches?.(...workloadTexts(w))) ?? [];
  if (workloads.length === 0) return;
  const at = workloads.findIndex((w) => w.id === view.value.selected);
  select(workloads[(at + 1) % workloads.length]?.id, true);
}

function FindCount() {
  const matches = match.value;
  if (!matches) return null;
  const found = state.value?.workloads.filter((w) => matches(...workloadTexts(w))).length ?? 0;
  return <span class="findcount" role="status">{found === 0 ? "no match" : `${count(found)} found`}</span>;
}

function Segments<T extends string>({ label, value, options, onChange, shown }: { label: string; value: T; options: readonly (readonly [T, string])[]; onChange: (value: T) => void; shown?: boolean }) {
  return (
    <div class="field">
      {shown && <span class="fieldname" aria-hidden="true">{label}</span>}
      <div class="segments" role="group" aria-label={label}>
        {options.map(([option, word]) => (
          <button key={option} type="button" aria-pressed={option === value} onClick={() => onChange(option)}>{word}</button>
        ))}
      </div>
    </div>
  );
}

function Choice<T extends string>({ label, value, options, onChange, title }: { label: string; value: T; options: readonly (readonly [T, string])[]; onChange: (value: T) => void; title: string }) {
  return (
    <label class="field" title={title}>
      <span class="fieldname">{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value as T)}>
        {options.map(([option, word]) => <option key={option} value={option}>{word}</option>)}
      </select>
    </label>
  );
}

function Toggle({ label, count: number, on, onChange, title, tone }: { label: string; count?: number; on: boolean; onChange: (on: boolean) => void; title: string; tone?: string }) {
  return (
    <button type="button" class={`toggle ${tone ?? ""}`} aria-pressed={on} title={title} onClick={() => onChange(!on)}>
      <span class="tick" aria-hidden="true" />{label}{number !== undefined && <span class="count">{count(number)}</span>}
    </button>
  );
}

export function hiddenText(): string | undefined {
  const hidden = scene.value?.hidden;
  if (!hidden) return undefined;
  const parts = [
    hidden.belowLimit > 0 ? `${count(hidden.belowLimit)} quieter edges hidden` : "",
    hidden.insideBoxes > 0 ? `${count(hidden.insideBoxes)} edges inside closed boxes` : "",
    hidden.filtered > 0 ? `${count(hidden.filtered)} edges filtered out` : "",
  ].filter(Boolean);
  return parts.length === 0 ? undefined : parts.join(" · ");
}
