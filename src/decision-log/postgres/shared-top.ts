import { Turns } from '../../turns/turns.js';
import type { DecisionFilters } from '../decision-query.js';
import type { TopIds } from '../decision-stats.js';
import { mostFrequent, topRecords } from '../most-frequent.js';
import { readFilter, type SearchScope } from '../record-filter.js';
import type { TopField } from '../stats-query.js';
import { inSnapshot, readSnapshot } from './log-snapshot.js';
import { type PageSources, pageWork } from './page-sources.js';
import type { RecordPosition } from './record-position.js';
import { findRecords } from './record-search.js';

/** Records that are read in one snapshot: with a long one PostgreSQL keeps all that was deleted since it began. */
const recordsAtOnce = 4_096;
/** Text that is read in one snapshot, about, in characters. */
const lengthAtOnce = 8 * 2 ** 20;

/**
 * The subjects or resources that the newest matching records of all replicas are about most often, of those that can be
 * read in `pageMs`, about.
 *
 * @throws VerdictError `invalid_request` for a time, day or zone that does not exist
 * @throws DatabaseError
 */
export async function sharedTop(
  sources: PageSources,
  query: DecisionFilters,
  field: TopField,
  scope: SearchScope = {},
): Promise<TopIds> {
  const { tail, keyIndex, pageMs } = sources;
  const ends = performance.now() + pageMs;
  const filter = readFilter(query, scope);
  const counts = new Map<string, number>();
  const turns = new Turns();
  let examined = 0;
  let below: RecordPosition | undefined;
  for (;;) {
    const from = below;
    const { records, end, isPartial } = await inSnapshot(sources, async (transaction) => {
      const snapshot = await readSnapshot(transaction, tail?.writer);
      return findRecords({ transaction, snapshot, tail, keyIndex }, filter, from, {
        records: Math.min(recordsAtOnce, topRecords - examined),
        length: lengthAtOnce,
        work: pageWork,
        ms: ends - performance.now(),
      });
    });
    for (const { request } of records) {
      const { id } = request[field];
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    examined += records.length;
    below = end;
    if (turns.isOver) await turns.next();
    if (end === undefined || isPartial || examined >= topRecords || performance.now() > ends) break;
  }
  const ids = await mostFrequent(counts, turns);
  // The place where it ended can be within a millisecond.
  return { ids, examined, ...(below !== undefined && { searchedTo: new Date(below.time + 1).toISOString() }) };
}
