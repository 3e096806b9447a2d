import { closeSync, fdatasync, openSync, type Stats, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { isDamaged } from '../../database/sqlite/sqlite-connection.js';
import { Turns } from '../../turns/turns.js';
import type { CodedRow, GroupCoding } from '../group-coding.js';
import { recordsOf, type StoredGroup } from '../group-text.js';
import { groupBeyond, groupOfText, type JournalGroup } from '../journal-group.js';
import type { StoredGap } from '../log-gap.js';
import type { CertifiedKey } from '../proof/log-keys.js';
import { Frontier, frontierOf } from '../proof/merkle-tree.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import type { JournalPosition, MissingRange, ShippedJournal, Stretch } from '../shipped-journal.js';
import { readAround } from './damaged-rows.js';
import { isProven } from './journal-format.js';
import { JournalFilesTree, readCheckpoints, readSigningKeys } from './journal-trees.js';
import type { LogView, UnitView } from './log-view.js';
import { type FactsRow, groupOfFacts, type ProofRow, proofOfRow } from './shipping-facts.js';

const sync = promisify(fdatasync);

/** Most of what was committed last that is kept in memory, in bytes of texts and keys and in groups. */
const mostLength = 16 * 1024 * 1024;
const mostGroups = 8_192;
/** Most rows that one statement reads, and most bytes of their texts if they are more than one. */
const mostRows = 512;
const bytesAtOnce = 1024 * 1024;
/** Sequences that are looked at around a damaged page. */
const aroundDamage = 2_048;

/**
 * The newest part of a replica's journal, read in the order in which it was written. What was committed a moment ago comes
 * from memory, as it was appended; anything older is read from the journal's files and looked through again.
 */
export class JournalTail implements ShippedJournal {
  /** Groups that follow on each other up to the journal's end. */
  private recent: JournalGroup[] = [];
  private length = 0;
  /** Sequence of the record that was committed last; 0 before the first. */
  private last = 0;
  /** The WAL as it was written through last. It stays open: closing a file that is being written takes half a millisecond. */
  private wal: { readonly file: number; readonly stats: Stats } | undefined;

  /**
   * @param view the journal as it is now
   * @param oldestPending the lowest time of a record that waits for its commit
   * @param newest the sequence of the newest record; 0 when there is none
   * @param openPath the journal's open file
   */
  constructor(
    private readonly view: () => Promise<LogView>,
    private readonly oldestPending: () => number | undefined,
    private readonly newest: () => number,
    private readonly openPath: string,
  ) {}

  get end(): number {
    // While the files are being opened again, what was committed last is still the end.
    return this.newest() || this.last;
  }

  async position(): Promise<JournalPosition> {
    const oldestPending = this.oldestPending();
    const { name, writer, end } = await this.view();
    if (name === undefined || writer === undefined) throw new Error('the journal is being opened again');
    return { journal: name, idWriter: writer, end, oldestPending };
  }

  /** Takes note of a group that was committed. */
  committed(group: JournalGroup): void {
    const last = this.recent.at(-1);
    const follows = last !== undefined && lastOf(last) + 1 === group.first;
    if (!follows || this.length > mostLength || this.recent.length >= mostGroups) this.forget();
    this.recent.push(group);
    this.length += lengthOf(group);
    this.last = lastOf(group);
  }

  shipped(sequence: number): void {
    let count = 0;
    for (const group of this.recent) {
      if (lastOf(group) > sequence) break;
      this.length -= lengthOf(group);
      count++;
    }
    this.recent.splice(0, count);
  }

  async read(after: number, most: number): Promise<Stretch> {
    const known = this.recent.findIndex(({ first }) => first === after + 1);
    if (known !== -1) return this.readRecent(known, most);
    return this.readFiles(after, most);
  }

  async gaps(from: number): Promise<readonly StoredGap[]> {
    const view = await this.view();
    return (await view.storedGaps()).filter(({ after }) => after >= from).sort((a, b) => b.after - a.after);
  }

  async first(): Promise<number> {
    const view = await this.view();
    for (const unit of view.units.toReversed()) {
      const rows = await view.read(unit, (connection) =>
        connection.query<{ first: number | null }>('SELECT min(first) AS first FROM journal.journal'),
      );
      if (rows?.[0]?.first != null) return rows[0].first;
    }
    return view.end + 1;
  }

  async idAt(sequence: number): Promise<string | undefined> {
    const { groups } = await this.readFiles(sequence - 1, 1);
    const [group] = groups;
    if (group === undefined || group.first !== sequence) return undefined;
    const stored = { first: group.first, records: group.text.toString() };
    for (const record of recordsOf(stored, [], () => undefined)) if (record.sequence === sequence) return record.id;
    return undefined;
  }

  async treeBefore({ proof }: JournalGroup): Promise<Frontier | undefined> {
    if (proof === undefined) return undefined;
    if (proof.entry === 0) return Frontier.empty;
    const tree = await JournalFilesTree.open(await this.view(), proof.tree);
    return tree && frontierOf(tree, proof.entry);
  }

  async checkpoint(): Promise<StoredCheckpoint | undefined> {
    const [newest] = await readCheckpoints(await this.view(), { before: Number.MAX_SAFE_INTEGER, limit: 1 });
    return newest;
  }

  async keys(): Promise<readonly CertifiedKey[]> {
    return readSigningKeys(await this.view());
  }

  // Closed files survive it already.
  async harden(): Promise<void> {
    const path = `${this.openPath}-wal`;
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.ino !== this.wal?.stats.ino || stats?.dev !== this.wal?.stats.dev) this.close();
    if (stats === undefined) return;
    this.wal ??= { file: openSync(path, 'r+'), stats };
    await sync(this.wal.file);
  }

  /** Lets go of the file that `harden` keeps open. Nothing may be hardened meanwhile. */
  close(): void {
    if (this.wal !== undefined) closeSync(this.wal.file);
    this.wal = undefined;
  }

  /** Lets go of all that is kept in memory: it is read from the files. */
  forget(): void {
    this.recent = [];
    this.length = 0;
  }

  private readRecent(from: number, most: number): Stretch {
    const groups: JournalGroup[] = [];
    let records = 0;
    // What is shipped meanwhile is let go of, so they are taken now.
    for (let i = from; i < this.recent.length; i++) {
      const group = this.recent[i]!;
      if (records > 0 && records + group.count > most) break;
      groups.push(group);
      records += group.count;
    }
    return { groups, missing: [], to: lastOf(groups.at(-1)!) };
  }

  private async readFiles(after: number, most: number): Promise<Stretch> {
    const view = await this.view();
    const groups: JournalGroup[] = [];
    const missing: MissingRange[] = [];
    const turns = new Turns();
    let to = after;
    let records = 0;
    for (const unit of view.units.toReversed()) {
      while (to < unit.last && records < most) {
        if (unit.first > to + 1) {
          missing.push(missingBetween(to, unit.first - 1, unit, 'file_missing'));
          to = unit.first - 1;
        }
        const stored = await rowsOf(view, unit, to);
        // The retention has just removed the file.
        if (stored === undefined) break;
        for (const row of stored) {
          if (turns.isOver) await turns.next();
          const whole = groupOf(row);
          const group = whole.first > to ? whole : groupBeyond(whole, to);
          if (group.first > to + 1) missing.push(missingBetween(to, group.first - 1, unit, 'file_damaged'));
          if (group.until === 0) missing.push(missingBetween(group.first - 1, lastOf(group), unit, 'file_damaged'));
          else groups.push(group);
          to = lastOf(group);
          records += group.count;
          if (records >= most) break;
        }
        if (stored.length === 0) {
          missing.push(missingBetween(to, unit.last, unit, 'file_damaged'));
          to = unit.last;
        }
      }
    }
    return { groups, missing, to };
  }
}

