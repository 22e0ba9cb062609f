import { between, memory, micros, millicores } from "../model/format";
import type { Merging, Stage, Step } from "../model/types";
import { Said } from "./Said";
import { STATE_MARKS } from "./marks";

/** What a callee inside its caller's pods brings, costs and changes, and what stands against it: the controller's words, as at the command line. */
export function MergingFacts({ merging, folded = false }: { merging: Merging; folded?: boolean }) {
  const [way] = merging.ways;
  const said = (
    <>
      {merging.ways.length > 0 && <Facts title="It would bring" basis={merging.basis} facts={merging.ways.map((one) => one.sentence)} />}
      <Facts title="It would cost" facts={[merging.cost]} />
      <Facts title="It would change" facts={merging.effects} />
      <Against reasons={merging.against} />
    </>
  );
  return (
    <div class="merging" data-merging={`${merging.source}>${merging.destination}`}>
      <dl class="tiles three">
        <div><dd>{way ? `${between(way.networkP50Us[1], way.networkP50Us[2])} ms` : "–"}</dd><dt>{way ? `net p50, now ${micros(way.networkP50Us[0])}` : "net p50"}</dt></div>
        <div><dd>+{millicores(merging.cpuRequestM)}</dd><dt>cpu a pod</dt></div>
        <div><dd>+{memory(merging.memoryRequestBytes)}</dd><dt>memory a pod</dt></div>
      </dl>
      {folded ? <details class="steps"><summary>What it was to bring, cost and change</summary>{said}</details> : said}
    </div>
  );
}

function Facts({ title, basis, facts }: { title: string; basis?: string; facts: string[] }) {
  return (
    <>
      <h4>{title}{basis && <span class="basis">, {basis}</span>}</h4>
      <ul class="saidlist">{facts.map((fact) => <li key={fact}><Said text={fact} /></li>)}</ul>
    </>
  );
}

function Against({ reasons }: { reasons: Step[] }) {
  if (reasons.length === 0) return null;
  return (
    <>
      <h4>Against it<span class="n">{reasons.length}</span></h4>
      <ul class="saidlist against" data-against>
        {reasons.map((reason) => (
          <li key={reason.sentence}>
            <Said text={reason.sentence} />
            {reason.remedy !== undefined && <p class="hint"><Said text={reason.remedy} /></p>}
          </li>
        ))}
      </ul>
    </>
  );
}

/** How far a step with several stages is. */
export function Stages({ stages }: { stages: Stage[] }) {
  if (stages.length === 0) return null;
  return (
    <ol class="stages">
      {stages.map((one) => (
        <li key={one.stage} class={one.state} data-stage={one.stage} data-state={one.state} aria-current={one.state === "running" ? "step" : undefined}>
          <i aria-hidden="true">{STATE_MARKS[one.state] ?? "–"}</i>
          <span>{one.sentence}<span class="visually-hidden"> ({one.state})</span></span>
        </li>
      ))}
    </ol>
  );
}
