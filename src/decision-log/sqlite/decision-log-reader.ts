import { existsSync } from 'node:fs';
import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { EncryptionKeys } from '../../encryption/encryption-keys.js';
import type { VerdictError } from '../../errors.js';
import { DecisionCounts } from '../decision-counts.js';
import { decisionNotFound } from '../decision-not-found.js';
import type { DecisionPage } from '../decision-page.js';
import type { DecisionQuery } from '../decision-query.js';
import type { DecisionRecord } from '../decision-record.js';
import type { DecisionStats } from '../decision-stats.js';
import type { ErasureCounts } from '../erasure/erase-group.js';
import type { ErasingOrders } from '../erasure/erasures.js';
import type { ExportQuery } from '../export-query.js';
import { gapsWithin, type StoredGap } from '../log-gap.js';
import type { GroupsQuery, LogGroups } from '../log-groups.js';
import type { SearchScope } from '../record-filter.js';
import { RecordedDecisions } from '../recorded-decisions.js';
import { statsOf } from '../stats-answer.js';
import type { StatsQuery } from '../stats-query.js';
import { tallyQuestionOf } from '../tally-question.js';
import { readCatalog } from './catalog.js';
import { describeClosed, openClosedReader, readIndexedTo } from './closed-unit.js';
import { addUnits } from './count-units.js';
import { exportRecords } from './decision-export.js';
import { findRecord, searchRecords } from './decision-search.js';
import { FileCodings } from './file-coding.js';
import { scanView } from './journal-erasure.js';
import { encryptedFormat, readBeginning, readExtent, readFormat, readGaps, readLast } from './journal-format.js';
import { journalGroups } from './journal-groups.js';
import { openReader } from './key-index.js';
import {
  catalogPathOf,
  closedFiles,
  closedIndexPathOf,
  closedPathOf,
  decisionLogPath,
  indexPathOf,
} from './log-files.js';
import { type ClosedView, emptyLog, type LogView, type UnitView, type UnitWork, viewOfClosed } from './log-view.js';
import { topIds } from './top-ids.js';

/**
 * Reads a log and writes nothing, also beside a service that is writing it: for the command line, and for a service
 * that records nothing. Every call sees what is committed when it begins.
 *
 *     const reader = await DecisionLogReader.open('sqlite:./data/verdict.sqlite');
 *     for await (const text of reader.export({ subject: 'alice' })) process.stdout.write(text);
 *     await reader.close();
 *
 * No file stays open between two statements or two steps: a service that writes the log closes its open file now and
 * then, and cannot while anybody has it open.
 */
export class DecisionLogReader extends RecordedDecisions {
  /** The content of closed files, which do not change. */
  private readonly closed = new Map<number, ClosedView>();

  private readonly codings: FileCodings;

  private constructor(
    private readonly path: string,
    encryption: EncryptionKeys | undefined,
  ) {
    super();
    this.codings = new FileCodings(encryption);
  }

  /**
   * Opens the log beside the service's database to read it. Throws when there is no log beside it; `encryption` opens what is
   * encrypted in it, and without the right key a read of that throws MissingEncryptionKey.
   */
  static async open(databasePath: string, encryption?: EncryptionKeys): Promise<DecisionLogReader> {
    const path = decisionLogPath(databasePath);
    if (!existsSync(path) && closedFiles(path).length === 0) throw new Error(`there is no decision log at ${path}`);
    const reader = new DecisionLogReader(path, encryption);
    // One that cannot be read is refused now.
    await reader.view();
    return reader;
  }

  async search(query: DecisionQuery, scope: SearchScope = {}): Promise<DecisionPage> {
    return searchRecords(await this.view(), query, scope);
  }

  async find(id: string, scope: SearchScope = {}): Promise<DecisionRecord | undefined> {
    return findRecord(await this.view(), id, scope);
  }

  async notFound(id: string): Promise<VerdictError> {
    return decisionNotFound(id, (await this.view()).writer);
  }

  export(query: ExportQuery, scope: SearchScope = {}): AsyncGenerator<string> {
    return exportRecords(this.view(), query, scope);
  }

  groups(query: GroupsQuery, pauseMs: number): AsyncGenerator<LogGroups> {
    return journalGroups(this.view(), query, pauseMs);
  }

  async stats(query: StatsQuery, scope: SearchScope = {}): Promise<DecisionStats> {
    const question = tallyQuestionOf(query, scope);
    const view = await this.view();
    const counts = new DecisionCounts(question);
    const uncounted = await addUnits(view, question, counts, Number.POSITIVE_INFINITY);
    const stats = await statsOf(counts, question.by, uncounted);
    if (query.top === undefined) return stats;
    return { ...stats, top: await topIds(view, query, query.top, scope) };
  }

