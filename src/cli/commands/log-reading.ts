/** What commands on the decision log share: their source, their end and their output. */
import { once } from 'node:events';
import { type Command, Option } from 'commander';
import { DatabaseError } from '../../database/database-error.js';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import { MissingEncryptionKey } from '../../encryption/encryption-keys.js';
import { VerdictError } from '../../errors.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { printRecords } from '../print/log-report.js';
import { count } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { type LogSource, logOfServer } from '../sources/log-source.js';
import type { NotSearched, PersonStores } from '../sources/person-source.js';
import { addServerOptions, type ServerOptions } from '../sources/server.js';

/** All of them read one source, and write a table for a person and JSON for a program. */
export interface LogOptions extends ServerOptions {
  readonly database?: string;
  readonly output?: 'text' | 'ndjson' | 'json' | 'csv';
}

export function addLogSource(command: Command): Command {
  return addServerOptions(command).addOption(
    new Option('--database <database>', 'a file or postgres://…; otherwise the one of VERDICT_DATABASE_URL').conflicts(
      'url',
    ),
  );
}

export class LogReading {
  /** @param readDatabase asked where neither `--database` nor `--url` is given */
  constructor(
    readonly terminal: Terminal,
    private readonly readDatabase: () => Promise<string>,
  ) {}

  /** Opens the source, and closes it also after an error. Errors that the user can correct become usage errors. */
  async run(options: LogOptions, work: (source: LogSource, signal: AbortSignal) => Promise<number>): Promise<void> {
    const stop = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
    // `verdict log query | head`: the reader has enough.
    process.stdout.on('error', () => stop.abort());
    let opened: LogSource | undefined;
    try {
      opened = await this.open(options);
      process.exitCode = await work(opened, stop.signal);
    } catch (error) {
      if (!stop.signal.aborted && !isClosedPipe(error)) throw sayWhy(error);
    } finally {
      await opened?.close();
    }
  }

  /** Writes a log with its proof to standard output. */
  async exportProof(database: string | undefined, filters: DecisionFilters): Promise<void> {
    const { exportProvenLog } = await import('../sources/verified-log.js');
    try {
      await exportProvenLog(database ?? (await this.readDatabase()), filters, async (text) => {
        if (!process.stdout.write(text)) await once(process.stdout, 'drain');
      });
    } catch (error) {
      if (!isClosedPipe(error)) throw sayWhy(error);
    }
  }

  /** Writes all that is kept about a person to standard output. */
  async exportPerson({ url, database }: LogOptions, id: string): Promise<void> {
    const { findPerson, personStoresOfServer } = await import('../sources/person-source.js');
    let stores: PersonStores | undefined;
    try {
      if (id === '') throw new UsageError('--about takes the id of a person');
      if (url !== undefined) stores = personStoresOfServer({ url });
      else {
        const { personStoresOfDatabase } = await import('../sources/person-in-database.js');
        stores = await personStoresOfDatabase(database ?? (await this.readDatabase()));
      }
      let isWhole = true;
      const missed = ({ what, why }: NotSearched) => {
        isWhole = false;
        this.terminal.remark(`${what} could not be looked at: ${why}`);
      };
      for await (const line of findPerson(stores, id, missed)) {
        if (!process.stdout.write(`${JSON.stringify(line)}\n`)) await once(process.stdout, 'drain');
      }
      process.exitCode = isWhole ? exitCodes.fine : exitCodes.findings;
    } catch (error) {
      if (!isClosedPipe(error)) throw sayWhy(error);
    } finally {
      await stores?.close();
    }
  }

  /** Takes an SQLite log into the shared one. */
  async import(from: string, given: string | undefined): Promise<void> {
    const { terminal } = this;
    try {
      const to = given ?? (await this.readDatabase());
      const { describeDatabase, importLog } = await import('../sources/database.js');
      const progress = (taken: number, end: number) => terminal.progress(`${taken} of ${end} records`);
      const { end, versions, missing } = await importLog({
        from,
        to,
        progress,
        remark: (what) => terminal.remark(what),
      });
      terminal.progress('');
      for (const version of missing)
        terminal.remark(`${version} is not in the archive: its decisions cannot be replayed`);
      const what = `${count(end, 'record')} and ${count(versions, 'policy version')}`;
      terminal.print(`${what} are in ${describeDatabase(to)}; API keys and audit events were not taken`);
    } catch (error) {
      terminal.progress('');
      if (!(error instanceof DatabaseError)) throw sayWhy(error);
      throw new UsageError(`the log cannot be imported: ${error.message}`, 'what was taken so far stays: run it again');
    }
  }

  isForPeople({ output: format }: LogOptions): boolean {
    return format === undefined ? this.terminal.isTTY : format === 'text';
  }

  printRecords(records: readonly DecisionRecord[], options: LogOptions, withHead: boolean): void {
    if (this.isForPeople(options)) printRecords(this.terminal, records, withHead);
    else for (const record of records) this.terminal.printJson(record, 0);
  }

  private async open({ url, database }: LogOptions): Promise<LogSource> {
    if (url !== undefined) return logOfServer({ url });
    const { logOfDatabase } = await import('../sources/log-file.js');
    return logOfDatabase(database ?? (await this.readDatabase()));
  }
}

export function isClosedPipe(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EPIPE';
}

/** Errors that the user can correct, as usage errors. */
export function sayWhy(error: unknown): unknown {
  if (error instanceof VerdictError) {
    const { cause, detail } = error;
    return new UsageError(cause instanceof DatabaseError ? `${detail} ${cause.message}` : detail);
  }
  if (error instanceof DatabaseError) return new UsageError(`the log cannot be read: ${error.message}`);
  if (error instanceof MissingEncryptionKey)
    return new UsageError(error.message, 'VERDICT_ENCRYPTION_KEY or VERDICT_ENCRYPTION_KEY_FILE gives it');
  return error;
}
