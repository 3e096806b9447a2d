import type { NewDecisionRecord } from '../../decision-log/decision-record.js';
import type { MissingRecords } from '../../decision-log/local/local-instances.js';
import type { VerdictError } from '../../errors.js';
import type { RefusedRecord, SentItem, SentLoss } from './sent-records.js';

/** What becomes of the items of a request. */
export class Taking {
  disputed = 0;
  recorded = 0;
  repeated = 0;
  /** Whether all items were taken. */
  isAll = false;
  private readonly losses: {
    readonly number: number;
    readonly records: number;
    readonly from: number;
    readonly to: number;
  }[] = [];
  private readonly refusals: (RefusedRecord & { readonly records: number; readonly at: number })[] = [];

  /** @param next all numbers before are taken */
  constructor(public next: number) {}

  add(records: readonly NewDecisionRecord[], next: number): void {
    this.next = next;
    this.recorded += records.length;
    this.disputed += records.filter(({ disputed }) => disputed !== undefined).length;
  }

  lose(number: number, end: number, { from, to }: SentLoss): void {
    this.losses.push({ number, records: end - number, from, to });
  }

  refuse(number: number, item: SentItem, { code, detail }: VerdictError, records = 1): void {
    const now = Date.now();
    this.refusals.push({
      number,
      code,
      message: detail,
      records,
      at: 'decidedAt' in item ? Math.min(item.decidedAt, now) : now,
    });
  }

  /** Those whose number was reached: what follows comes again. */
  get refused(): RefusedRecord[] {
    return this.refusals.flatMap(({ at: _, records: __, ...refused }) => (refused.number < this.next ? [refused] : []));
  }

  get lost(): number {
    return this.reachedLosses.reduce((sum, { records }) => sum + records, 0);
  }

  /** The gaps that this comes to: one of what was lost, one of what was refused. */
  get missing(): MissingRecords[] {
    const missing: MissingRecords[] = [];
    const { lost, reachedLosses } = this;
    if (lost > 0) {
      const since = Math.min(...reachedLosses.map(({ from }) => from));
      missing.push({ lost, since, until: Math.max(...reachedLosses.map(({ to }) => to)), cause: 'lost_by_client' });
    }
    const refusals = this.refusals.filter(({ number }) => number < this.next);
    if (refusals.length > 0) {
      const times = refusals.map(({ at }) => at);
      const refused = refusals.reduce((sum, { records }) => sum + records, 0);
      const [since, until] = [Math.min(...times), Math.max(...times)];
      missing.push({ lost: refused, since, until, cause: 'refused_from_client' });
    }
    return missing;
  }

  private get reachedLosses() {
    return this.losses.filter(({ number }) => number < this.next);
  }
}
