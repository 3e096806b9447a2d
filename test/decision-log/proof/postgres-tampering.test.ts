/**
 * P5 at random in PostgreSQL: what is changed in a row, taken from the tables, added to them or put back is found and named.
 *
 *     VERDICT_TEST_TAMPERINGS=500    # in all
 */
import { describe, expect, it } from 'vitest';
import type { AuditLog } from '../../../src/audit/audit-log.js';
import { PostgresAuditLog } from '../../../src/audit/postgres/postgres-audit-log.js';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';
import { DatabaseError } from '../../../src/database/database-error.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import type { PostgresDecisionLog } from '../../../src/decision-log/postgres/postgres-decision-log.js';
import type { CertifiedKey } from '../../../src/decision-log/proof/log-keys.js';
import type { Finding } from '../../../src/decision-log/proof/log-verification.js';
import { signNote } from '../../../src/decision-log/proof/signed-note.js';
import { FleetCheckpoints } from '../../../src/fleet/checkpoints/fleet-checkpoints.js';
import { LogSink } from '../../../src/fleet/checkpoints/log-sink.js';
import { PostgresCheckpointStore } from '../../../src/fleet/checkpoints/postgres/postgres-checkpoint-store.js';
import { auditOptions } from '../../audit/audit-log-suite.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { append } from '../many-records.js';
import { startReplica } from '../postgres/shared-home.js';
import { temporaryDirectory } from '../temporary-log.js';

const tamperings = Number(process.env.VERDICT_TEST_TAMPERINGS ?? 60);
const day = 86_400_000;

/** What proves, and what is proved. */
const columns = {
  decision_group: [
    'writer',
    'first',
    'count',
    'since',
    'until',
    'id_since',
    'id_until',
    'keys',
    'records',
    'entry',
    'nodes',
    'leaves',
    'salts',
  ],
  decision_checkpoint: ['writer', 'tree', 'entries', 'sequence', 'time', 'note'],
  decision_tree: ['entries', 'frontier', 'upto', 'note'],
  decision_gap: ['writer', 'after', 'lost', 'since', 'until', 'cause', 'entry', 'node'],
  fleet_checkpoint: ['number', 'time', 'note'],
  audit_event: ['id', 'time', 'type', 'actor', 'detail', 'count', 'place', 'salt', 'leaf', 'link'],
  audit_chain: ['events', 'link', 'note'],
} as const;
type Table = keyof typeof columns;
type Value = Buffer | string | number | null;
type Row = Record<string, Value> & { readonly at: string };

function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

function withBit(value: Exclude<Value, null>, random: (below: number) => number): Exclude<Value, null> {
  if (typeof value === 'number') return Number(BigInt(value) ^ (1n << BigInt(random(30))));
  const bytes = Buffer.from(value as string);
  const bit = random(bytes.length * 8);
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  return typeof value === 'string' ? bytes.toString('latin1') : bytes;
}

interface Home {
  readonly log: PostgresDecisionLog;
  readonly audit: AuditLog;
  readonly fleet: FleetCheckpoints;
  readonly retention: { maxAgeMs?: number };
}

async function open(url: string, directory: string): Promise<Home> {
  const retention: { maxAgeMs?: number } = {};
  const log = await startReplica(url, directory, { retention, mode: 'async', queueLimit: 25 });
  const database = openDatabase(url);
  const audit = await PostgresAuditLog.open(database, { ...auditOptions(), maxAgeMs: 4 * day });
  audit.signWith((text) => log.fleetSigner && signNote(text, [log.fleetSigner]));
  const fleet = new FleetCheckpoints({
    store: new PostgresCheckpointStore(database),
    checkpoint: () => log.checkpoint(),
    heads: () => log.proofs.heads(),
    auditHead: () => audit.head(),
    signer: () => log.fleetSigner,
    sinks: [new LogSink(() => undefined)],
    onProblem: (what, error) => {
      throw new Error(what, { cause: error });
    },
  });
  return { log, audit, fleet, retention };
}

