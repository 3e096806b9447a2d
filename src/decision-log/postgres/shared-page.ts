import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { DecisionPage } from '../decision-page.js';
import { type DecisionQuery, limitOf } from '../decision-query.js';
import { logGapOf } from '../log-gap.js';
import { readFilter, type SearchScope } from '../record-filter.js';
import { inSnapshot, readSnapshot } from './log-snapshot.js';
import type { OwnTail } from './own-tail.js';
import { findRecords, type SharedKeyIndex } from './record-search.js';
import { decodeSharedCursor, encodeSharedCursor } from './shared-cursor.js';
import { readSharedGaps, tailGaps } from './shared-gaps.js';

/** The most work of a page, in records whose text is read. */
export const pageWork = 131_072;
/** Most gaps that a page names, the newest first. An export names all. */
const gapsOnAPage = 100;

/** What a page is read from. */
export interface PageSources {
  readonly database: PostgresDatabase;
  readonly tail: OwnTail | undefined;
  readonly keyIndex: SharedKeyIndex | undefined;
  /** Longest time of a page in milliseconds, about; then it answers with what it has. */
  readonly pageMs: number;
}

/** @throws VerdictError as `RecordedDecisions.search` */
export async function readSharedPage(
  { database, tail, keyIndex, pageMs }: PageSources,
  query: DecisionQuery,
  scope: SearchScope,
): Promise<DecisionPage> {
  const filter = readFilter(query, scope);
  const records = limitOf(query);
  const started = performance.now();
  return inSnapshot(database, async (transaction) => {
    const snapshot = await readSnapshot(transaction, tail?.writer);
    const { name, incomplete } = snapshot;
    const cursor = query.cursor === undefined ? undefined : decodeSharedCursor(query.cursor, filter, name);
    const limits = {
      records,
      length: Number.POSITIVE_INFINITY,
      work: pageWork,
      ms: pageMs - (performance.now() - started),
    };
    const log = { transaction, snapshot, tail, keyIndex };
    const found = await findRecords(log, filter, cursor?.below, limits);
    const range = { below: cursor?.below, above: found.end, from: filter.from, to: filter.to };
    const others = [...(await tailGaps(tail, snapshot.shipped)), ...found.damage];
    const gaps = await readSharedGaps(transaction, range, others, gapsOnAPage);
    // What the first page said holds for those behind it: what was shipped since may lie above them.
    const completeTo = cursor?.completeTo ?? snapshot.completeTo ?? 0;
    const { end, isPartial } = found;
    return {
      items: found.records,
      ...(end !== undefined && { nextCursor: encodeSharedCursor({ below: end, completeTo }, filter, name) }),
      // The place where it ended can be within a millisecond.
      ...(end !== undefined && isPartial && { searchedTo: new Date(end.time + 1).toISOString() }),
      ...(gaps.length > 0 && { gaps: gaps.map(logGapOf) }),
      ...(completeTo > 0 && { completeTo: new Date(completeTo).toISOString() }),
      ...(incomplete.length > 0 && { incomplete }),
    };
  });
}
