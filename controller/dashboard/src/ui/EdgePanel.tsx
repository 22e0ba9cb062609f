import { marks, select } from "../model/store";
import { bytes, CAUSE_WORDS, count, LOCALITY_WORDS, micros, percent, rate, shortName } from "../model/format";
import { ends } from "../model/plan";
import { presentLocalities } from "../model/scene";
import { failing } from "../model/severity";
import type { Edge, Expectation, Proof } from "../model/types";
import { Ranges, Shares } from "./bars";
import { MergingFacts } from "./Merging";
import { Said } from "./Said";

export function EdgePanel({ edge }: { edge: Edge }) {
  const plan = marks.value;
  const proof = plan?.proof.get(ends(edge));
  const expected = plan?.expected.get(ends(edge));
  const stays = edge.inside?.share ?? edge.localShare;
  const planned = plan?.merging.get(ends(edge));
  const parts = presentLocalities(edge);
  // Of an edge inside the pod the callout of the merge says the same, and more.
  const finding = edge.inside && edge.finding?.cause === "inside" ? undefined : edge.finding;
  return (
    <div data-panel-edge={edge.id}>
      <header class="panelhead">
        <p class="kind">Edge{edge.protocol && <span class="chip">{edge.protocol}</span>}</p>
        <h2>
          <button class="link" type="button" onClick={() => select(edge.source, true)}>{shortName(edge.source)}</button>
          <span aria-hidden="true"> → </span><span class="visually-hidden"> calls </span>
          <button class="link" type="button" onClick={() => select(edge.destination, true)}>{shortName(edge.destination)}</button>
        </h2>
        <p class="sub">{edge.source} → {edge.destination}</p>
      </header>
      {finding && (
        <div class={`callout ${finding.cause}`}>
          <b>{CAUSE_WORDS[finding.cause] ?? finding.cause}</b>
          <p>{finding.sentence}</p>
          {edge.merge && <p class="advice">{edge.merge.sentence}{edge.merge.ask && <span data-ask> <Said text={edge.merge.ask} /></span>}</p>}
        </div>
      )}
      {edge.inside && (
        <div class="callout inside" data-inside>
          <b>Inside the pod</b>
          <p><Said text={edge.inside.sentence} /></p>
        </div>
      )}
      <dl class="tiles">
        <div><dd>{rate(edge.rps)}</dd><dt>rps</dt></div>
        <div class={failing(edge) ? "bad" : ""}><dd>{failing(edge) && "✕ "}{percent(edge.errorRate)}</dd><dt>errors</dt></div>
        <div><dd>{stays === undefined ? "–" : percent(stays)}</dd><dt>{edge.inside ? "in the pod" : "local"}</dt></div>
        <div><dd>{bytes(edge.bytesPerSecond)}</dd><dt>throughput</dt></div>
      </dl>
      {proof && <ProofCard proof={proof} />}
      {expected && !proof && <ExpectedCard expected={expected} />}
      {planned && !proof && plan && (
        <div class="callout plan">
          <b>In plan {plan.plan.id}</b>
          <ul>{plan.joinings.filter((one) => one.caller === edge.source && one.callee === edge.destination).map((one) => <li key={one.callee}>{one.sentence}</li>)}</ul>
        </div>
      )}
      <h3>Where the time goes</h3>
      <Ranges rows={[
        { name: "Whole call", title: "Request sent to response headers, at the caller's proxy", tone: "upstream", quantiles: edge.total, unsure: !edge.total.reliable },
        { name: "Network", title: "Whole call minus the callee's own time: network and proxies", tone: "network", quantiles: edge.total.network, unsure: !edge.total.reliable },
        { name: "Callee", title: "Request received to response headers, at the callee's proxy", tone: "served", quantiles: edge.total.served, unsure: !edge.total.reliable },
      ]} />
      <p class="hint">Each row has quantiles of its own; they do not add up.</p>
      <h3>By distance</h3>
      {parts.length === 0 ? <p class="hint">No request of the window could be placed on nodes.</p> : (
        <>
          <Shares slices={parts.map(({ name, part }) => ({ name, tone: name, share: edge.total.requests > 0 ? part.requests / edge.total.requests : 0 }))} />
          <table class="localities">
            <thead><tr><th scope="col"><span class="visually-hidden">Distance</span></th><th scope="col">requests</th><th scope="col">net p50</th><th scope="col">net p99</th><th scope="col">p99</th></tr></thead>
            <tbody>
              {parts.map(({ name, part }) => (
                <tr key={name} data-locality={name}>
                  <th scope="row"><i class={`dot ${name}`} aria-hidden="true" />{LOCALITY_WORDS[name]}</th>
                  <td>{count(part.requests)}</td>
                  <td>{part.network ? micros(part.network.p50Us) : "–"}</td>
                  <td class={part.reliable ? "" : "unsure"} title={part.reliable ? undefined : "Fewer than 100 requests: p99 is not reliable"}>{!part.reliable && "≈ "}{part.network ? micros(part.network.p99Us) : "–"}</td>
                  <td class={part.reliable ? "" : "unsure"}>{!part.reliable && "≈ "}{micros(part.p99Us)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      {edge.merge && (
        <>
          <h3>To run {shortName(edge.destination)} inside the pods of {shortName(edge.source)}</h3>
          <MergingFacts merging={edge.merge} />
        </>
      )}
      <p class="hint foot">{count(edge.total.requests)} requests in the window, {count(edge.total.errors)} failed. Terminal: <code>huddle explain {edge.source} {edge.destination}</code></p>
    </div>
  );
}

export function ProofCard({ proof }: { proof: Proof }) {
  const before = proof.before.network;
  const after = proof.after.network;
  return (
    <div class="callout proof">
      <b>Proved{proof.verdict && `: ${proof.verdict}`}</b>
      <table class="compare">
        <thead><tr><th scope="col"><span class="visually-hidden">Measure</span></th><th scope="col">before</th><th scope="col">after</th></tr></thead>
        <tbody>
          <tr><th scope="row">whole call p50</th><td>{micros(proof.before.p50Us)}</td><td>{micros(proof.after.p50Us)}</td></tr>
          {before && after && <tr><th scope="row">network p50</th><td>{micros(before.p50Us)}</td><td>{micros(after.p50Us)}</td></tr>}
          {before && after && <tr><th scope="row">network p99</th><td>{micros(before.p99Us)}</td><td>{micros(after.p99Us)}</td></tr>}
          <tr><th scope="row">whole call p99</th><td>{micros(proof.before.p99Us)}</td><td>{micros(proof.after.p99Us)}</td></tr>
          <tr><th scope="row">local share</th><td>{percent(proof.localShare[0])}</td><td>{percent(proof.localShare[1])}</td></tr>
          <tr><th scope="row">requests</th><td>{count(proof.before.requests)}</td><td>{count(proof.after.requests)}</td></tr>
        </tbody>
      </table>
    </div>
  );
}

function ExpectedCard({ expected }: { expected: Expectation }) {
  const row = (name: string, [before, low, high]: Expectation["networkP50Us"]) => (
    <tr><th scope="row">{name}</th><td>{micros(before)}</td><td>{micros(low)} – {micros(high)}</td></tr>
  );
  return (
    <div class="callout plan">
      <b>The plan expects</b>
      <table class="compare">
        <thead><tr><th scope="col"><span class="visually-hidden">Measure</span></th><th scope="col">before</th><th scope="col">expected</th></tr></thead>
        <tbody>
          {row("network p50", expected.networkP50Us)}
          {row("network p99", expected.networkP99Us)}
          <tr><th scope="row">local share</th><td>{percent(expected.localShare[0])}</td><td>{percent(expected.localShare[1])}</td></tr>
        </tbody>
      </table>
    </div>
  );
}
