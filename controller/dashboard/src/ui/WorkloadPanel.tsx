import { marks, select } from "../model/store";
import { memory, micros, millicores, percent, plural, rate, shortName, stayWords } from "../model/format";
import type { Edge, State, Workload } from "../model/types";

export function WorkloadPanel({ workload, state }: { workload: Workload; state: State }) {
  const byRate = (a: Edge, b: Edge) => b.rps - a.rps;
  const outgoing = state.edges.filter((edge) => edge.source === workload.id).sort(byRate);
  const incoming = state.edges.filter((edge) => edge.destination === workload.id).sort(byRate);
  const plan = marks.value;
  const moves = plan?.moves.filter((move) => move.workload === workload.id) ?? [];
  const joinings = plan?.joinings.filter((one) => one.caller === workload.id || one.callee === workload.id) ?? [];
  const sentences = [...joinings.map((one) => one.sentence), plan?.ruled.get(workload.id), ...moves.map((move) => move.sentence), plan?.routed.get(workload.id)].filter((s) => s !== undefined);
  const nodes = new Set(workload.pods.map((pod) => pod.node).filter(Boolean)).size;
  return (
    <div data-panel-workload={workload.id}>
      <header class="panelhead">
        <p class="kind">{workload.kind || "Workload"}<span class="chip">{workload.namespace}</span></p>
        <h2>{workload.name}</h2>
        <p class="sub">{workload.ready} of {workload.replicas} ready on {plural(nodes, "node")} · {workload.reporting} of {workload.pods.length} reporting</p>
      </header>
      {sentences.length > 0 && plan && (
        <div class="callout plan">
          <b>In plan {plan.plan.id}</b>
          <ul>{sentences.map((sentence) => <li key={sentence}>{sentence}</li>)}</ul>
        </div>
      )}
      <Calls title="Calls" none="Calls nobody in the window." edges={outgoing} other={(edge) => edge.destination} />
      <Calls title="Called by" none="Nobody in the mesh called it in the window." edges={incoming} other={(edge) => edge.source} />
      <h3>Pods</h3>
      {workload.pods.length === 0 ? <p class="hint">No pods.</p> : (
        <table class="pods">
          <thead><tr><th scope="col">pod</th><th scope="col">node</th><th scope="col">zone</th><th scope="col">state</th></tr></thead>
          <tbody>
            {workload.pods.map((pod) => (
              <tr key={pod.name}>
                <td title={pod.name}>{pod.name.startsWith(`${workload.name}-`) ? `…${pod.name.slice(workload.name.length)}` : pod.name}</td>
                <td>{pod.node ?? "–"}</td>
                <td>{pod.zone ?? "–"}</td>
                <td class={pod.ready && pod.reporting ? "" : "warntext"}>{!pod.ready ? "▲ not ready" : pod.reporting ? "reporting" : "▲ silent"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {workload.containers.length > 0 && <Containers workload={workload} />}
    </div>
  );
}

/** What the containers use and lack; the sidecar is one of them. */
function Containers({ workload }: { workload: Workload }) {
  const limit = (value: string | undefined) => (value === undefined ? "" : ` of ${value}`);
  return (
    <>
      <h3>Containers</h3>
      <table class="pods" data-containers={workload.id}>
        <thead><tr><th scope="col">container</th><th scope="col">cpu</th><th scope="col">throttled</th><th scope="col">memory</th><th scope="col">killed</th></tr></thead>
        <tbody>
          {workload.containers.map((one) => (
            <tr key={one.name}>
              <td title={plural(one.pods, "pod")}>{one.name}</td>
              <td title={`${millicores(one.cpuPeakM)} at its height`}>{millicores(one.cpuUsedM)}{limit(one.cpuLimitM === undefined ? undefined : millicores(one.cpuLimitM))}</td>
              <td class={one.throttled >= 0.1 ? "warntext" : ""}>{one.throttled >= 0.1 && "▲ "}{percent(one.throttled)}</td>
              <td>{memory(one.memoryPeakBytes)}{limit(one.memoryLimitBytes === undefined ? undefined : memory(one.memoryLimitBytes))}</td>
              <td class={one.kills > 0 ? "warntext" : ""}>{one.kills > 0 && "▲ "}{one.kills}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function Calls({ title, none, edges, other }: { title: string; none: string; edges: Edge[]; other: (edge: Edge) => string }) {
  return (
    <>
      <h3>{title}</h3>
      {edges.length === 0 ? <p class="hint">{none}</p> : (
        <ul class="links">
          {edges.slice(0, 40).map((edge) => (
            <li key={edge.id}>
              <button type="button" onClick={() => select(edge.id, true)}>
                <span>{shortName(other(edge))}</span>
                <em>{rate(edge.rps)} rps · p99 {!edge.total.reliable && "≈ "}{micros(edge.total.p99Us)}{stayWords(edge) && ` · ${stayWords(edge)}`}{edge.errorRate > 0 ? ` · ✕ ${percent(edge.errorRate)}` : ""}</em>
              </button>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
