import { ConditionTest } from '../condition-test.js';
import type { DecisionPage } from '../decision-page.js';
import { type DecisionQuery, limitOf } from '../decision-query.js';
import { logGapOf } from '../log-gap.js';
import { type RecordFilter, readFilter, type SearchScope } from '../record-filter.js';
import { expandedRecords } from '../recorded-entities.js';
import { inSnapshot, type LogSnapshot, readSnapshot } from './log-snapshot.js';
import { findUnderCondition, type MatchingRecords } from './matching-records.js';
import { type PageSources, pageWork } from './page-sources.js';
import type { RecordPosition } from './record-position.js';
import { type FoundRecords, findRecords } from './record-search.js';
import type { LogTransaction } from './row-walk.js';
import { decodeSharedCursor, encodeSharedCursor } from './shared-cursor.js';
import { readSharedGaps, tailGaps, type WriterGap } from './shared-gaps.js';

/** Most gaps that a page names, the newest first. An export names all. */
const gapsOnAPage = 100;

/** @throws VerdictError as `RecordedDecisions.search` */
export async function readSharedPage(
  sources: PageSources,
  query: DecisionQuery,
  scope: SearchScope,
): Promise<DecisionPage> {
  const { tail, keyIndex, pageMs } = sources;
  const given = readFilter(query, scope);
  const condition = ConditionTest.of(query, scope);
  const identity = ConditionTest.identity(given, condition);
  const filter = condition?.narrowed(given) ?? given;
  const records = limitOf(query);
  const started = performance.now();
  const page = await inSnapshot(sources, async (transaction) => {
    const snapshot = await readSnapshot(transaction, tail?.writer);
    const { name, incomplete } = snapshot;
    const cursor = query.cursor === undefined ? undefined : decodeSharedCursor(query.cursor, identity, name);
    // What the first page said holds for those behind it: what was shipped since may lie above them.
    const completeTo = cursor?.completeTo ?? snapshot.completeTo ?? 0;
    const limits = {
      records,
      length: Number.POSITIVE_INFINITY,
      work: pageWork,
      ms: pageMs - (performance.now() - started),
    };
    const log = { transaction, snapshot, tail, keyIndex };
    const found = condition === undefined ? await findRecords(log, filter, cursor?.below, limits) : undefined;
    const gaps = found && (await gapsOfPage(sources, transaction, snapshot, filter, cursor?.below, found));
    return { name, incomplete, below: cursor?.below, completeTo, found, gaps };
  });
  const { name, incomplete, below, completeTo } = page;
  // Where versions must be loaded no snapshot stays open meanwhile: that takes a connection, too.
  const found: MatchingRecords =
    page.found === undefined
      ? await findUnderCondition(sources, filter, condition!, below, records, started)
      : { ...page.found, erred: 0 };
  const gaps =
    page.gaps ??
    (await inSnapshot(sources, async (transaction) => {
      const snapshot = await readSnapshot(transaction, tail?.writer);
      return gapsOfPage(sources, transaction, snapshot, filter, below, found);
    }));
  const { end, isPartial, erred } = found;
  return {
    items: await expandedRecords(found.records, query, scope.versions),
    ...(end !== undefined && { nextCursor: encodeSharedCursor({ below: end, completeTo }, identity, name) }),
    // The place where it ended can be within a millisecond.
    ...(end !== undefined && isPartial && { searchedTo: new Date(end.time + 1).toISOString() }),
    ...(erred > 0 && { erred }),
    ...(gaps.length > 0 && { gaps: gaps.map(logGapOf) }),
    ...(completeTo > 0 && { completeTo: new Date(completeTo).toISOString() }),
    ...(incomplete.length > 0 && { incomplete }),
  };
}

async function gapsOfPage(
  { tail }: PageSources,
  transaction: LogTransaction,
  { shipped }: LogSnapshot,
  { from, to }: RecordFilter,
  below: RecordPosition | undefined,
  { end, damage }: FoundRecords,
): Promise<readonly WriterGap[]> {
  const others = [...(await tailGaps(tail, shipped)), ...damage];
  return readSharedGaps(transaction, { below, above: end, from, to }, others, gapsOnAPage);
}
