import { existsSync } from 'node:fs';
import { isDamaged, SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { journalFormat, readBeginning } from './journal-format.js';
import { closedIndexPathOf, closedPathOf, indexPathOf } from './log-files.js';

export interface FileFaultsOptions {
  /** The open file. */
  readonly path: string;
  /** The first sequence of the open file. */
  readonly openStart: () => number;
  /** Has a closed file searched without its index, which is damaged or missing. */
  readonly doWithoutIndex: (first: number) => Promise<void>;
  /** Called once for each fault. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/** Faults of the journal's files that were found while reading, by the first sequence of the file. */
export class FileFaults {
  /** Closed files that are not at their place. */
  private readonly absent = new Set<number>();
  /** Closed files in whose place another database lies. */
  private readonly foreign = new Set<number>();
  /** Files of which parts cannot be read. */
  private readonly damaged = new Set<number>();
  private condemned: string | undefined;

  constructor(private readonly options: FileFaultsOptions) {}

  /** The path of the open file's index when it is damaged and is to be made anew. */
  get condemnedIndex(): string | undefined {
    return this.condemned;
  }

  /** Describes the faults for people; undefined if none are known. */
  get problem(): string | undefined {
    const { path } = this.options;
    const problems = [
      ...[...this.absent].map((first) => `${closedPathOf(path, first)} is not there`),
      ...[...this.damaged].map((first) => {
        const file = first === this.options.openStart() ? path : closedPathOf(path, first);
        return `${file} or its index is damaged`;
      }),
    ];
    return problems.length === 0 ? undefined : problems.join('; ');
  }

  /** True if a closed file is missing or replaced now. It may come back. */
  isAbsent(first: number): boolean {
    if (first === this.options.openStart()) return false;
    const path = closedPathOf(this.options.path, first);
    const absent = !existsSync(path) || this.foreign.has(first);
    if (absent && !this.absent.has(first)) {
      this.absent.add(first);
      this.options.onProblem(`${path} is not there; its decision records are not found`, undefined);
    } else if (!absent) this.absent.delete(first);
    return absent;
  }

  /** Says once for each file that something in it cannot be read, and has an index that is damaged made anew. */
  noteDamage(first: number, error: unknown): void {
    if (this.damaged.has(first)) return;
    this.damaged.add(first);
    const { path } = this.options;
    const isOpen = first === this.options.openStart();
    const [journal, index] = isOpen
      ? [path, indexPathOf(path)]
      : [closedPathOf(path, first), closedIndexPathOf(path, first)];
    void isIndexSound(index, isOpen).then((isSound) => {
      if (isSound) {
        const what = `${journal} has pages that cannot be read; the records in them are named as gaps`;
        this.options.onProblem(what, error);
        return;
      }
      this.options.onProblem(`${index} is damaged or missing; records are found without it`, error);
      // That of the open file is made anew; it is handled like one that was removed.
      if (isOpen) this.condemned = index;
      else void this.options.doWithoutIndex(first);
    });
  }

  /** Takes note that all of a file could be read again, since it was put back or does without its index. */
  noteSound(first: number): void {
    this.damaged.delete(first);
    this.isAbsent(first);
  }

  /** Says whether a connection to a closed file has one of the journal of this name, and remembers when it has not. */
  async isOurs(first: number, connection: SqliteConnection, name: string): Promise<boolean> {
    const isOurs = await isOfJournal(connection, name);
    if (isOurs) this.foreign.delete(first);
    else this.foreign.add(first);
    return isOurs;
  }
}

/** False for another database that lies at the place of a file; one that is damaged is taken for what it was. */
async function isOfJournal(connection: SqliteConnection, name: string): Promise<boolean> {
  try {
    const [format] = await connection.query<{ user_version: number }>('PRAGMA journal.user_version');
    const beginning = await readBeginning(connection, journalFormat(format!.user_version), 'journal');
    return beginning === undefined || beginning.name === name;
  } catch (error) {
    return !/no such table/.test(String(error));
  }
}

async function isIndexSound(path: string, isOpen: boolean): Promise<boolean> {
  if (!existsSync(path)) return false;
  try {
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000, ...(!isOpen && { immutable: true }) });
    try {
      const [found] = await connection.query<{ quick_check: string }>('PRAGMA quick_check(1)');
      return found?.quick_check === 'ok';
    } finally {
      await connection.close();
    }
  } catch (error) {
    return !isDamaged(error);
  }
}