function lengthOf({ text, entries }: JournalGroup): number {
  return text.length + entries.length;
}

function lastOf({ first, count }: Pick<JournalGroup, 'first' | 'count'>): number {
  return first + count - 1;
}

/** A row as it was read: whole, or its text alone. */
type ReadRow = (FactsRow & ProofRow) | StoredGroup;

/** The same as it is stored. */
type StoredRow = (Omit<FactsRow, 'text'> & ProofRow & { readonly records: Buffer }) | CodedRow;

function readRow(row: StoredRow, coding: GroupCoding): ReadRow {
  if (!('shipping' in row)) return coding.decode(row);
  const { records, ...rest } = row;
  // Bytes, which a damaged text does not survive as a string.
  if (coding.isPlain) return { ...rest, text: records };
  const group = coding.decode(row);
  // What cannot be decrypted is known by its number alone.
  if (group.salts === null) return group;
  return { ...rest, salts: group.salts, text: Buffer.from(group.records) };
}

/** As it was committed, where that is known; otherwise it is read from its text. */
function groupOf(row: ReadRow): JournalGroup {
  if ('records' in row) return groupOfText(row.first, row.records, row.records === '' ? row.count : undefined);
  const group = groupOfFacts(row) ?? groupOfText(row.first, row.text.toString());
  return { ...group, proof: proofOfRow(row) };
}

