import { Turns } from '../../turns/turns.js';
import { ConditionTest } from '../condition-test.js';
import type { ExportQuery } from '../export-query.js';
import { exportTextsOf } from '../export-texts.js';
import { logGapOf } from '../log-gap.js';
import { type RecordFilter, readFilter, type SearchScope } from '../record-filter.js';
import { expandedRecord } from '../recorded-entities.js';
import { inSnapshot, readSnapshot } from './log-snapshot.js';
import { tailWriter } from './own-tail.js';
import { type PageSources, pageWork } from './page-sources.js';
import { comparePositions, type RecordPosition } from './record-position.js';
import { type FoundRecords, findRecords } from './record-search.js';
import { removedDays } from './removed-days.js';
import { readDays } from './row-walk.js';
import { placeOfGap, readSharedGaps, tailGaps, type WriterGap } from './shared-gaps.js';

/** An export has time, decisions do not: it waits this long before each turn. */
const pauseMs = 3;
/** What is read in one transaction: the text of some thousand records of usual size. */
const limits = { records: 2_048, length: 2 ** 22, work: pageWork, ms: 1_000 };
/** Characters of a piece, about. */
const pieceLength = 32_768;

/**
 * The text of all records that match, in the order of pages, in pieces. Each transaction is short and reads some thousand
 * records, so that neither the cleaning of tables nor the removal of old days waits for an export, and memory does not grow.
 * What is recorded or shipped later is not in it. Where records are missing, a line `{"gap": …}` or a row says so, whatever
 * the filters: they may have been among what matches. Throws VerdictError `invalid_request` before the first piece.
 */
export function exportShared(sources: PageSources, query: ExportQuery, scope: SearchScope): AsyncGenerator<string> {
  const given = readFilter(query, scope);
  const condition = ConditionTest.of(query, scope);
  const filter = condition?.narrowed(given) ?? given;
  const extent = readExtent(sources);
  // The reader of the pieces gets the error. Until there is one, the error must not end the process.
  extent.catch(() => undefined);
  return pieces(sources, filter, query, scope, extent, condition);
}

interface Extent {
  /** The highest sequence of each writer that is exported. */
  readonly sequences: ReadonlyMap<number, number>;
  /** As `readDays` gives them. */
  readonly days: readonly string[];
}

async function readExtent(sources: PageSources): Promise<Extent> {
  const { tail } = sources;
  // Taken at once: what is appended while PostgreSQL is asked comes later.
  const end = tail?.end;
  const { sequences, days } = await inSnapshot(sources, async ({ client, table }) => {
    const rows = await client.query<{ writer: number; shipped: number }>(
      `SELECT writer, shipped FROM ${table('decision_writer')}`,
    );
    const shipped = rows.map(({ writer, shipped }) => [writer, shipped] as const);
    return { sequences: new Map(shipped), days: await readDays({ client, table }) };
  });
  if (tail !== undefined && end !== undefined) sequences.set(tailWriter(tail), end);
  return { sequences, days };
}

async function* pieces(
  sources: PageSources,
  filter: RecordFilter,
  query: ExportQuery,
  scope: SearchScope,
  extent: Promise<Extent>,
  condition: ConditionTest | undefined,
): AsyncGenerator<string> {
  const texts = exportTextsOf(query, scope);
  if (texts.header !== '') yield texts.header;
  const { sequences, days } = await extent;
  const upTo = (writer: number): number => sequences.get(writer) ?? 0;
  const turns = new Turns(pauseMs);
  let erred = 0;
  let position: RecordPosition | undefined;
  do {
    const { found, gaps } = await readBatch(sources, filter, position, upTo);
    let piece = '';
    for (const [i, record] of found.records.entries()) {
      if (turns.isOver) await turns.next();
      if (condition !== undefined) {
        const outcome = await condition.outcome(record);
        if (outcome === 'erred') erred++;
        if (outcome !== 'met') continue;
      }
      while (gaps.length > 0 && comparePositions(placeOfGap(gaps[0]!), found.positions[i]!) > 0) {
        piece += texts.gap(logGapOf(gaps.shift()!));
      }
      piece += texts.record(await expandedRecord(record, query, scope.versions));
      if (piece.length >= pieceLength) {
        yield piece;
        piece = '';
      }
    }
    piece += gaps.map((gap) => texts.gap(logGapOf(gap))).join('');
    if (piece !== '') yield piece;
    position = found.end;
  } while (position !== undefined);
  const removed = await removedDays(sources, days, filter);
  if (removed.length > 0) yield removed.map(texts.gap).join('');
  if (erred > 0) yield texts.erred(erred);
}

/** Read in one transaction, which has ended before anybody waits for the reader of the pieces. */
function readBatch(
  sources: PageSources,
  filter: RecordFilter,
  below: RecordPosition | undefined,
  upTo: (writer: number) => number,
): Promise<{ found: FoundRecords; gaps: WriterGap[] }> {
  const { tail, keyIndex } = sources;
  return inSnapshot(sources, async (transaction) => {
    const snapshot = await readSnapshot(transaction, tail?.writer);
    const found = await findRecords({ transaction, snapshot, tail, keyIndex, upTo }, filter, below, limits);
    const range = { below, above: found.end, from: filter.from, to: filter.to };
    const others = [...(await tailGaps(tail, snapshot.shipped)), ...found.damage];
    return { found, gaps: await readSharedGaps(transaction, range, others, Number.MAX_SAFE_INTEGER) };
  });
}
