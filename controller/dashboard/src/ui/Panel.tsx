import { plan, scene, select, selectedEdge, selectedWorkload, toggleBox, view } from "../model/store";
import { count, rate, stayWords } from "../model/format";
import { edgeTitle, type Scene } from "../model/scene";
import type { State } from "../model/types";
import { EdgePanel } from "./EdgePanel";
import { Overview } from "./Overview";
import { WorkloadPanel } from "./WorkloadPanel";

/** Details of what is selected; without a selection, what deserves attention. */
export function Panel({ state }: { state: State }) {
  const edge = selectedEdge.value;
  const workload = selectedWorkload.value;
  const id = view.value.selected;
  const drawn = scene.value;
  return (
    <aside class="panel" id="panel" tabIndex={-1} aria-label="Details">
      {id !== undefined && <button class="close" type="button" aria-label="Close the details" title="Close (Esc)" onClick={() => select(undefined)}>×</button>}
      {edge ? <EdgePanel edge={edge} /> : workload ? <WorkloadPanel workload={workload} state={state} /> : id !== undefined && drawn && view.value.view === "graph" ? <Bundle id={id} drawn={drawn} /> : <Overview state={state} plan={plan.value} />}
    </aside>
  );
}

/** A closed box or a line that stands for several edges. */
function Bundle({ id, drawn }: { id: string; drawn: Scene }) {
  const line = drawn.edges.find((edge) => edge.id === id);
  const group = drawn.groups.find((one) => one.id === id);
  if (!line && !group) return <p class="gone">What was selected is no longer there.</p>;
  const edges = line ? line.edges : drawn.edges.filter((edge) => edge.source === id || edge.destination === id).flatMap((edge) => edge.edges);
  const sorted = [...new Set(edges)].sort((a, b) => b.rps - a.rps);
  return (
    <>
      <header class="panelhead">
        <p class="kind">{group ? "Box" : "Several edges"}</p>
        <h2>{group ? group.label : `${plain(line?.source)} → ${plain(line?.destination)}`}</h2>
        <p class="sub">{group ? `${count(group.members)} workloads` : `${count(sorted.length)} edges, ${rate(line?.rps ?? 0)} rps`}</p>
      </header>
      {group && <button class="action" type="button" onClick={() => toggleBox(id)}>{group.collapsed ? "Open this box" : "Close this box"}</button>}
      <h3>{group ? "Calls in and out" : "Edges"}</h3>
      <ul class="links">
        {sorted.slice(0, 60).map((edge) => (
          <li key={edge.id}>
            <button type="button" onClick={() => select(edge.id, true)}><span>{edgeTitle(edge)}</span><em>{rate(edge.rps)} rps{stayWords(edge) && ` · ${stayWords(edge)}`}</em></button>
          </li>
        ))}
      </ul>
      {sorted.length > 60 && <p class="hint">and {count(sorted.length - 60)} more in the list</p>}
    </>
  );
}

const plain = (id: string | undefined) => (id ?? "").replace(/^(namespace|node|zone):/, "");
