import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseError } from '../../database/database-error.js';
import type { PostgresClient, PostgresValue } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { Turns } from '../../turns/turns.js';
import { ErasureCounts } from '../erasure/erase-group.js';
import { eraseFromJournalGroup } from '../erasure/erase-journal-group.js';
import type { ErasingOrders } from '../erasure/erasures.js';
import type { AllOrders } from '../erasure/standing-orders.js';
import { holdOf } from '../holds/hold.js';
import type { HoldGuard } from '../holds/holds.js';
import { type JournalGroup, lastIdOf } from '../journal-group.js';
import type { KeyedIndex } from '../keyed-index.js';
import type { StoredGap } from '../log-gap.js';
import { entryOfGroup, groupRoot } from '../proof/group-hashes.js';
import type { Frontier } from '../proof/merkle-tree.js';
import type { NoteSigner } from '../proof/signed-note.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import type { JournalPosition, ShippedJournal, Stretch } from '../shipped-journal.js';
import type { TallyRow } from '../tally.js';
import { utcDayOf } from '../utc-day.js';
import { type CopyType, type CopyValue, copyData } from './binary-copy.js';
import { DayPartitions, dayName } from './day-partitions.js';
import { addKeys } from './log-key-table.js';
import { type RowSealer, SharedKeys } from './shared-keys.js';
import { type JoinedGroups, joinGroups, rowOf } from './shared-row.js';
import type { StatementPart } from './tally-delta.js';
import { findWriter, type WriterState } from './writer-registry.js';

export interface ShipperOptions {
  readonly database: PostgresDatabase;
  /** Brings the tables up to date; called with each new connection. */
  readonly prepare: () => Promise<void>;
  readonly partitions: DayPartitions;
  readonly journal: ShippedJournal;
  /** The name of this replica. */
  readonly instance: string;
  /**
   * How long after its time a record may still be appended, in milliseconds: a batch is answered for as long as it may
   * take, and each of its records has the time at which it came.
   */
  readonly latestMs: number;
  /** What encrypts rows; left out where none is. */
  readonly keys?: SharedKeys;
  /** Writes counts of what is shipped, in the same transaction. */
  readonly count: (client: PostgresClient, rows: readonly TallyRow[]) => Promise<void>;
  /**
   * The same as a part of the statement that ships a few rows (`deltasPart`). Without it, each batch is a transaction of
   * several statements.
   */
  readonly countPart?: (rows: readonly TallyRow[], first: number, guard: string) => StatementPart;
  /** False if a loss of power can take nothing of the journal, so that it need not be written through first. */
  readonly harden: boolean;
  /** Called once when shipping begins to fail, and once when it works again. */
  readonly onProblem: (what: string, error: unknown) => void;
  /** The orders to erase persons, and how many they are; what is shipped is erased first. Without it nothing is. */
  readonly orders?: () => Promise<AllOrders>;
  /** What keeps records from erasure. */
  readonly holds?: Pick<HoldGuard, 'inForce'>;
  /** Signs what erasures leave. */
  readonly signer?: () => NoteSigner | undefined;
  /** Hears what became of records of which a batch was erased. */
  readonly onErased?: (counts: ErasureCounts) => void;
  /** Of these days (since 1970) those of which nothing is kept; their records are not shipped any more. */
  readonly expired: (days: ReadonlySet<number>) => Promise<ReadonlySet<number>>;
  readonly onShipped?: (batch: ShippedBatch) => void;
}

export interface ShippedBatch {
  readonly records: number;
  readonly durationMs: number;
}

export interface ShipperStatus {
  /** The number of this replica's journal in the shared log; undefined until PostgreSQL was reached once. */
  readonly writer: number | undefined;
  /** Every record of the journal up to this sequence is in the shared log; undefined as above. */
  readonly shipped: number | undefined;
  /** Why nothing is shipped now; undefined while it works. */
  readonly problem: string | undefined;
  /** The highest time of a record that was shipped since the start, in milliseconds since 1970. */
  readonly newest: number | undefined;
  /** Attempts that failed. */
  readonly retries: number;
}

