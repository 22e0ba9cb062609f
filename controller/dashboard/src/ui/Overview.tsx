import { select, setView } from "../model/store";
import { CAUSE_WORDS, between, micros, percent, plural, rate, shortName, stayWords } from "../model/format";
import { edgeTitle } from "../model/scene";
import { ends, isOpen, waitingPlan } from "../model/plan";
import { isSlow } from "../model/severity";
import type { Interval, Plan, Proof, State, Step } from "../model/types";
import { SilentList } from "./Empty";
import { STATE_MARKS, VERDICT_MARKS } from "./marks";
import { MergingFacts, Stages } from "./Merging";

const PHASE_WORDS: Record<string, string> = {
  proposed: "waits for approval",
  approved: "approved",
  baseline: "measuring the baseline",
  acting: "acting",
  proving: "proving",
  proved: "proved",
  rollingBack: "rolling back",
  rolledBack: "rolled back",
  superseded: "superseded",
};

export function Overview({ state, plan }: { state: State; plan?: Plan }) {
  const slow = state.edges.filter(isSlow).sort((a, b) => b.rps - a.rps);
  const inside = state.edges.filter((edge) => edge.inside).sort((a, b) => b.rps - a.rps);
  const failing = state.edges.filter((edge) => edge.total.errors > 0).sort((a, b) => b.errorRate * b.rps - a.errorRate * a.rps);
  return (
    <div data-panel-overview>
      {plan && <PlanCard plan={plan} state={state} />}
      {inside.length > 0 && (
        <>
          <h3>Inside the pod<span class="n">{inside.length}</span></h3>
          <ul class="links" data-insides>
            {inside.slice(0, 8).map((edge) => (
              <li key={edge.id}><button type="button" onClick={() => select(edge.id, true)}><span>{edgeTitle(edge)}</span><em>{rate(edge.rps)} rps · {stayWords(edge)}</em></button></li>
            ))}
          </ul>
        </>
      )}
      <h3>Slow edges<span class="n">{slow.length}</span></h3>
      {slow.length === 0 ? <p class="hint">No edge has a finding that Huddle could act on.</p> : (
        <ul class="findings">
          {slow.slice(0, 12).map((edge) => (
            <li key={edge.id}>
              <button type="button" onClick={() => select(edge.id, true)}>
                <b>{edgeTitle(edge)}</b>
                {edge.finding?.cause !== "distance" && <span class="chip">{CAUSE_WORDS[edge.finding?.cause ?? ""] ?? edge.finding?.cause}</span>}
                <p>{edge.finding?.sentence}</p>
              </button>
            </li>
          ))}
        </ul>
      )}
      {slow.length > 12 && <button class="more" type="button" onClick={() => setView({ view: "list", slow: true })}>{slow.length - 12} more in the list</button>}
      {failing.length > 0 && (
        <>
          <h3>Failing requests<span class="n">{failing.length}</span></h3>
          <ul class="links">
            {failing.slice(0, 8).map((edge) => (
              <li key={edge.id}><button type="button" onClick={() => select(edge.id, true)}><span>{edgeTitle(edge)}</span><em>✕ {percent(edge.errorRate)}</em></button></li>
            ))}
          </ul>
        </>
      )}
      {state.silent.length > 0 && (
        <>
          <h3>Silent pods<span class="n">{state.silent.length}</span></h3>
          <SilentList state={state} most={8} />
        </>
      )}
      {state.blind.length > 0 && (
        <>
          <h3>Nodes of whose containers nothing is known<span class="n">{state.blind.length}</span></h3>
          <ul class="silent">
            {state.blind.slice(0, 8).map((node) => <li key={node.node} data-blind={node.node}><b>{node.node}</b><span>{node.sentence}</span></li>)}
          </ul>
        </>
      )}
      <NodeTable state={state} />
    </div>
  );
}

function PlanCard({ plan, state }: { plan: Plan; state: State }) {
  const waiting = waitingPlan(state, plan);
  return (
    <section class="plancard" data-plan={plan.id} aria-label={`Plan ${plan.id}`}>
      <header>
        <h2>Plan</h2>
        <span class={`phase ${plan.phase}`}>{PHASE_WORDS[plan.phase] ?? plan.phase}</span>
        {state.plans.length > 1 ? (
          <select aria-label="Which plan" value={plan.id} onChange={(event) => setView({ planId: event.currentTarget.value })}>
            {state.plans.map((one) => <option key={one.id} value={one.id}>{one.id} · {PHASE_WORDS[one.phase] ?? one.phase}</option>)}
          </select>
        ) : <code>{plan.id}</code>}
      </header>
      <p class="summary">{plan.summary}</p>
      {plan.verdict && <VerdictLine outcome={plan.verdict.outcome} sentence={plan.verdict.sentence} />}
      {plan.together && (
        <dl class="tiles three">
          <div><dd>{percent(plan.together.localShare[0])} → {percent(plan.together.localShare[1])}</dd><dt>same node</dt></div>
          <div><dd>{percent(plan.together.gapClosedP50)}</dd><dt>of gap closed, p50</dt></div>
          <div><dd>{percent(plan.together.gapClosedP99)}</dd><dt>of gap closed, p99</dt></div>
        </dl>
      )}
      <Gains plan={plan} />
      <Steps title="Steps" steps={plan.actions} open={isOpen(plan) || plan.merging.length > 0} />
      {plan.merging.map((merging) => <MergingFacts key={ends(merging)} merging={merging} folded={plan.phase !== "proposed"} />)}
      {plan.refusals.length > 0 && <Steps title="Left alone" steps={plan.refusals} open={false} />}
      {plan.phase === "proposed" && <p class="cli">Approve: <code>huddle approve {plan.id}</code></p>}
      {plan.phase === "proved" && <p class="cli">Undo: <code>huddle rollback {plan.id}</code></p>}
      {waiting && <button class="more" type="button" data-waiting={waiting.id} onClick={() => setView({ planId: waiting.id })}>{waiting.id} waits for approval: show it</button>}
    </section>
  );
}

