import type { WorkerCounts } from '../workers/messages.js';
import type { HealthReport } from './health-report.js';

/** The result of one indicator, as Terminus writes it. */
type Result = { readonly status: string } & Readonly<Record<string, unknown>>;

const ranks = ['up', 'degraded', 'down'];

/**
 * The health of several workers as that of one service: of each indicator the worst result, with the number of its worker.
 * A connection ends at any of them, so what one cannot do some callers do not get.
 */
export function worstOf(
  reports: readonly { readonly worker: number; readonly value: HealthReport }[],
  { wanted, serving, restarts }: WorkerCounts,
): HealthReport {
  const worst = new Map<string, Result>();
  for (const { worker, value } of reports) {
    for (const [name, result] of Object.entries(value.details as Record<string, Result>)) {
      const before = worst.get(name);
      if (before === undefined || ranks.indexOf(result.status) > ranks.indexOf(before.status)) {
        worst.set(name, result.status === 'up' ? result : { ...result, worker });
      }
    }
  }
  const isWhole = serving === wanted && reports.length === serving;
  worst.set('workers', { status: isWhole ? 'up' : 'degraded', wanted, serving, answering: reports.length, restarts });
  const details = Object.fromEntries(worst);
  const where = (isDown: boolean) =>
    Object.fromEntries([...worst].filter(([, { status }]) => (status === 'down') === isDown));
  return { status: statusOf([...worst.values()], reports), info: where(false), error: where(true), details };
}

/** As Terminus sums up its indicators. */
function statusOf(results: readonly Result[], reports: readonly { readonly value: HealthReport }[]): string {
  if (reports.some(({ value }) => value.status === 'shutting_down')) return 'shutting_down';
  if (results.some(({ status }) => status === 'down')) return 'error';
  return results.some(({ status }) => status === 'degraded') ? 'degraded' : 'ok';
}