/**
 * Enough to be shipped at once; fewer wait for others. A statement and a write-through of the journal cost as much as some
 * hundred records, and this many keep the event loop for a millisecond.
 */
const enoughRecords = 1_024;
/** Longest wait for others, in milliseconds. */
const patienceMs = 200;
/**
 * Most rows that are shipped as one statement; more are copied, in a transaction of several. Each round trip wakes a process of
 * PostgreSQL, which takes the processor from this one where there are few: callers wait that long.
 */
const statementRows = 16;
/** Groups that become one row, and what encrypts it; without it the row is in clear. */
interface CodedGroups {
  readonly joined: JoinedGroups;
  readonly coding?: { readonly sealer: RowSealer; readonly index: KeyedIndex };
}

/** Where the journal ended, at a time in milliseconds since 1970. */
interface TimedPosition extends JournalPosition {
  readonly now: number;
}

/** A tree, and what it is where it begins in the shared log. */
interface NewTree {
  readonly tree: string;
  readonly first: number;
  readonly frontier: Frontier;
}

/** Most records of one transaction. */
const batchRecords = 4_096;
const beatMs = 1_000;
const firstPauseMs = 250;
const longestPauseMs = 5_000;

const otherColumns =
  'first, count, since, until, id_since, id_until, keys, entry, nodes, leaves, salts, data_key, records, sealed';
const otherTypes: readonly CopyType[] = [
  ...(['int8', 'int4', 'int8', 'int8', 'int8', 'int8', 'bytea'] as const),
  ...(['int8', 'bytea', 'bytea', 'bytea', 'int4', 'text', 'bytea'] as const),
];
/** What a row is copied as: its day, its writer and the others. */
const copiedTypes: readonly CopyType[] = ['date', 'int4', ...otherTypes];
/** What a row of a statement consists of: its day, counted from 1970, and the others. */
const statementTypes: readonly CopyType[] = ['int4', ...otherTypes];

/**
 * Ships the journal of this replica into the shared log, in order, behind the answers.
 *
 * A batch is one transaction: it moves the writer's high water from where this replica knows it to be, if the log has the
 * same record there, and copies the rows. So a batch is in the log whole or not at all, and once, wherever batches and rows
 * begin; a commit whose answer was lost is found out by reading the high water. What the log already has is never
 * compared or dropped (`findWriter` tells what a journal that does not fit becomes).
 *
 * A heartbeat says how far the journal has decided, and before which time nothing more will come.
 */
export class Shipper {
  private readonly stopping = new AbortController();
  private client: PostgresClient | undefined;
  /** As it was when PostgreSQL last said so, and whether that still is to be asked. */
  private state: WriterState | undefined;
  private isUnsure = true;
  /** As they were then. */
  private orders: AllOrders | undefined;
  private running: Promise<void> | undefined;
  private lastProblem: string | undefined;
  private retries = 0;
  private newest: number | undefined;
  private wake: (() => void) | undefined;
  private pending = 0;
  private isUrgent = false;
  private nextBeat = 0;
  private ahead: { readonly after: number; readonly stretch: Promise<Stretch> } | undefined;
  private isClosed = false;
  private readonly notedGaps = new Set<string>();
  /** The trees of the writer that the log knows. */
  private readonly trees = new Set<string>();
  private readonly keys: SharedKeys;
  /** What hides names and masks keys; undefined where this replica ships in clear. */
  private index: KeyedIndex | undefined;
  /** What encrypts the rows of a day (since 1970), until somebody retires keys. */
  private readonly sealers = new Map<number, RowSealer>();
  private nextCheckpoint = 0;
  private checkpointed = '';
  private readonly checkpointWaiters: (() => void)[] = [];
  private waiters: { readonly sequence: number; readonly resolve: () => void }[] = [];