  async view(): Promise<LogView> {
    for (;;) {
      const files = closedFiles(this.path);
      await this.describe(files);
      const open = existsSync(this.path) ? await this.readOpen() : undefined;
      // A turn in between would hide the file that it closed.
      if (closedFiles(this.path).join() === files.join()) return this.viewOf(files, open);
    }
  }

  /** What an erasure would come to. */
  async erasable(orders: ErasingOrders, signal: AbortSignal): Promise<ErasureCounts> {
    return scanView(await this.view(), orders, signal);
  }

  async close(): Promise<void> {}

  private viewOf(files: readonly number[], open: OpenFile | undefined): LogView {
    const closed = files.flatMap((first) => this.closed.get(first) ?? []).reverse();
    const units: UnitView[] = [
      ...(open === undefined || open.unit.last < open.unit.first ? [] : [open.unit]),
      ...closed,
    ];
    if (units.length === 0 && open === undefined) return emptyLog;
    const gaps = [...(open?.gaps ?? []), ...closed.flatMap((unit) => unit.gaps)];
    return {
      name: open?.name,
      writer: open?.writer,
      end: units[0]?.last ?? 0,
      units,
      read: (unit, work) => this.read(unit, unit.first === open?.unit.first, work),
      // The filters of keys are the service's; a command can open the files one by one.
      without: async () => new Set(),
      gaps: async (range) => gapsWithin(gaps, range),
      storedGaps: async () => gaps,
    };
  }

  private async read<T>({ first, format }: UnitView, isOpen: boolean, work: UnitWork<T>): Promise<T | undefined> {
    const connection = await this.connect(first, isOpen);
    if (connection === undefined) return undefined;
    try {
      const what = closedFiles(this.path).includes(first) ? closedPathOf(this.path, first) : this.path;
      return await work(connection, await this.codings.of(connection, format === encryptedFormat, what));
    } finally {
      await connection.close();
    }
  }

  /** The file of this first sequence: it may be the open one, or have been closed, or be gone. */
  private async connect(first: number, wasOpen: boolean): Promise<SqliteConnection | undefined> {
    const isClosed = closedFiles(this.path).includes(first);
    if (isClosed) return openClosedReader(this.path, first);
    return wasOpen && existsSync(this.path) ? openOpenReader(this.path) : undefined;
  }

  private async describe(files: readonly number[]): Promise<void> {
    if (files.every((first) => this.closed.has(first))) return;
    const catalogPath = catalogPathOf(this.path);
    const noted = existsSync(catalogPath) ? await readCatalog(catalogPath) : [];
    for (const first of files) {
      if (this.closed.has(first)) continue;
      const unit = noted.find((known) => known.first === first) ?? (await describeClosed(this.path, first));
      const hasIndex = existsSync(closedIndexPathOf(this.path, first));
      this.closed.set(first, viewOfClosed(hasIndex ? unit : { ...unit, indexedTo: 0 }));
    }
  }

  private async readOpen(): Promise<OpenFile | undefined> {
    const connection = await openOpenReader(this.path);
    try {
      const format = await readFormat(connection, this.path, 'journal');
      const beginning = format && (await readBeginning(connection, format, 'journal'));
      if (format === undefined || beginning === undefined) return undefined;
      const { name, writer, start: first } = beginning;
      // Before the last sequence is read: the index never goes beyond it then.
      const indexedTo = await readIndexedTo(connection, first);
      const last = await readLast(connection, first, 'journal');
      const extent = await readExtent(connection, format, 'journal');
      // An earlier version of the service counted otherwise.
      const counted = await connection.query(`SELECT 1 FROM main.sqlite_master WHERE name = 'counted'`);
      const hasCounts = indexedTo > 0 && counted.length > 0;
      const gaps = await readGaps(connection, 'journal');
      return { name, writer, unit: { first, last, format, extent, indexedTo, hasCounts, uncounted: [] }, gaps };
    } finally {
      await connection.close();
    }
  }
}

interface OpenFile {
  readonly name: string;
  readonly writer: number;
  readonly unit: UnitView;
  readonly gaps: readonly StoredGap[];
}

function openOpenReader(path: string): Promise<SqliteConnection> {
  const indexPath = indexPathOf(path);
  return openReader(existsSync(indexPath) ? indexPath : ':memory:', path);
}
