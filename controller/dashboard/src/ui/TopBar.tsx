import { useEffect, useState } from "preact/hooks";
import { connection, receivedAt, state, summary } from "../model/store";
import { count, percent, plural, rate, span } from "../model/format";
import { isDark, setTheme, theme } from "./theme";

export function TopBar() {
  const facts = summary.value;
  const current = state.value;
  return (
    <header class="topbar">
      <div class="brand">
        <svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" /><path d="M11 12 21 11M11 12l5 9M21 11l-5 10" /><circle cx="10.5" cy="11.5" r="3.6" /><circle cx="21.5" cy="11" r="3.6" /><circle cx="16" cy="21.5" r="3.6" /></svg>
        <h1>Huddle</h1>
        {current?.cluster.name && <span class="cluster" title="Cluster">{current.cluster.name}</span>}
      </div>
      {facts && current && (
        <dl class="facts">
          <Fact name="workloads" value={count(facts.workloads)} />
          <Fact name="edges" value={count(facts.edges)} />
          <Fact name="rps" value={rate(facts.rps)} />
          <Fact name="stay on their node" value={facts.local === undefined ? "–" : percent(facts.local)} />
          <Fact name="pods reporting" value={`${count(facts.reporting)} / ${count(facts.pods)}`} warn={facts.reporting < facts.pods} />
          {current.windowMs > 0 && <Fact name="window" value={span(current.windowMs)} />}
        </dl>
      )}
      <div class="spring" />
      {current && current.unreadable.length > 0 && (
        <span class="chip warn" title={current.unreadable.slice(0, 8).join("\n")}>{plural(current.unreadable.length, "item")} unreadable</span>
      )}
      <Live />
      <ThemeButton />
    </header>
  );
}

function Fact({ name, value, warn }: { name: string; value: string; warn?: boolean }) {
  return (
    <div class={warn ? "fact warn" : "fact"}>
      <dd>{value}</dd>
      <dt>{name}</dt>
    </div>
  );
}

/** Whether what is shown is current; the text carries it, the dot only repeats it. */
function Live() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) setNow(Date.now()); }, 1000);
    return () => clearInterval(timer);
  }, []);
  const at = connection.value;
  const age = receivedAt.value === 0 ? 0 : Math.max(0, now - receivedAt.value);
  const text =
    at.kind === "connecting" ? "connecting…"
    : at.kind === "paused" ? "paused while hidden"
    : at.kind === "lost" ? (receivedAt.value === 0 ? "no connection" : `reconnecting · data ${span(age)} old`)
    : age < 4000 ? "live" : `live · no change for ${span(age)}`;
  return (
    <span class={`live ${at.kind}`} role="status" title={at.kind === "lost" ? at.why : "Pushed by the controller"} data-connection={at.kind}>
      <i aria-hidden="true" />{text}
    </span>
  );
}

function ThemeButton() {
  void theme.value;
  const dark = isDark();
  return (
    <button class="icon" type="button" aria-label={dark ? "Light colours" : "Dark colours"} title={dark ? "Light colours" : "Dark colours"} onClick={() => setTheme(dark ? "light" : "dark")}>
      {dark ? (
        <svg viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="3.6" /><path d="M10 2v2.2M10 15.800V18M2 10h2.200M15.800 10H18M4.300 4.300l1.600 1.600M14.100 14.100l1.600 1.600M15.700 4.300l-1.600 1.600M5.900 14.100l-1.600 1.600" /></svg>
      ) : (
        <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M16.500 12.300A7 7 0 0 1 7.700 3.500a7 7 0 1 0 8.800 8.800Z" /></svg>
      )}
    </button>
  );
}