  constructor(private readonly options: ShipperOptions) {
    this.keys = options.keys ?? SharedKeys.none;
  }

  get status(): ShipperStatus {
    const { state, newest, lastProblem: problem, retries } = this;
    return { writer: state?.writer, shipped: state?.shipped, newest, problem, retries };
  }

  start(): void {
    this.running = this.run();
  }

  /** Ships what is left for at most `ms` milliseconds, and says that this writer has ended. */
  async stop(ms: number): Promise<void> {
    const ends = performance.now() + ms;
    this.stopping.abort();
    this.wake?.();
    try {
      await within(ends, this.running ?? Promise.resolve());
      await this.finish(ends, () => undefined);
    } catch (error) {
      this.options.onProblem('the newest decision records could not be shipped before the end', error);
    }
    this.isClosed = true;
    // What still waits for an answer fails with it.
    await this.client?.close();
  }

  /**
   * Ships all of a journal that nobody writes, instead of `start` and `stop`. If it fails, the next attempt goes on there.
   *
   * @param progress hears, after each batch, up to which sequence records are in the shared log
   */
  async shipAll(progress: (shipped: number) => void): Promise<void> {
    try {
      await this.finish(Number.POSITIVE_INFINITY, progress);
    } finally {
      await this.client?.close();
    }
  }

  /** Waits until it is known how far the journal is in the shared log; says whether it is, after at most `ms` milliseconds. */
  async located(ms: number): Promise<boolean> {
    return this.state !== undefined || this.confirmed(0, ms);
  }

  /** Waits until the newest checkpoint of the journal is in the shared log. */
  async checkpointShipped(): Promise<void> {
    const checkpoint = await this.options.journal.checkpoint();
    if (checkpoint === undefined || this.checkpointed === checkpoint.note) return;
    const shipped = new Promise<void>((resolve) => {
      this.checkpointWaiters.push(resolve);
    });
    this.nextCheckpoint = 0;
    this.wake?.();
    await shipped;
  }

  /** Takes note of records that were committed to the journal. */
  committed(records: number): void {
    this.pending += records;
    if (this.pending >= enoughRecords || this.isUrgent) this.wake?.();
  }

