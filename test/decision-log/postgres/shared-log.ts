/** A log in a real PostgreSQL whose rows are put there by SQL, as the replicas would ship them. */
import { migrate } from '../../../src/database/postgres/migrations.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import { DecisionIds, idMilliseconds } from '../../../src/decision-log/decision-ids.js';
import type { DecisionRecord, NewDecisionRecord } from '../../../src/decision-log/decision-record.js';
import { commonMembers, groupText, recordsOf } from '../../../src/decision-log/group-text.js';
import type { StoredGap } from '../../../src/decision-log/log-gap.js';
import type { OwnTail, TailRow } from '../../../src/decision-log/postgres/own-tail.js';
import { sharedLogMigrations } from '../../../src/decision-log/postgres/shared-migrations.js';
import { encodeKey, indexedFieldNames, indexedFields } from '../../../src/decision-log/record-keys.js';
import { commonTexts, recordTexts } from '../../../src/decision-log/record-texts.js';
import { openDatabase } from '../../database/postgres/databases.js';
import type { PostgresServer } from '../../database/postgres/postgres-server.js';
import { type Example, exampleRecord } from '../example-records.js';
import { addDay } from './shared-database.js';

/** A row of `decision_group`; times in milliseconds since 1970. */
export interface ShippedRow extends TailRow {
  readonly idSince: number;
  readonly idUntil: number;
  readonly keys: Buffer;
}

/** The row of a text of groups (group-text.ts) that begins with this sequence. */
export function rowOfText(first: number, records: string): ShippedRow {
  const all = [...recordsOf({ first, records })];
  const times = all.map(({ time }) => Date.parse(time));
  const idTimes = all.map(({ id }) => idMilliseconds(id)!);
  return {
    first,
    count: all.length,
    since: Math.min(...times),
    until: Math.max(...times),
    idSince: Math.min(...idTimes),
    idUntil: Math.max(...idTimes),
    keys: keysOf(first, all),
    records,
  };
}

function keysOf(first: number, records: readonly DecisionRecord[]): Buffer {
  const masks = new Map<string, number>();
  for (const record of records) {
    for (const field of indexedFieldNames) {
      const key = encodeKey(field, indexedFields[field](record)).toString('hex');
      masks.set(key, (masks.get(key) ?? 0) | (1 << ((record.sequence - first) & 15)));
    }
  }
  return Buffer.from([...masks].map(([key, mask]) => key + mask.toString(16).padStart(4, '0')).join(''), 'hex');
}

export class SharedLog {
  private readonly days = new Set<number>();
  private writers = 0;

  private constructor(
    readonly database: PostgresDatabase,
    private readonly url: string,
  ) {}

  static async make(server: PostgresServer): Promise<SharedLog> {
    const url = await server.createDatabase();
    const log = new SharedLog(openDatabase(url), url);
    await migrate(log.database, 'decision-log', sharedLogMigrations);
    return log;
  }

  /** The connections of another replica. */
  otherDatabase(): PostgresDatabase {
    return openDatabase(this.url);
  }

  async addWriter(): Promise<Writer> {
    const idWriter = 1_000 + ++this.writers;
    const [row] = await this.database.query<{ writer: number }>(
      `INSERT INTO ${this.database.table('decision_writer')} (journal, id_writer, instance)
       VALUES ($1, $2, $3) RETURNING writer`,
      [`journal ${idWriter}`, idWriter, `pdp-${this.writers}`],
    );
    return new Writer(this, row!.writer, idWriter, `pdp-${this.writers}`);
  }

  /** Puts rows there and says that they are: what comes next has higher sequences. */
  async ship(writer: number, rows: readonly ShippedRow[]): Promise<void> {
    for (const { until } of rows) await this.addDay(dayOf(until));
    const end = Math.max(0, ...rows.map(({ first, count }) => first + count - 1));
    const { database } = this;
    await database.transaction(async (client) => {
      for (let i = 0; i < rows.length; i += 500) {
        const some = rows.slice(i, i + 500);
        const of = (name: 'first' | 'count' | 'since' | 'until' | 'idSince' | 'idUntil') =>
          some.map((row) => row[name]);
        await client.write(
          `INSERT INTO ${database.table('decision_group')}
             (day, writer, first, count, since, until, id_since, id_until, keys, records)
           SELECT date '1970-01-01' + day, $1, first, count, since, until, id_since, id_until, decode(keys, 'hex'), records
           FROM unnest($2::int[], $3::int8[], $4::int[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::text[],
             $10::text[]) r (day, first, count, since, until, id_since, id_until, keys, records)`,
          [
            writer,
            some.map(({ until }) => dayOf(until)),
            of('first'),
            of('count'),
            of('since'),
            of('until'),
            of('idSince'),
            of('idUntil'),
            some.map(({ keys }) => keys.toString('hex')),
            some.map(({ records }) => records),
          ],
        );
      }
      await client.write(
        `UPDATE ${database.table('decision_writer')} SET shipped = greatest(shipped, $2), decided = greatest(decided, $2)
         WHERE writer = $1`,
        [writer, end],
      );
    });
  }

