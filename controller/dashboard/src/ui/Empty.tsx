import type { State } from "../model/types";
import { plural } from "../model/format";

/** An empty graph says why it is empty. */
export function Empty({ state }: { state: State }) {
  return (
    <div class="empty">
      <h2>No calls to show yet</h2>
      {state.silent.length === 0 ? (
        state.workloads.length === 0 ? (
          <p>No proxy has reported to Huddle and no pod is known that should. Install the filter into a namespace: <code>huddle install --namespace NAME</code>, then send traffic; the graph appears within seconds.</p>
        ) : (
          <p>{plural(state.workloads.length, "workload")} known, and every proxy that should report does: there were no calls between them in the window. Send traffic; the graph appears within seconds.</p>
        )
      ) : (
        <>
          <p>{plural(state.silent.length, "pod")} should report and {state.silent.length === 1 ? "does" : "do"} not:</p>
          <SilentList state={state} />
        </>
      )}
      <p class="hint">The same from the terminal: <code>huddle check</code></p>
    </div>
  );
}

export function SilentList({ state, most = 50 }: { state: State; most?: number }) {
  return (
    <ul class="silent">
      {state.silent.slice(0, most).map((pod) => (
        <li key={`${pod.namespace}/${pod.pod}`} data-silent={`${pod.namespace}/${pod.pod}`}>
          <b>{pod.namespace}/{pod.pod}</b>
          <span>{pod.sentence || pod.reason}</span>
        </li>
      ))}
      {state.silent.length > most && <li>and {state.silent.length - most} more: <code>huddle check</code></li>}
    </ul>
  );
}