  /**
   * Waits until the record with this sequence is in the shared log; it is shipped without waiting for others. Says whether
   * it is there: false after `ms` milliseconds.
   */
  async confirmed(sequence: number, ms: number): Promise<boolean> {
    if (this.state !== undefined && this.state.shipped >= sequence) return true;
    this.isUrgent = true;
    this.wake?.();
    return new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => {
        this.waiters = this.waiters.filter((each) => each !== waiter);
        // Nobody waits any more: the loop would look for something to ship without a pause.
        if (this.waiters.length === 0) this.isUrgent = false;
        resolve(false);
      }, ms);
      const waiter = {
        sequence,
        resolve: () => {
          clearTimeout(timer);
          resolve(true);
        },
      };
      this.waiters.push(waiter);
    });
  }

  private async run(): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!this.stopping.signal.aborted) {
      try {
        const more = await this.step();
        this.worked();
        pauseMs = firstPauseMs;
        if (!more) await this.wait();
      } catch (error) {
        await this.failed(error);
        // Replicas that lost the database at once do not come back at once.
        await this.rest(pauseMs * (0.5 + Math.random()));
        pauseMs = Math.min(longestPauseMs, pauseMs * 2);
      }
    }
  }

  /** Ships a batch, and beats; says whether there is more to ship. */
  private async step(): Promise<boolean> {
    const { journal } = this.options;
    // What comes while this waits for PostgreSQL or the disk is not in `position`: it must not count as shipped.
    const now = Date.now();
    const position = { ...(await journal.position()), now };
    const { client, state } = await this.connected(position);
    this.pending = 0;
    const stretch = await this.take(state.shipped);
    if (stretch.to > state.shipped && stretch.to < position.end) this.readAhead(stretch.to);
    if (stretch.to > state.shipped) await this.ship(client, state, stretch, position);
    else if (performance.now() >= this.nextBeat) await this.beat(client, state, position);
    if (performance.now() >= this.nextCheckpoint) await this.shipCheckpoint(client);
    return stretch.to < position.end;
  }

  /** What follows on the record `after`. */
  private take(after: number): Promise<Stretch> {
    const { ahead } = this;
    this.ahead = undefined;
    return ahead?.after === after ? ahead.stretch : this.options.journal.read(after, batchRecords);
  }

  /** Begins to read what follows on the record `after`, while what is before it is shipped. */
  private readAhead(after: number): void {
    const stretch = this.options.journal.read(after, batchRecords);
    // Who takes it hears of it.
    stretch.catch(() => undefined);
    this.ahead = { after, stretch };
  }

  private async connected(position: JournalPosition): Promise<{ client: PostgresClient; state: WriterState }> {
    const { database, prepare, journal, instance, onProblem } = this.options;
    this.client ??= await database.connect({
      onEnd: () => {
        this.client = undefined;
      },
    });
    if (this.isClosed) {
      await this.client.close();
      throw new DatabaseError('CONNECTION: shipping has ended', 'CONNECTION', true, true);
    }
    if (this.state === undefined || this.isUnsure || this.state.journal !== position.journal) {
      await prepare();
      const forked = (what: string) => onProblem(what, undefined);
      this.index = await this.keys.beginShipping(this.reading(this.client));
      this.sealers.clear();
      this.state = await findWriter(database, this.client, { ...position, instance }, journal, forked, this.keys);
      this.orders = await this.options.orders?.();
      this.isUnsure = false;
      this.ahead = undefined;
      this.notedGaps.clear();
      await this.readTrees(this.client, this.state);
      this.confirm();
    }
    return { client: this.client, state: this.state };
  }

  private async ship(
    client: PostgresClient,
    state: WriterState,
    stretch: Stretch,
    position: TimedPosition,
  ): Promise<void> {
    const { journal, partitions, count, harden, onShipped } = this.options;
    const started = performance.now();
    if (harden) await journal.harden();
    const { groups, counts } = await this.erased(stretch.groups);
    const all = joinGroups(groups);
    const expiredDays = await this.options.expired(new Set(all.map(({ day }) => day)));
    const rows = all.filter(({ day }) => !expiredDays.has(day));
    const expiredRows = all.filter(({ day }) => expiredDays.has(day));
    const expired = expiredRows.map(gapOfExpired);
    await partitions.ensure(client, new Set(rows.map(({ day }) => day)));
    const shippedId = lastId(stretch) ?? state.shippedId;
    const isAll = stretch.to >= position.end;
    const since = Math.min(...rows.map(({ bounds }) => bounds.since));
    const highWater: readonly PostgresValue[] = [
      state.writer,
      stretch.to,
      shippedId,
      this.completeTo(position, isAll ? undefined : (rows.at(-1)?.bounds.until ?? 0)),
      position.end,
      rows.length === 0 ? null : since,
      state.shipped,
      state.shippedId,
      this.orders?.count ?? Number.MAX_SAFE_INTEGER,
      state.keyEpoch,
    ];
    const kept = groups.filter(({ until }) => !expiredDays.has(utcDayOf(until)));
    const { index } = this;
    const counted = kept.flatMap(({ tally }) => tally);
    const tallies = index === undefined ? counted : counted.map((row) => index.hideNames(row));
    const coded = await this.codedRows(client, state.writer, rows);
    const gaps = [...stretch.missing, ...expired];
    const trees = await this.newTrees(groups);
    const isStatement = rows.length > 0 && rows.length <= statementRows && gaps.length === 0 && trees.length === 0;
    const shipRows = async () => {
      const moved = await client.write(this.moveHighWater, highWater);
      if (moved === 0) return false;
      await client.copy(
        `COPY ${this.table('decision_group')} (day, writer, ${otherColumns}) FROM STDIN (FORMAT binary)`,
        copyData(copiedTypes, rowsInTurns(coded, state.writer)),
      );
      for (const tree of trees) await this.addTree(client, state.writer, tree);
      for (const { groups } of expiredRows) await this.addEntries(client, state.writer, groups);
      await count(client, tallies);
      await this.noteGaps(client, state.writer, gaps);
      return true;
    };
    const done =
      isStatement && this.options.countPart !== undefined
        ? await this.shipStatement(client, highWater, coded, this.options.countPart, tallies)
        : await client.transaction(shipRows);
    if (!done) {
      // There is another order to erase somebody, keys were retired, an answer was lost, the database went back to an older state, another journal has this name, or this one was
      // retired.
      this.isUnsure = true;
      return;
    }
    this.state = { ...state, shipped: stretch.to, shippedId };
    for (const { tree } of trees) this.trees.add(tree);
    this.nextBeat = performance.now() + beatMs;
    journal.shipped(stretch.to);
    this.newest = rows.at(-1)?.bounds.until ?? this.newest;
    this.confirm();
    this.options.onErased?.(counts);
    onShipped?.({ records: stretch.to - state.shipped, durationMs: performance.now() - started });
  }

  private get moveHighWater(): string {
    return `UPDATE ${this.table('decision_writer')} SET shipped = $2, shipped_id = $3, complete_to = $4, beat = now(),
        state = 'running', decided = $5, open_since = least(open_since, $6)
      WHERE writer = $1 AND state = 'running' AND shipped = $7 AND shipped_id IS NOT DISTINCT FROM $8 AND orders <= $9
        AND key_epoch = $10`;
  }

  private reading(client: PostgresClient) {
    return { client, table: (name: string) => this.table(name) };
  }

  /** With what encrypts the rows of each day. */
  private async codedRows(
    client: PostgresClient,
    writer: number,
    rows: readonly JoinedGroups[],
  ): Promise<readonly CodedGroups[]> {
    const { index } = this;
    if (index === undefined) return rows.map((joined) => ({ joined }));
    const coded: CodedGroups[] = [];
    for (const joined of rows) {
      const { day } = joined;
      const sealer = this.sealers.get(day) ?? (await this.keys.sealer(this.reading(client), writer, dayName(day)));
      if (sealer === undefined) throw new Error('there is no key to encrypt with');
      this.sealers.set(day, sealer);
      coded.push({ joined, coding: { sealer, index } });
    }
    return coded;
  }

  /** The groups as they may be shared. */
  private async erased(
    groups: readonly JournalGroup[],
  ): Promise<{ readonly groups: readonly JournalGroup[]; readonly counts: ErasureCounts }> {
    const counts = new ErasureCounts();
    const standing = this.orders?.standing;
    if (standing === undefined || groups.every(({ since }) => since > standing.latest)) return { groups, counts };
    const { holds, signer } = this.options;
    const inForce = (await holds?.inForce()) ?? [];
    const isHeld: ErasingOrders['isHeld'] = (record) => holdOf(inForce, record) !== undefined;
    const turns = new Turns();
    const made: JournalGroup[] = [];
    for (const group of groups) {
      if (turns.isOver) await turns.next();
      made.push(eraseFromJournalGroup(group, { standing, isHeld }, signer?.(), counts));
    }
    return { groups: made, counts };
  }

  /**
   * Ships rows as one statement, which is a transaction: one round trip instead of six, for which callers of mode
   * `replicated` wait. It is on the disk when it is answered whatever the server is set to, since a writer's row is changed
   * only where `set_config` was called, which holds for the commit of the statement, too. Says whether the high water was
   * where it should be.
   */
  private async shipStatement(
    client: PostgresClient,
    highWater: readonly PostgresValue[],
    rows: readonly CodedGroups[],
    countPart: NonNullable<ShipperOptions['countPart']>,
    tallies: readonly TallyRow[],
  ): Promise<boolean> {
    const values = [...highWater];
    const tuples = rows.map((row) => {
      const first = values.length + 1;
      values.push(...valuesOf(row));
      return `(${statementTypes.map((type, i) => `$${first + i}::${type}`).join(', ')})`;
    });
    const counts = countPart(tallies, values.length + 1, 'moved');
    const written = await client.writePrepared(
      `WITH moved AS (${this.moveHighWater}
        AND (SELECT set_config('synchronous_commit', 'on', true)) IS NOT NULL RETURNING writer),
      counted AS (${counts.text})
      INSERT INTO ${this.table('decision_group')} (day, ${otherColumns}, writer)
      SELECT date '1970-01-01' + day, ${otherColumns}, writer
      FROM moved CROSS JOIN (VALUES ${tuples.join(', ')}) AS r (day, ${otherColumns})`,
      [...values, ...counts.values],
    );
    return written > 0;
  }

  /** Says how far this journal has come, and what it lost. Everything that it has committed is shipped. */
  private async beat(client: PostgresClient, state: WriterState, position: TimedPosition): Promise<void> {
    const gaps = await this.options.journal.gaps(0);
    const done = await client.transaction(async () => {
      const moved = await client.write(
        `UPDATE ${this.table('decision_writer')} SET beat = now(), state = 'running', decided = $2, complete_to = $3
         WHERE writer = $1 AND state = 'running' AND shipped = $4 AND shipped_id IS NOT DISTINCT FROM $5`,
        [state.writer, position.end, this.completeTo(position, undefined), state.shipped, state.shippedId],
      );
      if (moved > 0) await this.noteGaps(client, state.writer, gaps);
      return moved > 0;
    });
    this.isUnsure = !done;
    if (done) this.gapsNoted(gaps);
    this.nextBeat = performance.now() + beatMs;
  }

  /** Ships the newest checkpoint once all that it is about is in the log. */
  private async shipCheckpoint(client: PostgresClient): Promise<void> {
    const { state } = this;
    const checkpoint = await this.options.journal.checkpoint();
    this.nextCheckpoint = performance.now() + beatMs;
    if (state === undefined || this.isUnsure || checkpoint === undefined || checkpoint.note === this.checkpointed)
      return;
    const { tree, entries, sequence, time, note } = checkpoint;
    // A gap that is in the tree comes with the next beat.
    if (sequence > state.shipped || !(await this.hasEntries(client, state.writer, checkpoint))) return;
    await client.write(
      `INSERT INTO ${this.table('decision_checkpoint')} (writer, tree, entries, sequence, time, note)
       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
      [state.writer, tree, entries, sequence, time, note],
    );
    await addKeys(client, (name) => this.table(name), await this.options.journal.keys());
    this.checkpointed = note;
    for (const resolve of this.checkpointWaiters.splice(0)) resolve();
  }

  /** Whether the notes of gaps that a checkpoint is about were shipped, too: what else it is about was. */
  private async hasEntries(
    client: PostgresClient,
    writer: number,
    { tree, entries }: StoredCheckpoint,
  ): Promise<boolean> {
    const gaps = (await this.options.journal.gaps(0)).filter(({ entry }) => entry != null && entry < entries);
    if (gaps.length === 0 || !this.trees.has(tree)) return true;
    const [row] = await client.query<{ count: number }>(
      `SELECT count(*) AS count FROM ${this.table('decision_gap')} WHERE writer = $1 AND entry < $2`,
      [writer, entries],
    );
    return row!.count >= gaps.length;
  }

  private async readTrees(client: PostgresClient, { writer }: WriterState): Promise<void> {
    const rows = await client.query<{ tree: string }>(
      `SELECT tree FROM ${this.table('decision_tree')} WHERE writer = $1`,
      [writer],
    );
    this.trees.clear();
    for (const { tree } of rows) this.trees.add(tree);
  }

  /** The trees that begin, for this writer, with one of these groups. */
  private async newTrees(groups: readonly JournalGroup[]): Promise<NewTree[]> {
    const found: NewTree[] = [];
    for (const group of groups) {
      const tree = group.proof?.tree;
      if (tree === undefined || this.trees.has(tree) || found.some((each) => each.tree === tree)) continue;
      const frontier = await this.options.journal.treeBefore(group);
      // Where nobody knows what was before, the rows are there, and nothing proves them.
      if (frontier !== undefined) found.push({ tree, first: group.first, frontier });
    }
    return found;
  }

  /** Of records that the retention does not take any more, the hashes are kept, so that the tree goes on. */
  private async addEntries(client: PostgresClient, writer: number, groups: readonly JournalGroup[]): Promise<void> {
    for (const { first, count, proof } of groups) {
      if (proof === undefined) continue;
      await client.write(
        `INSERT INTO ${this.table('decision_entry')} (writer, tree, entry, leaf, node) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING`,
        [writer, proof.tree, proof.entry, entryOfGroup(first, count, groupRoot(proof.leaves)), proof.node],
      );
    }
  }

  private async addTree(client: PostgresClient, writer: number, { tree, first, frontier }: NewTree): Promise<void> {
    await client.write(
      `INSERT INTO ${this.table('decision_tree')} (writer, tree, first, entries, frontier)
       VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
      [writer, tree, first, frontier.size, frontier.encode()],
    );
  }

  /** The time in milliseconds before which nothing more will be shipped. `until`: the newest time of what is, if that is not all. */
  private completeTo({ now, oldestPending = now }: TimedPosition, until = now): number {
    return Math.max(0, Math.min(now, oldestPending, until) - this.options.latestMs);
  }

  /** Notes gaps that are not known to be noted; they are when the transaction is committed (`gapsNoted`). */
  private async noteGaps(client: PostgresClient, writer: number, gaps: readonly StoredGap[]): Promise<void> {
    for (const { after, lost, since, until, cause, entry, node } of gaps) {
      if (this.notedGaps.has(keyOfGap({ after, since, cause }))) continue;
      await client.write(
        // An earlier release noted some without their places.
        `INSERT INTO ${this.table('decision_gap')} AS g (writer, after, lost, since, until, cause, entry, node)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (writer, after, since, cause) DO UPDATE
         SET entry = excluded.entry, node = excluded.node WHERE g.entry IS NULL AND excluded.entry IS NOT NULL`,
        [writer, after, lost, since, until, cause, entry ?? null, node == null ? null : Buffer.from(node, 'hex')],
      );
    }
  }

  private gapsNoted(gaps: readonly StoredGap[]): void {
    for (const gap of gaps) this.notedGaps.add(keyOfGap(gap));
  }

  /** Ships what is left until the time `ends` (of the monotonic clock), and ends the writer's row if that was all. */
  private async finish(ends: number, progress: (shipped: number) => void): Promise<void> {
    for (;;) {
      if (performance.now() > ends) throw new Error('there was more than the time allowed');
      const more = await within(ends, this.step());
      progress(this.state?.shipped ?? 0);
      // A batch that was refused is tried again.
      if (!more && !this.isUnsure) break;
    }
    const { journal } = this.options;
    const position = await journal.position();
    const { state, client } = this;
    if (state === undefined || client === undefined || state.shipped < position.end) return;
    const gaps = await journal.gaps(0);
    await within(
      ends,
      client.transaction(async () => {
        await this.noteGaps(client, state.writer, gaps);
        await client.write(
          `UPDATE ${this.table('decision_writer')} SET state = 'stopped', beat = now(), decided = shipped
           WHERE writer = $1 AND shipped = $2 AND shipped_id IS NOT DISTINCT FROM $3`,
          [state.writer, state.shipped, state.shippedId],
        );
      }),
    );
    await within(ends, this.shipCheckpoint(client));
  }

  private confirm(): void {
    const shipped = this.state?.shipped ?? 0;
    const left = this.waiters.filter(({ sequence }) => sequence > shipped);
    for (const { sequence, resolve } of this.waiters) if (sequence <= shipped) resolve();
    this.waiters = left;
    if (left.length === 0) this.isUrgent = false;
  }

  private async wait(): Promise<void> {
    if (this.isUrgent || this.pending >= enoughRecords) return;
    await this.pause(patienceMs);
  }

  /** Ends early when there is enough to ship. */
  private async pause(ms: number): Promise<void> {
    const waiting = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    await Promise.race([delay(ms, undefined, { signal: waiting.signal }).catch(() => undefined), woken]);
    this.wake = undefined;
    waiting.abort();
  }

  /** Nothing but the end cuts it short: decisions that come meanwhile do not make a database that is away come back. */
  private async rest(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }

  private worked(): void {
    if (this.lastProblem === undefined) return;
    this.lastProblem = undefined;
    this.options.onProblem('decision records are shipped to PostgreSQL again', undefined);
  }

  private async failed(error: unknown): Promise<void> {
    if (this.isClosed) return;
    this.retries++;
    const isNew = this.lastProblem === undefined;
    this.lastProblem = error instanceof Error ? error.message : String(error);
    // 23514: a partition was dropped after this process had seen it.
    if (error instanceof DatabaseError && error.code === '23514') this.options.partitions.forget();
    const { client } = this;
    this.client = undefined;
    this.isUnsure = true;
    await client?.close();
    if (isNew)
      this.options.onProblem('decision records are not shipped to PostgreSQL; they wait in the journal', error);
  }

  private table(name: string): string {
    return this.options.database.table(name);
  }
}

