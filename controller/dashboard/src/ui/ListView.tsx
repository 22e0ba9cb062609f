import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { match, select, setView, state, view, workloadsById } from "../model/store";
import { count } from "../model/format";
import { workloadTexts } from "../model/scene";
import { EDGE_COLUMNS, edgeRows, parseSort, sortRows, WORKLOAD_COLUMNS, workloadRows, type Column } from "../model/table";
import type { Edge } from "../model/types";

/** The same data as the graph, for reading, sorting and the keyboard. */
export function ListView() {
  const now = view.value;
  const current = state.value;
  if (!current) return null;
  const texts = (id: string) => {
    const workload = workloadsById.value.get(id);
    return workload ? workloadTexts(workload) : [];
  };
  const edges = edgeRows(current, { onlySlow: now.slow, onlyErrors: now.errors }, match.value, texts);
  const workloads = workloadRows(current, match.value, workloadTexts);
  const tab = (name: typeof now.tab, label: string, rows: number, all: number) => (
    <button type="button" role="tab" id={`tab-${name}`} aria-selected={now.tab === name} aria-controls="rows" tabIndex={now.tab === name ? 0 : -1}
      onClick={() => setView({ tab: name, sort: undefined })}
      onKeyDown={(event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        const other = name === "edges" ? "workloads" : "edges";
        setView({ tab: other, sort: undefined });
        document.getElementById(`tab-${other}`)?.focus();
      }}>
      {label} <span class="n">{rows === all ? count(all) : `${count(rows)} of ${count(all)}`}</span>
    </button>
  );
  return (
    <div class="list">
      <div class="tabs" role="tablist" aria-label="What to list">
        {tab("edges", "Edges", edges.length, current.edges.length)}
        {tab("workloads", "Workloads", workloads.length, current.workloads.length)}
      </div>
      <div id="rows" role="tabpanel" aria-labelledby={`tab-${now.tab}`} class="rowspanel">
        {now.tab === "edges"
          ? <Table key="edges" label="Edges" columns={EDGE_COLUMNS} rows={edges} id={(edge: Edge) => edge.id} fallback="rps.desc" />
          : <Table key="workloads" label="Workloads" columns={WORKLOAD_COLUMNS} rows={workloads} id={(row) => row.workload.id} fallback="in.desc" />}
      </div>
    </div>
  );
}

const ROW = 34;
const SPARE = 12;

/** Only the rows in sight are in the document; `aria-rowcount` and `aria-rowindex` tell the whole. */
function Table<T>({ label, columns, rows, id, fallback }: { label: string; columns: Column<T>[]; rows: T[]; id: (row: T) => string; fallback: string }) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(800);
  const [cursor, setCursor] = useState(0);
  const wanted = useRef<number | undefined>(undefined);
  const { key, descending } = parseSort(view.value.sort, fallback);
  const sorted = useMemo(() => sortRows(rows, columns.find((column) => column.key === key), descending, id), [rows, key, descending]);
  useEffect(() => {
    if (!box.current) return;
    const watching = new ResizeObserver(([entry]) => setHeight(entry?.contentRect.height ?? 800));
    watching.observe(box.current);
    return () => watching.disconnect();
  }, []);

  const at = Math.min(cursor, Math.max(0, sorted.length - 1));
  const first = Math.max(0, Math.floor(top / ROW) - SPARE);
  const last = Math.min(sorted.length, Math.ceil((top + height) / ROW) + SPARE);

  const go = (to: number) => {
    const next = Math.min(sorted.length - 1, Math.max(0, to));
    setCursor(next);
    const scroll = box.current;
    if (!scroll) return;
    const y = next * ROW;
    if (y < scroll.scrollTop) scroll.scrollTop = y;
    else if (y + ROW * 2 > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = y + ROW * 2 - scroll.clientHeight;
    wanted.current = next;
    setTop(scroll.scrollTop);
  };
  // A row far away is in the document only after the scroll was rendered: the focus follows then.
  useLayoutEffect(() => {
    const row = wanted.current === undefined ? null : box.current?.querySelector<HTMLElement>(`tr[data-index="${wanted.current}"]`);
    if (!row) return;
    wanted.current = undefined;
    row.focus({ preventScroll: true });
  });
  const keys = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(height / ROW) - 2);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: sorted.length - 1, PageDown: at + page, PageUp: at - page }[event.key];
    if (to !== undefined) go(to);
    else if (event.key === "Enter" || event.key === " ") choose(at);
    else return;
    event.preventDefault();
  };
  const choose = (index: number) => {
    const row = sorted[index];
    if (row !== undefined) select(id(row));
  };
  const sortBy = (column: Column<T>) => {
    const down = key === column.key ? !descending : column.numeric;
    setView({ sort: `${column.key}.${down ? "desc" : "asc"}` });
  };

  if (sorted.length === 0) return <p class="nothing">Nothing matches. Clear the find box or the filters.</p>;
  return (
    <div class="tablebox" ref={box} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
      <table class="table" role="grid" aria-label={label} aria-rowcount={sorted.length + 1} onKeyDown={keys}>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <th key={column.key} scope="col" class={column.numeric ? "number" : ""} title={column.help} aria-sort={key === column.key ? (descending ? "descending" : "ascending") : "none"}>
                <button type="button" onClick={() => sortBy(column)} onKeyDown={(event) => event.stopPropagation()}>{column.title}<i aria-hidden="true">{key === column.key ? (descending ? "▾" : "▴") : ""}</i></button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {first > 0 && <tr aria-hidden="true" class="spacer"><td colSpan={columns.length} style={{ height: `${first * ROW}px` }} /></tr>}
          {sorted.slice(first, last).map((row, i) => {
            const index = first + i;
            const rowId = id(row);
            return (
              <tr key={rowId} data-index={index} data-id={rowId} aria-rowindex={index + 2} aria-selected={view.value.selected === rowId} tabIndex={index === at ? 0 : -1}
                onClick={() => { setCursor(index); select(rowId); }} onFocus={() => setCursor(index)}>
                {columns.map((column) => {
                  const text = column.text(row);
                  return <td key={column.key} class={`${column.numeric ? "number" : ""} ${column.tone?.(row) ?? ""}`} title={column.more?.(row)} data-column={column.key}>{text}</td>;
                })}
              </tr>
            );
          })}
          {last < sorted.length && <tr aria-hidden="true" class="spacer"><td colSpan={columns.length} style={{ height: `${(sorted.length - last) * ROW}px` }} /></tr>}
        </tbody>
      </table>
    </div>
  );
}
