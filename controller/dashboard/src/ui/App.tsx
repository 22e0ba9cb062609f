import { useEffect, useRef } from "preact/hooks";
import { connection, select, setView, state, view } from "../model/store";
import { applyTheme } from "./theme";
import { Empty } from "./Empty";
import { GraphView } from "./GraphView";
import { ListView } from "./ListView";
import { Panel } from "./Panel";
import { Toolbar } from "./Toolbar";
import { TopBar } from "./TopBar";

applyTheme();

export function App() {
  const find = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
      if (event.key === "/" && !typing) {
        event.preventDefault();
        find.current?.focus();
        find.current?.select();
      } else if (event.key === "Escape") {
        if (typing && view.value.find !== "") setView({ find: "" });
        else select(undefined);
      } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && (event.key === "g" || event.key === "l")) {
        setView({ view: event.key === "g" ? "graph" : "list" });
      }
    };
    window.addEventListener("keydown", key);
    return () => window.removeEventListener("keydown", key);
  }, []);

  const current = state.value;
  return (
    <div class="app">
      <a class="skip" href="#main">Skip to the graph</a>
      <TopBar />
      <Toolbar find={find} />
      <main id="main" class="main">
        <section class="stage" aria-label={view.value.view === "graph" ? "Service graph" : "Service list"}>
          {!current ? (
            <Waiting />
          ) : current.edges.length === 0 ? (
            <Empty state={current} />
          ) : view.value.view === "graph" ? (
            <GraphView />
          ) : (
            <ListView />
          )}
        </section>
        {current && <Panel state={current} />}
      </main>
    </div>
  );
}

function Waiting() {
  const now = connection.value;
  return (
    <div class="empty" role="status">
      <h2>{now.kind === "lost" ? "No answer from the controller" : "Reading the mesh…"}</h2>
      {now.kind === "lost" && <p>Still trying: {now.why}. If the port-forward ended, run <code>huddle dashboard</code> again.</p>}
    </div>
  );
}
