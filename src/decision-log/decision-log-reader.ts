import { existsSync } from 'node:fs';
import { DecisionCounts } from './decision-counts.js';
import { type ExportQuery, exportRecords } from './decision-export.js';
import type { DecisionQuery } from './decision-query.js';
import type { DecisionRecord } from './decision-record.js';
import { type DecisionPage, findRecord, type LogView, searchRecords } from './decision-search.js';
import { type DecisionStats, questionOf, type StatsQuery, statsOf } from './decision-stats.js';
import { readEnd } from './journal.js';
import { openReader } from './key-index.js';
import { decisionLogPath, indexPathOf } from './log-files.js';
import type { SearchScope } from './record-filter.js';
import type { SqliteConnection } from './sqlite-connection.js';
import { topIds } from './top-ids.js';

/**
 * Reads a log and writes nothing, also beside a service that is writing it: for the command line, and for a service
 * that records nothing. Every call sees what is committed when it begins.
 *
 *     const reader = await DecisionLogReader.open('sqlite:./data/verdict.sqlite');
 *     for await (const text of reader.export({ subject: 'alice' })) process.stdout.write(text);
 *     await reader.close();
 */
export class DecisionLogReader {
  private constructor(
    private readonly connection: SqliteConnection,
    private readonly hasIndex: boolean,
    private readonly hasCounts: boolean,
  ) {}

  /** `url` is that of the service's database. Throws when there is no log beside it. */
  static async open(url: string): Promise<DecisionLogReader> {
    const path = decisionLogPath(url);
    if (!existsSync(path)) throw new Error(`there is no decision log at ${path}`);
    const indexPath = indexPathOf(path);
    const connection = await openReader(existsSync(indexPath) ? indexPath : ':memory:', path);
    // An index that belongs to another journal, or was never finished, finds nothing.
    const owners = await connection.query('SELECT 1 FROM indexed_log JOIN journal.log USING (writer)').catch(() => []);
    const hasIndex = owners.length > 0;
    // An earlier version of the service counted otherwise.
    const counted = hasIndex ? await connection.query(`SELECT 1 FROM main.sqlite_master WHERE name = 'counted'`) : [];
    return new DecisionLogReader(connection, hasIndex, counted.length > 0);
  }

  async search(query: DecisionQuery, scope: SearchScope = {}): Promise<DecisionPage> {
    return searchRecords(await this.view(), query, scope);
  }

  async find(id: string, scope: SearchScope = {}): Promise<DecisionRecord | undefined> {
    return findRecord(await this.view(), id, scope);
  }

  export(query: ExportQuery, scope: SearchScope = {}): AsyncGenerator<string> {
    return exportRecords(this.view(), query, scope);
  }

  async stats(query: StatsQuery, scope: SearchScope = {}): Promise<DecisionStats> {
    const question = questionOf(query, scope);
    const view = await this.view();
    const counts = new DecisionCounts(question);
    const file = {
      connection: this.connection,
      hasCounts: this.hasCounts,
      before: 0,
      end: view.end.sequence,
      uncounted: [],
    };
    await counts.addFile(file, Number.POSITIVE_INFINITY);
    const stats = statsOf(counts, question.by);
    if (query.top === undefined) return stats;
    return { ...stats, top: await topIds(view, query, query.top, scope) };
  }

  async view(): Promise<LogView> {
    const { connection } = this;
    const end = await readEnd(connection);
    if (!this.hasIndex) return { connection, end, indexedTo: 0 };
    const [row] = await connection.query<{ last: number | null }>(
      'SELECT max(last) AS last FROM segment WHERE last <= ?',
      [end.sequence],
    );
    return { connection, end, indexedTo: row?.last ?? 0 };
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}