  /** Sets columns of a writer. */
  async set(writer: number, columns: string): Promise<void> {
    await this.database.write(`UPDATE ${this.database.table('decision_writer')} SET ${columns} WHERE writer = $1`, [
      writer,
    ]);
  }

  async addGap(writer: number, { after, lost, since, until, cause }: StoredGap): Promise<void> {
    await this.database.write(
      `INSERT INTO ${this.database.table('decision_gap')} (writer, after, lost, since, until, cause)
       VALUES ($1, $2, $3, $4, $5, $6)`,
      [writer, after, lost, since, until, cause],
    );
  }

  async addDay(day: number): Promise<void> {
    if (this.days.has(day)) return;
    this.days.add(day);
    await addDay(this.database, day);
  }
}

function dayOf(time: number): number {
  return Math.floor(time / 86_400_000);
}

/** Records in the order of their journal, not shipped yet. */
export class Writer {
  /** Sequence of the newest record. */
  end = 0;
  readonly tail = new MemoryTail(this);
  private readonly ids: DecisionIds;

  constructor(
    private readonly log: SharedLog,
    readonly number: number,
    readonly idWriter: number,
    readonly instance: string,
  ) {
    this.ids = new DecisionIds(idWriter, 0);
  }

  /** A record that the next group can have. */
  record(example: Example, more: Partial<NewDecisionRecord> = {}): NewDecisionRecord {
    return { ...exampleRecord({ nextId: (now) => this.ids.next(now) }, example), ...more };
  }

  /** Records that are committed together, as a row of the shared log. */
  group(records: readonly NewDecisionRecord[]): ShippedRow {
    const common = commonMembers(records[0]!, this.instance);
    const lines = records.map((record) => recordTexts(record, commonTexts(common), timeInId(record)).line);
    const row = rowOfText(this.end + 1, groupText(common, this.idWriter, lines));
    this.end += records.length;
    return row;
  }

  /** Puts the records of these examples into PostgreSQL, as one group. */
  async ship(examples: readonly Example[]): Promise<NewDecisionRecord[]> {
    const records = examples.map((example) => this.record(example));
    await this.log.ship(this.number, [this.group(records)]);
    return records;
  }

  /** Keeps the records of these examples in the tail. */
  keep(examples: readonly Example[]): NewDecisionRecord[] {
    const records = examples.map((example) => this.record(example));
    this.tail.add([this.group(records)]);
    return records;
  }

  /** The records of these sequences as a row, as the shipper would take them out of the journal. */
  copy(from: number, to: number): ShippedRow[] {
    const rows = this.tail.kept.filter(({ first, count }) => first <= to && first + count > from);
    return rows.map(({ first, records }) => {
      const [common, ...lines] = records.split('\n');
      const start = Math.max(first, from);
      return rowOfText(start, [common, ...lines.slice(start - first, to - first + 1)].join('\n'));
    });
  }
}

function timeInId({ id, time }: NewDecisionRecord): boolean {
  return idMilliseconds(id) === time;
}

/** The journal of a replica, in memory: rows in order, and what was lost. */
export class MemoryTail implements OwnTail {
  readonly kept: TailRow[] = [];
  readonly losses: StoredGap[] = [];

  constructor(private readonly owner: { readonly number: number; readonly end: number }) {}

  get writer(): number {
    return this.owner.number;
  }

  get end(): number {
    return this.owner.end;
  }

  add(rows: readonly TailRow[]): void {
    this.kept.push(...rows);
  }

  async *rows(after: number): AsyncGenerator<readonly TailRow[]> {
    const rows = this.kept.filter(({ first, count }) => first + count - 1 > after);
    for (let i = 0; i < rows.length; i += 3) yield rows.slice(i, i + 3);
  }

  async gaps(after: number): Promise<readonly StoredGap[]> {
    return this.losses.filter((gap) => gap.after >= after);
  }

  async find(id: string, scope: { readonly policySets?: readonly string[] | undefined }) {
    for (const row of this.kept) {
      for (const record of recordsOf(row)) {
        if (record.id !== id) continue;
        return scope.policySets?.includes(record.policySet) === false ? undefined : record;
      }
    }
    return undefined;
  }
}
