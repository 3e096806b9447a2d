import type { DecisionRecord } from '../decision-record.js';
import type { StoredGap } from '../log-gap.js';
import type { SearchScope } from '../record-filter.js';
import type { LocalDecisionLog } from '../shipped-journal.js';
import type { TallyRow } from '../tally.js';
import type { OwnTail, TailRow } from './own-tail.js';
import { joinGroups, rowOf } from './shared-row.js';
import type { UnshippedCounts } from './shared-stats.js';

/** Records that are read from the journal at a time. */
const recordsAtOnce = 1_024;

/** The end of this replica's journal that PostgreSQL does not have yet, for questions about all records. */
export class JournalOwnTail implements OwnTail {
  /** @param number the number of its writer, when PostgreSQL has given one */
  constructor(
    private readonly log: LocalDecisionLog,
    private readonly number: () => number | undefined,
  ) {}

  get writer(): number | undefined {
    return this.number();
  }

  get end(): number {
    return this.log.journal.end;
  }

  async *rows(after: number): AsyncGenerator<readonly TailRow[]> {
    for await (const { groups } of this.stretches(after))
      yield joinGroups(groups).map((joined) => {
        const row = rowOf(joined);
        return { ...row, records: row.records.toString() };
      });
  }

  /** The same as counts. */
  get counts(): UnshippedCounts {
    const { stretches, writer } = this;
    return {
      writer,
      rows: (after) => countsIn(stretches.call(this, after)),
    };
  }

  async gaps(after: number): Promise<readonly StoredGap[]> {
    return this.log.journal.gaps(after);
  }

  find(id: string, scope: SearchScope): Promise<DecisionRecord | undefined> {
    return this.log.find(id, scope);
  }

  private async *stretches(after: number) {
    const { journal } = this.log;
    const { end } = journal;
    for (let from = after; from < end; ) {
      const stretch = await journal.read(from, recordsAtOnce);
      if (stretch.to === from) return;
      yield stretch;
      from = stretch.to;
    }
  }
}

async function* countsIn(
  stretches: AsyncIterable<{ readonly groups: readonly { readonly tally: readonly TallyRow[] }[] }>,
): AsyncGenerator<readonly TallyRow[]> {
  for await (const { groups } of stretches) yield groups.flatMap(({ tally }) => tally);
}