/** A log with gaps, an anchor of the retention, audit events and checkpoints of the fleet. */
async function fill({ log, audit, fleet, retention }: Home): Promise<void> {
  for (const days of [9, 8, 2, 1, 0]) {
    for (let i = 0; i < 3; i++) {
      await append(log, 4 + 3 * i, (j) => ({
        now: Date.now() - days * day,
        subject: `s${days}/${j}`,
        attributes: { z: [i, 'ü'], a: { b: true } },
      }));
      await log.shipped();
    }
    // More than the queue takes.
    await append(log, 10, () => ({ now: Date.now() - days * day }));
    await Promise.all(Array.from({ length: 5 }, () => append(log, 10, () => ({ now: Date.now() - days * day }))));
    await log.shipped();
    for (let i = 0; i < 3; i++)
      await audit.record({ type: 'api_key_created', actor: `ü ${i}`, detail: 'd' }, Date.now() - days * day);
    await fleet.make();
  }
  retention.maxAgeMs = 5 * day;
  await log.prune(Date.now());
  await audit.prune(Date.now());
  await fleet.make();
}

class Tables {
  private copied = false;

  constructor(private readonly database: PostgresDatabase) {}

  rows(table: Table): Promise<Row[]> {
    const entries = table === 'decision_gap' ? 'WHERE entry IS NOT NULL' : '';
    return this.database.query<Row>(
      `SELECT tableoid::regclass || ' ' || ctid AS at, * FROM ${this.name(table)} ${entries} ORDER BY ctid`,
    );
  }

  /** @param at as `rows` names it */
  async run(statement: string, values: readonly Value[] = []): Promise<void> {
    await this.database.query(statement, values);
  }

  where(at: string): string {
    const [table, place] = at.split(' ') as [string, string];
    return `tableoid = '${table}'::regclass AND ctid = '${place}'::tid`;
  }

  name(table: Table | 'fleet_checkpoint_sent'): string {
    return this.database.table(table);
  }

  async keep(): Promise<void> {
    for (const table of [...Object.keys(columns), 'fleet_checkpoint_sent'] as Table[])
      await this.run(`CREATE TABLE kept_${table} AS SELECT * FROM ${this.name(table)}`);
    this.copied = true;
  }

  async putBack(): Promise<void> {
    expect(this.copied).toBe(true);
    const statements = ([...Object.keys(columns), 'fleet_checkpoint_sent'] as Table[]).map(
      (table) =>
        `DELETE FROM ${this.name(table)}; INSERT INTO ${this.name(table)} ${table === 'audit_event' ? 'OVERRIDING SYSTEM VALUE' : ''} SELECT * FROM kept_${table};`,
    );
    for (const statement of statements.join('\n').split(';')) if (statement.trim() !== '') await this.run(statement);
  }
}

type Done = string | undefined;

/** Does something to a row, and says what; undefined where the table refuses it, or nothing is changed. */
async function tamper(tables: Tables, random: (below: number) => number): Promise<Done> {
  const names = Object.keys(columns) as Table[];
  const table = random(2) === 0 ? 'decision_group' : names[random(names.length)]!;
  const rows = await tables.rows(table);
  const row = rows[random(rows.length)];
  if (row === undefined) return undefined;
  const where = `${table}, row ${rows.indexOf(row)} of ${rows.length}`;
  const act = random(8);
  // Of a tree that has later ones, and of which the fleet signs the end, a checkpoint less proves as much.
  if (act === 0 && table !== 'decision_checkpoint') {
    await tables.run(`DELETE FROM ${tables.name(table)} WHERE ${tables.where(row.at)}`);
    return `removed: ${where}`;
  }
  if (act === 1 && table === 'decision_group') {
    const from = { ...row, first: (row.first as number) + 100_000 };
    await insert(tables, table, from);
    return `added: ${where}`;
  }
  if (act === 1 && table === 'audit_event') {
    await insert(tables, table, { ...row, id: 1_000_000, place: random(2) === 0 ? null : 1_000_000 });
    return `added: ${where}`;
  }
  if (act === 1 && table === 'fleet_checkpoint') {
    await insert(tables, table, { ...row, number: 1_000 });
    return `added: ${where}`;
  }
  const other = rows.find((each) => each !== row);
  const swapped = {
    decision_group: ['records', 'leaves', 'salts', 'nodes', 'count', 'keys'],
    audit_event: ['time', 'actor', 'detail', 'salt', 'leaf'],
    fleet_checkpoint: ['note'],
  } as const;
  if (act === 2 && Object.hasOwn(swapped, table) && other !== undefined) {
    const of = swapped[table as keyof typeof swapped];
    if (of.every((name) => String(row[name]) === String(other[name]))) return undefined;
    for (const [into, from] of [
      [row, other],
      [other, row],
    ] as const)
      await tables.run(
        `UPDATE ${tables.name(table)} SET ${of.map((name, i) => `${name} = $${i + 1}`).join(', ')} WHERE ${tables.where(into.at)}`,
        of.map((name) => from[name]!),
      );
    return `swapped: ${where}`;
  }
  const column = columns[table][random(columns[table].length)]!;
  const value = row[column];
  if (value === null || value === undefined || value === '' || (Buffer.isBuffer(value) && value.length === 0))
    return undefined;
  await tables.run(`UPDATE ${tables.name(table)} SET ${column} = $1 WHERE ${tables.where(row.at)}`, [
    withBit(value, random),
  ]);
  return `${column} in ${where}`;
}

