/** Small figures: quantile ranges on one shared scale, and shares. */
import { micros } from "../model/format";
import type { Quantiles } from "../model/types";

export interface Row {
  name: string;
  title?: string;
  tone: string;
  quantiles?: Quantiles;
  unsure?: boolean;
}

/** p50 to p99 of each row on one linear scale from zero; numbers beside it, so nothing hangs on reading the bar. */
export function Ranges({ rows }: { rows: Row[] }) {
  const most = Math.max(1, ...rows.map((row) => row.quantiles?.p99Us ?? 0));
  const x = (us: number) => (us / most) * 100;
  return (
    <table class="ranges">
      <thead><tr><th scope="col"><span class="visually-hidden">Part</span></th><th scope="col">p50</th><th scope="col">p95</th><th scope="col">p99</th></tr></thead>
      {rows.map((row) => (
        <tbody key={row.name} class={row.tone}>
          <tr>
            <th scope="row" title={row.title}>{row.name}</th>
            {row.quantiles ? (
              <>
                <td>{micros(row.quantiles.p50Us)}</td>
                <td>{micros(row.quantiles.p95Us)}</td>
                <td class={row.unsure ? "unsure" : ""} title={row.unsure ? "Fewer than 100 requests: p99 is not reliable" : undefined}>{row.unsure && "≈ "}{micros(row.quantiles.p99Us)}</td>
              </>
            ) : (
              <td colSpan={3} class="none">not measured</td>
            )}
          </tr>
          {row.quantiles && (
            <tr class="bar" aria-hidden="true">
              <td colSpan={4}>
                <svg viewBox="0 0 100 8" preserveAspectRatio="none">
                  <rect class="track" x="0" y="3" width="100" height="2" />
                  <rect class="span" x={x(row.quantiles.p50Us)} y="2" width={Math.max(0.6, x(row.quantiles.p99Us) - x(row.quantiles.p50Us))} height="4" />
                  <rect class="mark" x={Math.max(0, x(row.quantiles.p50Us) - 0.6)} y="0" width="1.2" height="8" />
                  <rect class="mark" x={Math.max(0, x(row.quantiles.p95Us) - 0.3)} y="1" width="0.6" height="6" />
                  <rect class="mark" x={Math.min(98.8, Math.max(0, x(row.quantiles.p99Us) - 0.6))} y="0" width="1.2" height="8" />
                </svg>
              </td>
            </tr>
          )}
        </tbody>
      ))}
    </table>
  );
}

export interface Slice {
  name: string;
  tone: string;
  share: number;
}

export function Shares({ slices }: { slices: Slice[] }) {
  let at = 0;
  return (
    <svg class="shares" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      {slices.map(({ name, tone, share }) => {
        const x = at;
        at += share * 100;
        return <rect key={name} class={tone} x={x} y="0" width={share * 100} height="6" />;
      })}
    </svg>
  );
}