/** The values of `copiedTypes`. All rows at once would keep callers waiting for some milliseconds. */
async function* rowsInTurns(rows: readonly CodedGroups[], writer: number): AsyncGenerator<readonly CopyValue[]> {
  const turns = new Turns();
  for (const row of rows) {
    if (turns.isOver) await turns.next();
    const [day, ...others] = valuesOf(row);
    yield [day, writer, ...others];
  }
}

/** The values of `statementTypes`. */
function valuesOf({ joined, coding }: CodedGroups) {
  const { day, first, count, since, until, idSince, idUntil, keys, entry, nodes, leaves, salts, records } =
    rowOf(joined);
  const numbers = [day, first, count, since, until, idSince, idUntil] as const;
  if (coding === undefined) return [...numbers, keys, entry, nodes, leaves, salts, null, records, null] as const;
  const { sealer, index } = coding;
  const sealed = sealer.seal(first, records, salts, count);
  return [...numbers, index.maskEntries(keys), entry, nodes, leaves, null, sealer.id, '', sealed] as const;
}

function keyOfGap({ after, since, cause }: Pick<StoredGap, 'after' | 'since' | 'cause'>): string {
  return `${after} ${since} ${cause}`;
}

function gapOfExpired({ bounds: { first, count: lost, since, until } }: JoinedGroups): StoredGap {
  return { after: first - 1, lost, since, until, cause: 'expired' };
}

function lastId({ groups, missing, to }: Stretch): string | null | undefined {
  const last: JournalGroup | undefined = groups.at(-1);
  if (last === undefined || last.first + last.count - 1 < to) return missing.length > 0 ? null : undefined;
  return lastIdOf(last.text) ?? null;
}

async function within<T>(ends: number, work: Promise<T>): Promise<T> {
  const waiting = new AbortController();
  if (ends === Number.POSITIVE_INFINITY) return work;
  const late = delay(Math.max(0, ends - performance.now()), undefined, { signal: waiting.signal }).then(
    () => {
      throw new Error('there was no time left');
    },
    () => new Promise<never>(() => undefined),
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    waiting.abort();
  }
}