async function insert(tables: Tables, table: Table, { at: _, ...row }: Row): Promise<void> {
  const names = Object.keys(row);
  await tables.run(
    `INSERT INTO ${tables.name(table)} (${names.map((name) => `"${name}"`).join(', ')}) OVERRIDING SYSTEM VALUE
     VALUES (${names.map((_name, i) => `$${i + 1}`).join(', ')})`,
    names.map((name) => row[name]!),
  );
}

describe.skipIf(!hasPostgres)(
  'what is done at random to a log in PostgreSQL (skipped where it is not installed)',
  () => {
    const server = postgresForTests();

    async function prepared() {
      const url = await server().createDatabase();
      const home = await open(url, temporaryDirectory());
      await fill(home);
      const keys: readonly CertifiedKey[] = await home.log.proofs.keys();
      const kept = await new PostgresCheckpointStore(openDatabase(url)).newest();
      await home.log.stop();
      const tables = new Tables(openDatabase(url));
      await tables.keep();
      const verify = async (against: readonly string[] = []): Promise<readonly Finding[]> => {
        const notes = against.map((note) => ({ note, place: 'kept' }));
        const { findings } = await verifyLog({ database: url, keys, against: notes, depth: 'content' });
        // These records are of no version that is archived.
        return findings.filter(({ place }) => place !== 'the archive of versions');
      };
      return { url, home, tables, verify, note: kept!.note };
    }

    it(
      'is found, whichever bit of whichever row it changes, and whichever row it takes, adds or swaps',
      async () => {
        const { tables, verify } = await prepared();
        expect(await verify()).toEqual([]);
        let done = 0;
        for (let n = 0; n < tamperings; n++) {
          const what = await tamper(tables, generator(n + 1)).catch((error: unknown) => {
            // The table itself refuses some.
            if (error instanceof DatabaseError && /^(22|23|428C9)/.test(error.code ?? '')) return undefined;
            throw error;
          });
          if (what !== undefined) {
            done++;
            const findings = await verify();
            expect(findings.length, `tampering ${n}, ${what}`).toBeGreaterThan(0);
            for (const finding of findings) expect(`${finding.place}${finding.what}`).not.toBe('');
          }
          await tables.putBack();
        }
        expect(done).toBeGreaterThan(tamperings / 2);
        expect(await verify()).toEqual([]);
      },
      120_000 + tamperings * 5_000,
    );

    it('is named, where rows of an end or a whole table are taken, and found by what is elsewhere where nothing else shows it', async () => {
      const { tables, verify, note } = await prepared();
      const name = (table: Table | 'fleet_checkpoint_sent') => tables.name(table);
      const newest = `(SELECT max(number) FROM ${name('fleet_checkpoint')})`;
      const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
        [
          'the newest checkpoint of the fleet',
          [`DELETE FROM ${name('fleet_checkpoint')} WHERE number = ${newest}`],
          /checkpoints \d+ to \d+ of the fleet are missing: they were sent \(log\)/,
        ],
        [
          'the oldest checkpoint of the fleet',
          [`DELETE FROM ${name('fleet_checkpoint')} WHERE number = 1`],
          /checkpoints 1 to 1 of the fleet are missing/,
        ],
        [
          'all of them',
          [`DELETE FROM ${name('fleet_checkpoint')}`],
          /checkpoints 1 to \d+ of the fleet are missing: they were sent \(log\)/,
        ],
        ['the row of the chain', [`DELETE FROM ${name('audit_chain')}`], /the row that says how far the retention/],
        [
          'all audit events and the row of their chain',
          [`DELETE FROM ${name('audit_chain')}`, `DELETE FROM ${name('audit_event')}`],
          /the newest \d+ events, which a checkpoint signs/,
        ],
        [
          'the tree of a writer, and its checkpoints',
          [`DELETE FROM ${name('decision_tree')}`, `DELETE FROM ${name('decision_checkpoint')}`],
          /nothing of the tree [0-9a-f]{32} is there/,
        ],
        [
          'the newest records, with the checkpoints of their writer',
          [
            `DELETE FROM ${name('decision_group')} WHERE entry > (SELECT max(entry) - 3 FROM ${name('decision_group')})`,
            `DELETE FROM ${name('decision_gap')} WHERE entry > (SELECT max(entry) FROM ${name('decision_group')})`,
            `DELETE FROM ${name('decision_checkpoint')}`,
          ],
          /the newest records are missing/,
        ],
      ];
      for (const [what, statements, finding] of cases) {
        for (const statement of statements) await tables.run(statement);
        const found = (await verify()).map(({ what }) => what);
        expect(found, what).toContainEqual(expect.stringMatching(finding));
        await tables.putBack();
      }
      // With all that says that they were there.
      for (const statement of [
        `DELETE FROM ${name('decision_group')} WHERE entry > (SELECT max(entry) - 3 FROM ${name('decision_group')})`,
        `DELETE FROM ${name('decision_gap')} WHERE entry > (SELECT max(entry) FROM ${name('decision_group')})`,
        `DELETE FROM ${name('decision_checkpoint')} WHERE entries > (SELECT max(entry) + 1 FROM ${name('decision_group')})`,
        `DELETE FROM ${name('fleet_checkpoint')}`,
        `DELETE FROM ${name('fleet_checkpoint_sent')}`,
      ])
        await tables.run(statement);
      expect(await verify()).toEqual([]);
      const against = (await verify([note])).map(({ what }) => what);
      expect(against).toContainEqual(expect.stringMatching(/the newest records are missing/));
      await tables.putBack();
      expect(await verify([note])).toEqual([]);
    }, 120_000);

    it('is found when records that the retention removed are put back', async () => {
      const url = await server().createDatabase();
      const home = await open(url, temporaryDirectory());
      await append(home.log, 10, () => ({ now: Date.now() - 9 * day }));
      await append(home.log, 10);
      await home.log.checkpoint();
      const tables = new Tables(openDatabase(url));
      const [old] = await tables.rows('decision_group');
      home.retention.maxAgeMs = 5 * day;
      await home.log.prune(Date.now());
      const keys = await home.log.proofs.keys();
      await home.log.stop();
      const verify = () => verifyLog({ database: url, keys, against: [], depth: 'content' });
      expect((await verify()).findings).toEqual([]);
      const group = tables.name('decision_group');
      const name = `decision_group_${new Date(Date.now() - 9 * day).toISOString().slice(0, 10).replaceAll('-', '')}`;
      await tables.run(
        `CREATE TABLE ${name} PARTITION OF ${group} FOR VALUES FROM ('${new Date(Date.now() - 9 * day).toISOString().slice(0, 10)}')
       TO ('${new Date(Date.now() - 8 * day).toISOString().slice(0, 10)}')`,
      );
      await insert(tables, 'decision_group', old!);
      expect((await verify()).findings).toEqual([
        expect.objectContaining({
          kind: 'wrong',
          sequence: 1,
          what: expect.stringMatching(/that the retention removed/),
        }),
      ]);
    }, 120_000);

    it('goes on recording audit events where the row of their chain is gone', async () => {
      const url = await server().createDatabase();
      const { audit, log } = await open(url, temporaryDirectory());
      const tables = new Tables(openDatabase(url));
      await tables.run(`DELETE FROM ${tables.name('audit_chain')}`);
      expect(await audit.head()).toBeUndefined();
      await audit.record({ type: 'api_key_created', actor: 'ann' });
      expect((await audit.head())?.events).toBe(1);
      const { findings } = await verifyLog({
        database: url,
        keys: await log.proofs.keys(),
        against: [],
        depth: 'content',
      });
      expect(findings).toMatchObject([{ kind: 'missing', place: 'the audit events' }]);
    });
  },
);
