import { DatabaseError } from '../../database/database-error.js';
import { MissingEncryptionKey } from '../../encryption/encryption-keys.js';
import { VerdictError } from '../../errors.js';
import { idMilliseconds, idWriter } from '../decision-ids.js';
import { decisionNotFound } from '../decision-not-found.js';
import type { DecisionPage } from '../decision-page.js';
import type { DecisionQuery } from '../decision-query.js';
import type { DecisionRecord } from '../decision-record.js';
import type { ExportQuery } from '../export-query.js';
import type { GroupsQuery, LogGroups } from '../log-groups.js';
import type { SearchScope } from '../record-filter.js';
import { inSnapshot, type SnapshotSource } from './log-snapshot.js';
import { oldestSharedTime } from './oldest-time.js';
import type { OwnTail } from './own-tail.js';
import type { PageSources } from './page-sources.js';
import { lookUpRecord, lookUpWriter } from './record-lookup.js';
import type { SharedKeyIndex } from './record-search.js';
import { exportShared } from './shared-export.js';
import { sharedGroups } from './shared-groups.js';
import { LostIndexKey, lockedLog } from './shared-keys.js';
import { readSharedPage } from './shared-page.js';

export interface SharedRecordsOptions extends SnapshotSource {
  /** What this replica has that PostgreSQL has not; without it, only what is shipped is read. */
  readonly tail?: OwnTail;
  /** Without it every row is passed over by its own keys: a day of them in some 40 ms. */
  readonly keyIndex?: SharedKeyIndex;
  /** Longest time of a page in milliseconds, about (80); then it answers with what it has, and `searchedTo`. */
  readonly pageMs?: number;
}

const defaultPageMs = 80;

/**
 * Reads the records of all replicas in PostgreSQL, and this replica's own that are not there yet.
 *
 *     const records = new SharedRecords({ database, tail });
 *     const { items, nextCursor, completeTo } = await records.search({ subject: 'alice' });
 */
export class SharedRecords {
  private readonly sources: PageSources;

  constructor({ database, keys, tail, keyIndex, pageMs = defaultPageMs }: SharedRecordsOptions) {
    this.sources = { database, keys, tail, keyIndex, pageMs };
  }

  /** As `RecordedDecisions.search`, over all writers, in the order of time, writer and sequence. */
  search(query: DecisionQuery, scope: SearchScope = {}): Promise<DecisionPage> {
    return readable(readSharedPage(this.sources, query, scope));
  }

  /** As `RecordedDecisions.find`. */
  async find(id: string, scope: SearchScope = {}): Promise<DecisionRecord | undefined> {
    if (idMilliseconds(id) === undefined) return undefined;
    const { tail } = this.sources;
    const own = await tail?.find(id, scope);
    if (own !== undefined) return own;
    return readable(inSnapshot(this.sources, (transaction) => lookUpRecord(transaction, id, scope)));
  }

  /**
   * As `RecordedDecisions.notFound`. If the writer that the id names lives and has not shipped all records of that time, the
   * error says so, and to come again.
   */
  async notFound(id: string): Promise<VerdictError> {
    if (idMilliseconds(id) === undefined) return decisionNotFound(id, undefined);
    const { tail } = this.sources;
    const { isKnown, late } = await readable(
      inSnapshot(this.sources, (transaction) => lookUpWriter(transaction, id, tail?.writer)),
    );
    if (!isKnown) {
      const where = `Its id was made by writer ${idWriter(id)}, which has shipped nothing to this decision log.`;
      return new VerdictError('decision_not_found', `There is no decision "${id}". ${where}`);
    }
    if (late === undefined) return decisionNotFound(id, undefined);
    const { writer, instance, completeTo } = late;
    const shippedTo = new Date(completeTo).toISOString();
    const detail =
      `There is no decision "${id}" yet: the writer ${writer} (${instance}) that its id names has shipped its records up to ` +
      `${shippedTo}.`;
    return new VerdictError('decision_not_found', detail, { retryAfter: 1, unshipped: { writer, shippedTo } });
  }

  /** As `RecordedDecisions.export`. What is recorded or shipped after the call is not in it. */
  export(query: ExportQuery, scope: SearchScope = {}): AsyncGenerator<string> {
    return readablePieces(exportShared(this.sources, query, scope));
  }

  /** As `RecordedDecisions.groups`: of all writers, what they have shipped. */
  groups(query: GroupsQuery, pauseMs: number): AsyncGenerator<LogGroups> {
    return readablePieces(sharedGroups(this.sources, query, pauseMs));
  }

  /**
   * The lowest time of a record that is kept, or that a writer may still ship, in milliseconds since 1970; undefined when
   * there is none.
   */
  oldestRecord(): Promise<number | undefined> {
    return readable(oldestSharedTime(this.sources));
  }
}

/** What PostgreSQL does not answer is the log's trouble and not the caller's. */
async function readable<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    throw asUnavailable(error);
  }
}

async function* readablePieces<Piece>(pieces: AsyncGenerator<Piece>): AsyncGenerator<Piece> {
  try {
    yield* pieces;
  } catch (error) {
    throw asUnavailable(error);
  }
}

function asUnavailable(error: unknown): unknown {
  if (error instanceof MissingEncryptionKey || error instanceof LostIndexKey) return lockedLog(error);
  if (!(error instanceof DatabaseError)) return error;
  return new VerdictError('decision_log_unavailable', 'The decision log cannot be read.', {
    cause: error,
    retryAfter: 1,
  });
}