/** Most sentences begin with the outcome; it is not said twice. */
function VerdictLine({ outcome, sentence }: { outcome: string; sentence: string }) {
  const said = sentence.toLowerCase().startsWith(`${outcome.toLowerCase()}:`);
  return <p class={`verdict ${outcome}`}><b>{VERDICT_MARKS[outcome] ?? "•"}{!said && ` ${outcome}`}</b> {sentence}</p>;
}

/**
 * Network time per edge: before, and expected or measured after. The median is what distance adds to every call; a tail has other causes too.
 * Of calls inside a pod nobody tells a network part: a merge is judged by whole calls.
 */
function Gains({ plan }: { plan: Plan }) {
  const whole = plan.merging.length > 0;
  const awaited = ([before, low, high]: Interval) => ({ before: micros(before), after: `${between(low, high)} ms` });
  const measured = (proof: Proof, of: "p50Us" | "p99Us") => {
    const [before, after] = whole ? [proof.before[of], proof.after[of]] : [proof.before.network?.[of], proof.after.network?.[of]];
    return { before: before === undefined ? "–" : micros(before), after: after === undefined ? "–" : micros(after) };
  };
  const proved = plan.proof.length > 0;
  const rows = proved
    ? plan.proof.map((proof) => ({ edge: proof, verdict: proof.verdict, p50: measured(proof, "p50Us"), p99: measured(proof, "p99Us") }))
    : plan.expected.map((expected) => ({ edge: expected, verdict: undefined, p50: awaited(expected.networkP50Us), p99: awaited(expected.networkP99Us) }));
  if (rows.length === 0) return null;
  return (
    <table class="compare gains">
      <thead><tr><th scope="col">{whole ? "whole call" : "network time"}</th><th scope="col">p50</th><th scope="col">p99</th></tr></thead>
      <tbody>
        {rows.map(({ edge, verdict, p50, p99 }) => (
          <tr key={edge.source + edge.destination}>
            <th scope="row">{verdict !== undefined && <span title={verdict} aria-label={verdict}>{VERDICT_MARKS[verdict] ?? "•"} </span>}{edgeTitle(edge)}</th>
            {[p50, p99].map(({ before, after }, i) => <td key={i}><span>{before}</span><br />→ {after}</td>)}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Steps({ title, steps, open }: { title: string; steps: Step[]; open: boolean }) {
  const done = steps.filter((step) => step.state === "done").length;
  return (
    <details class="steps" open={open}>
      <summary>{title} <span class="n">{steps.some((step) => step.state) ? `${done} of ${steps.length} done` : steps.length}</span></summary>
      <ol>
        {steps.map((step, i) => (
          <li key={i} class={step.state ?? ""}>
            <i aria-hidden="true">{STATE_MARKS[step.state ?? ""] ?? "–"}</i>
            <span>
              {step.workload === undefined ? step.sentence : <button type="button" onClick={() => select(step.workload, true)}>{step.sentence}</button>}
              {step.state !== undefined && <span class="visually-hidden"> ({step.state})</span>}
              <Stages stages={step.stages} />
            </span>
          </li>
        ))}
      </ol>
    </details>
  );
}

function NodeTable({ state }: { state: State }) {
  if (state.cluster.nodes.length === 0 || state.cluster.nodes.length > 24) return null;
  const pods = new Map<string, number>();
  for (const workload of state.workloads) for (const pod of workload.pods) if (pod.node) pods.set(pod.node, (pods.get(pod.node) ?? 0) + 1);
  const most = Math.max(1, ...pods.values());
  return (
    <>
      <h3>Nodes<span class="n">{plural(state.cluster.nodes.length, "node")}</span></h3>
      <table class="nodes">
        <tbody>
          {state.cluster.nodes.map((node) => (
            <tr key={node.name}>
              <th scope="row">{shortName(node.name)}</th>
              <td>{node.zone ?? ""}</td>
              <td class="wide"><svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="6" rx="1" /><rect class="fill" width={((pods.get(node.name) ?? 0) / most) * 100} height="6" rx="1" /></svg></td>
              <td>{node.ready ? `${pods.get(node.name) ?? 0} pods` : "▲ not ready"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