/** The next rows behind the record `after`, or the row in which it is; none where all up to the end is damaged. */
export async function rowsOf(view: LogView, unit: UnitView, after: number): Promise<readonly ReadRow[] | undefined> {
  try {
    return await view.read(unit, async (connection, coding) => {
      const columns = await connection.query<{ name: string }>(
        "SELECT name FROM pragma_table_info('journal', 'journal')",
      );
      const hasFacts = unit.format !== 1 && columns.some(({ name }) => name === 'shipping');
      const selected = hasFacts
        ? `first, count, since, until, idSince, idUntil, keys, CAST(records AS BLOB) AS records, shipping, ${
            isProven(unit.format)
              ? '(SELECT tree FROM journal.log) AS tree, entry, node, leaves, salts'
              : 'NULL AS tree, NULL AS entry, NULL AS node, NULL AS leaves, NULL AS salts'
          }`
        : 'first, count, records';
      // The first of them whatever it holds, and others as long as all together are not large.
      const rows = await connection.query<StoredRow>(
        `WITH next AS (SELECT first, sum(size) OVER (ORDER BY first) AS bytes FROM (
           SELECT first, octet_length(records) AS size FROM journal.journal
           WHERE first >= coalesce((SELECT first FROM journal.journal
             WHERE first <= ?1 AND first + count > ?1 ORDER BY first DESC LIMIT 1), ?1)
           ORDER BY first LIMIT ${mostRows}))
         SELECT ${selected} FROM journal.journal
         WHERE first BETWEEN (SELECT min(first) FROM next)
           AND (SELECT coalesce(max(first) FILTER (WHERE bytes <= ${bytesAtOnce}), min(first)) FROM next)
         ORDER BY first`,
        [after + 1],
      );
      return rows.map((row) => readRow(row, coding));
    });
  } catch (error) {
    if (!isDamaged(error)) throw error;
  }
  for (let from = after + 1; from <= unit.last; from += aroundDamage) {
    const beyond = Math.min(from + aroundDamage, unit.last + 1);
    const read = await view
      .read(unit, (connection, coding) => readAround(connection, coding, from, beyond))
      .catch((error: unknown) => {
        // Not even its first page can be read.
        if (isDamaged(error)) return { groups: [] };
        throw error;
      });
    if (read === undefined) return undefined;
    if (read.groups.length > 0) return read.groups;
  }
  return [];
}

function missingBetween(after: number, last: number, unit: UnitView, cause: MissingRange['cause']): MissingRange {
  const { since = 0, until = Date.now() } = unit.extent ?? {};
  return { after, lost: last - after, since, until, cause };
}
