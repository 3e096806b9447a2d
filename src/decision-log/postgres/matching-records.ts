import { Turns } from '../../turns/turns.js';
import type { ConditionTest } from '../condition-test.js';
import type { DecisionRecord } from '../decision-record.js';
import type { RecordFilter } from '../record-filter.js';
import { inSnapshot, readSnapshot } from './log-snapshot.js';
import { type PageSources, pageWork } from './page-sources.js';
import type { RecordPosition } from './record-position.js';
import { type FoundRecords, findRecords } from './record-search.js';
import type { WriterGap } from './shared-gaps.js';

/** Records that are read in one snapshot: with a long one PostgreSQL keeps all that was deleted since it began. */
const recordsAtOnce = 1_024;
/** Text that is read in one snapshot, about, in characters. */
const lengthAtOnce = 2 ** 21;

/** As `FoundRecords`, with the number of those that the condition could say nothing of. */
export interface MatchingRecords extends FoundRecords {
  readonly erred: number;
}

/**
 * The next records below a place that pass the filters and meet a condition, in the order of all. Records are read in short
 * snapshots and tested between them.
 *
 * @param records how many, at most
 * @param started by the monotonic clock; a page takes `pageMs` from then on, about
 */
export async function findUnderCondition(
  sources: PageSources,
  filter: RecordFilter,
  condition: ConditionTest,
  after: RecordPosition | undefined,
  records: number,
  started: number,
): Promise<MatchingRecords> {
  const { tail, keyIndex, pageMs } = sources;
  const ends = started + pageMs;
  const turns = new Turns();
  const met: { readonly record: DecisionRecord; readonly position: RecordPosition }[] = [];
  const damage: WriterGap[] = [];
  // Those behind the last record are counted by the next page, where there is one.
  let erred = 0;
  let erredSinceLast = 0;
  let left = pageWork;
  let below = after;
  const result = (end: RecordPosition | undefined, isPartial: boolean): MatchingRecords => ({
    records: met.map(({ record }) => record),
    positions: met.map(({ position }) => position),
    end,
    isPartial,
    damage,
    erred,
  });
  for (;;) {
    const from = below;
    const found = await inSnapshot(sources, async (transaction) => {
      const snapshot = await readSnapshot(transaction, tail?.writer);
      return findRecords({ transaction, snapshot, tail, keyIndex }, filter, from, {
        records: recordsAtOnce,
        length: lengthAtOnce,
        work: left,
        ms: ends - performance.now(),
      });
    });
    damage.push(...found.damage);
    for (const [i, record] of found.records.entries()) {
      if (turns.isOver) await turns.next();
      const outcome = condition.outcome(record);
      const known = typeof outcome === 'string' ? outcome : await outcome;
      if (known === 'erred') erredSinceLast++;
      if (known === 'met') {
        // One more than asked for shows that there is a next page.
        if (met.length === records) return result(met.at(-1)!.position, false);
        met.push({ record, position: found.positions[i]! });
        erred += erredSinceLast;
        erredSinceLast = 0;
      }
      left -= condition.takeCost();
      if (left <= 0) {
        erred += erredSinceLast;
        return result(found.positions[i]!, true);
      }
    }
    below = found.end;
    if (below === undefined || found.isPartial || performance.now() > ends) {
      erred += erredSinceLast;
      return result(below, below !== undefined);
    }
  }
}
