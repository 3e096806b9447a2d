import { isAway } from '../../database/database-error.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../database/postgres/postgres-tables.js';
import { type EncryptionKeys, MissingEncryptionKey } from '../../encryption/encryption-keys.js';
import { VerdictError } from '../../errors.js';
import { DecisionIds } from '../decision-ids.js';
import { DecisionLog } from '../decision-log.js';
import type { Commit, DecisionLogOptions, LocalLogMode, Retention, WantedRecords } from '../decision-log-options.js';
import type { DecisionLogStatus, DecisionLogStorage, ShippingStatus } from '../decision-log-status.js';
import type { DecisionPage } from '../decision-page.js';
import type { DecisionQuery } from '../decision-query.js';
import type { DecisionRecord, NewDecisionRecord } from '../decision-record.js';
import type { DecisionStats } from '../decision-stats.js';
import { ErasureCounts } from '../erasure/erase-group.js';
import type { ErasingOrders, OnErased } from '../erasure/erasures.js';
import { StandingOrders } from '../erasure/standing-orders.js';
import type { ExportQuery } from '../export-query.js';
import { noHolds } from '../holds/holds.js';
import type { MissingRecords } from '../local/local-instances.js';
import type { LogPlace, WriterStanding } from '../local/log-place.js';
import type { GroupsQuery, LogGroups } from '../log-groups.js';
import type { LogWriters } from '../log-writers.js';
import type { NoteSigner } from '../proof/signed-note.js';
import type { RecordFeed } from '../record-feed.js';
import type { SearchScope } from '../record-filter.js';
import type { LocalDecisionLog } from '../shipped-journal.js';
import type { StatsQuery } from '../stats-query.js';
import { DayPartitions } from './day-partitions.js';
import { IndexJob } from './index-job.js';
import { JournalOwnTail } from './journal-own-tail.js';
import { keySegments } from './key-segments.js';
import { addKeys } from './log-key-table.js';
import { PostgresErasureOrders } from './postgres-erasure-orders.js';
import { addSharedNumbers } from './recorded-numbers.js';
import { SharedErasure } from './shared-erasure.js';
import { sharedGapTimes } from './shared-gaps.js';
import { LostIndexKey, lockedLog, SharedKeys } from './shared-keys.js';
import { sharedLogMigrations } from './shared-migrations.js';
import { SharedProofs } from './shared-proofs.js';
import { SharedRecordFeed } from './shared-record-feed.js';
import { SharedRecords } from './shared-records.js';
import { SharedRetention } from './shared-retention.js';
import { sharedStats } from './shared-stats.js';
import { TallyJob } from './shared-tally.js';
import { sharedTop } from './shared-top.js';
import { SharedUpkeep } from './shared-upkeep.js';
import { Shipper } from './shipper.js';
import { addDeltas, deltasPart } from './tally-delta.js';
import { readWriters, retireWriter } from './writers.js';

/** What the shared log asks of this replica's own log. */
export interface JournalOptions {
  readonly mode: LocalLogMode;
  readonly retention: Retention;
  readonly onCommit: (commit: Commit) => void;
}

export interface PostgresDecisionLogOptions extends DecisionLogOptions {
  readonly database: PostgresDatabase;
  /** With keys what is shipped is encrypted, and what is encrypted can be read. */
  readonly encryption?: EncryptionKeys | undefined;
  /** Makes this replica's own log, which is not started yet and whose journal is shipped. */
  readonly openJournal: (options: JournalOptions) => LocalDecisionLog;
  /** Most bytes that the journal may have while records wait in it to be shipped (10 GiB). */
  readonly journalLimit?: number;
  /** How long after its time a record may still be appended, in milliseconds (15,000): as long as a batch may take. */
  readonly latestMs?: number;
  /** Longest wait for PostgreSQL in mode `replicated`, in milliseconds (5,000). */
  readonly replicatedWaitMs?: number;
  /** As that of `SharedRecords`. */
  readonly pageMs?: number;
  /** Called with each batch that was shipped, for metrics. */
  readonly onShipped?: (batch: Commit) => void;
}

const defaultJournalLimit = 10 * 1024 * 1024 * 1024;
const defaultLatestMs = 15_000;
const defaultReplicatedWaitMs = 5_000;
/** How long this replica keeps what it has shipped, in milliseconds: a stand-by that takes over may have lost the newest. */
const keptMs = 3_600_000;
/** Longest time for shipping what is left at the end, in milliseconds. */
const lastShippingMs = 5_000;
const watchMs = 1_000;
/** Longest time for reading the newest records of which the most frequent ids are counted, in milliseconds. */
const topMs = 1_000;
/** Longest wait for PostgreSQL at the start and of a question, in milliseconds. */
const firstContactMs = 2_000;

/**
 * The decision log that replicas share in PostgreSQL.
 *
 * The path of a decision touches nothing remote: this replica commits to its own journal, answers, and ships behind the
 * answer (shipper.ts). Only mode `replicated` waits for PostgreSQL. Questions are answered for all replicas, from PostgreSQL and
 * from what this one has not shipped yet.
 *
 * While PostgreSQL is away, decisions go on and wait in the journal, up to its limit; then the mode says: `sync` and `fsync`
 * refuse, `async` loses and counts.
 */
export class PostgresDecisionLog extends DecisionLog {
  private readonly database: PostgresDatabase;
  private readonly tables: PostgresTables;
  private readonly keys: SharedKeys;
  /** Undefined in mode `off`. */
  private readonly own: LocalDecisionLog | undefined;
  private readonly shipper: Shipper | undefined;
  private readonly records: SharedRecords;
  private readonly tail: JournalOwnTail | undefined;
  private readonly retention: SharedRetention;
  private readonly upkeep: SharedUpkeep;
  private readonly erasing: SharedErasure;
  /** Of batches that were shipped since the last pass. */
  private erasedInShipping = new ErasureCounts();
  /** The orders to erase persons. */
  readonly orders: PostgresErasureOrders;
  readonly proofs: SharedProofs;
  private readonly journalLimit: number;
  private journalBytes = 0;
  private lastStorage: DecisionLogStorage = { records: 0, index: 0 };
  /** In mode `off` answers have ids, too. */
  private readonly idsOfNoRecord = new DecisionIds(0, 0);
  private watch: NodeJS.Timeout | undefined;

  constructor(private readonly options: PostgresDecisionLogOptions) {
    super();
    const { database, mode, instance = '', onProblem = () => undefined } = options;
    this.database = database;
    this.journalLimit = options.journalLimit ?? defaultJournalLimit;
    this.tables = new PostgresTables(database, 'decision-log', sharedLogMigrations);
    const keys = new SharedKeys(options.encryption);
    this.keys = keys;
    const partitions = new DayPartitions(database);
    this.orders = new PostgresErasureOrders(database, () => this.shipper?.status.writer);
    this.retention = new SharedRetention({
      database,
      partitions,
      retention: options.retention ?? {},
      holds: options.holds ?? noHolds,
      keys,
      signer: () => this.own?.signer,
    });
    if (mode !== 'off') {
      this.own = options.openJournal({
        mode: mode === 'replicated' ? 'sync' : mode,
        retention: {
          maxAgeMs: keptMs,
          deletableTo: () => this.shipper?.status.shipped ?? 0,
          ...this.wantedOfJournal(options.retention?.wanted),
        },
        onCommit: (commit) => {
          this.shipper!.committed(commit.records);
          options.onCommit?.(commit);
        },
      });
      this.shipper = new Shipper({
        database,
        prepare: () => this.tables.prepare(),
        partitions,
        keys,
        journal: this.own.journal,
        instance,
        latestMs: options.latestMs ?? defaultLatestMs,
        count: (client, rows) => addDeltas(client, (name) => database.table(name), rows),
        countPart: (rows, first, guard) => deltasPart((name) => database.table(name), rows, first, guard),
        harden: mode !== 'fsync',
        expired: (days) => this.retention.expired(days),
        orders: () => this.orders.all(),
        holds: options.holds ?? noHolds,
        signer: () => this.own?.signer,
        onErased: (counts) => this.erasedInShipping.add(counts),
        onProblem,
        ...(options.onShipped !== undefined && { onShipped: options.onShipped }),
      });
      this.tail = new JournalOwnTail(this.own, () => this.shipper!.status.writer);
    }
    this.records = new SharedRecords({
      database,
      keys,
      keyIndex: keySegments,
      ...(this.tail !== undefined && { tail: this.tail }),
      ...(options.pageMs !== undefined && { pageMs: options.pageMs }),
    });
    this.proofs = new SharedProofs(
      database,
      (read) => this.readable(read),
      async () => (await this.own?.proofs.keys()) ?? [],
      keys,
    );
    const shared = new SharedRecordFeed(database, keys);
    this.feed = {
      end: () => this.readable(() => shared.end()),
      readOn: (after) => this.readable(() => shared.readOn(after)),
      subscribe: (listener) => shared.subscribe(listener),
    };
    const index = new IndexJob(database);
    const tally = new TallyJob(database);
    this.upkeep = new SharedUpkeep({
      database,
      prepare: () => this.tables.prepare(),
      retention: this.retention,
      index,
      tally,
      keys,
      onProblem,
    });
    this.erasing = new SharedErasure({ database, partitions, index, tally, keys });
  }

  /**
   * To read a log that is there. It is not started and not stopped, and the database is closed by its owner.
   *
   * @param encryption what opens what is encrypted in it
   */
  static reader(database: PostgresDatabase, encryption?: EncryptionKeys): PostgresDecisionLog {
    const openJournal = () => {
      throw new Error('a reader has no journal');
    };
    return new PostgresDecisionLog({ database, encryption, mode: 'off', openJournal });
  }

  async start(): Promise<void> {
    await this.own?.start();
    await this.tables.prepare();
    await this.checkKeys();
    this.shipper?.start();
    this.upkeep.start();
    // Until then nobody can say which of this replica's records PostgreSQL has.
    await this.shipper?.located(firstContactMs);
    this.watch = setInterval(() => void this.measure().catch(() => undefined), watchMs).unref();
    await this.measure();
  }

  /**
   * Whether this replica may ship to a log that is encrypted, and can read it. While the server is away, that is found out when it
   * is back: records wait in the journal where it may not.
   *
   * @throws MissingEncryptionKey
   */
  private async checkKeys(): Promise<void> {
    const table = (name: string) => this.database.table(name);
    try {
      if (this.own === undefined) {
        await this.database.transaction((client) => this.keys.indexOf({ client, table }), {
          snapshot: true,
          readOnly: true,
        });
      } else await this.database.transaction((client) => this.keys.beginShipping({ client, table }));
    } catch (error) {
      if (!isAway(error)) throw error;
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.watch);
    const upkeep = this.upkeep.stop(lastShippingMs);
    try {
      await this.own?.flush();
      // What it proves is shipped with the rest; one that cannot be written now is reported where that began.
      await this.own?.checkpoint().catch(() => undefined);
      await this.shipper?.stop(lastShippingMs);
    } finally {
      await this.own?.stop();
      await upkeep;
    }
  }

  get hasReturned(): boolean {
    return this.own?.hasReturned ?? false;
  }

  async forgetReturned(): Promise<void> {
    await this.own?.forgetReturned();
  }

  async erase(orders: ErasingOrders, signal: AbortSignal, onErased?: OnErased): Promise<ErasureCounts> {
    await this.tables.prepare();
    // So that each record is erased, and counted, as it is shipped or where it lies there.
    const ms = this.options.replicatedWaitMs ?? defaultReplicatedWaitMs;
    if (this.own !== undefined && !(await this.shipper!.confirmed(this.own.journal.end, ms)))
      throw unavailable('cannot be shipped');
    await this.own?.erase(orders, signal);
    await this.eraseShared(orders, signal);
    // The journal has the same records.
    const counts = this.erasedInShipping;
    this.erasedInShipping = new ErasureCounts();
    await onErased?.(counts);
    return counts;
  }

  private async eraseShared(orders: ErasingOrders, signal: AbortSignal): Promise<void> {
    const { own } = this;
    const signer = own?.signer;
    const open = await this.orders.unshared();
    if (open.length === 0 || own === undefined || signer === undefined) return;
    // A replica without a record has shipped no key.
    await addKeys(this.database, (name) => this.database.table(name), await own.proofs.keys());
    // What is shipped from now on has been erased: each writer must know of these orders.
    const standing = new StandingOrders(await this.orders.key(), open);
    const { counts, isDone, missing } = await this.erasing.pass({ ...orders, standing }, signer, signal);
    await this.orders.noteShared(open, counts, isDone ? Date.now() : null);
    // The order stays open, and it is said which key is needed.
    if (missing !== undefined) throw missing;
  }

  async erasable(orders: ErasingOrders, signal: AbortSignal): Promise<ErasureCounts> {
    return this.readable(async () => (await this.erasing.pass(orders, undefined, signal)).counts);
  }

  nextId(nowMs: number): string {
    return this.own === undefined ? this.idsOfNoRecord.next(nowMs) : this.own.nextId(nowMs);
  }

  async append(record: NewDecisionRecord): Promise<void> {
    if (this.options.mode !== 'replicated') return this.own?.append(record);
    this.refuseUnshippable();
    await this.journal.append(record);
    await this.replicated();
  }

  roomForBulk(records: number, ms: number): Promise<number> {
    return this.own === undefined ? Promise.resolve(records) : this.own.roomForBulk(records, ms);
  }

  async appendBulk(records: readonly NewDecisionRecord[], room: number): Promise<void> {
    await this.own?.appendBulk(records, room);
    if (this.options.mode === 'replicated') await this.replicated();
  }

  get place(): LogPlace | undefined {
    if (this.own === undefined) return undefined;
    const { writer } = this.shipper!.status;
    // Nobody could find out what became of a claim of a writer without a number.
    if (writer === undefined) throw unavailable('does not know this replica yet');
    return { ...this.own.place!, writer };
  }

  async standing(writer: number): Promise<WriterStanding> {
    if (this.shipper?.status.writer === writer) return 'own';
    const { writers } = await this.writers();
    const state = writers.find((each) => each.writer === writer)?.state;
    return state === 'running' || state === 'silent' ? 'away' : 'ended';
  }

  async recordedNumbers(instance: string, behind: LogPlace): Promise<ReadonlySet<number>> {
    const { own, shipper } = this;
    const isOwn = own !== undefined && shipper?.status.writer === behind.writer;
    const numbers = new Set(isOwn ? await own.recordedNumbers(instance, behind) : []);
    // What was shipped long ago is not in the journal any more.
    if (!isOwn || (await own.journal.first()) > behind.sequence + 1)
      await this.readable(() =>
        addSharedNumbers({ database: this.database, keys: this.keys }, instance, behind, numbers),
      );
    return numbers;
  }

  async noteMissing(missing: MissingRecords): Promise<void> {
    await this.own?.noteMissing(missing);
  }

  async notedTimes(cause: MissingRecords['cause'], behind: LogPlace): Promise<ReadonlySet<number>> {
    if (this.shipper?.status.writer === behind.writer) return this.journal.notedTimes(cause, behind);
    return this.readable(() => sharedGapTimes(this.database, cause, behind));
  }

  readonly feed: RecordFeed;

  get ownFeed(): RecordFeed | undefined {
    return this.own?.ownFeed;
  }

  get depth(): number {
    return this.own?.depth ?? 0;
  }

  get status(): DecisionLogStatus {
    const { mode } = this.options;
    const { own, shipper } = this;
    const held = this.retention.heldDays.length;
    if (own === undefined || shipper === undefined) return { ...offStatus, mode, held };
    const status = own.status;
    const { problem } = shipper.status;
    // `async` loses records that find no room, and goes on answering.
    const hasRoom = own.refusal === undefined || mode === 'async';
    const answering = status.answering && hasRoom && (mode !== 'replicated' || problem === undefined);
    return {
      ...status,
      mode,
      held,
      answering,
      ...(problem !== undefined && { problem: [status.problem, `not shipped: ${problem}`].filter(isThere).join('; ') }),
      shipping: this.shippingStatus(own, shipper),
    };
  }

  writers(): Promise<LogWriters> {
    return this.readable(() => readWriters(this.database, this.database));
  }

  retire(writer: number): Promise<void> {
    return this.readable(() => retireWriter(this.database, writer));
  }

  async storage(): Promise<DecisionLogStorage> {
    // A scrape of metrics must not wait for a server that is away.
    if (this.database.problem !== undefined) return this.lastStorage;
    this.lastStorage = await this.readable(async () => {
      const [row] = await this.database.query<{ records: number; all: number }>(
        `SELECT coalesce(sum(size) FILTER (WHERE name ~ '^decision_group'), 0)::int8 AS records,
           coalesce(sum(size), 0)::int8 AS all
         FROM (SELECT c.relname AS name, pg_total_relation_size(c.oid) AS size
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname ~ '^(decision|key|tally)_') t`,
        [this.database.schema],
      );
      return { records: row!.records, index: row!.all - row!.records };
    });
    return this.lastStorage;
  }

  search(query: DecisionQuery, scope: SearchScope = {}): Promise<DecisionPage> {
    return this.readableLocated(() => this.records.search(query, scope));
  }

  find(id: string, scope: SearchScope = {}): Promise<DecisionRecord | undefined> {
    return this.readable(() => this.records.find(id, scope));
  }

  notFound(id: string): Promise<VerdictError> {
    return this.readable(() => this.records.notFound(id));
  }

  export(query: ExportQuery, scope: SearchScope = {}): AsyncGenerator<string> {
    return this.records.export(query, scope);
  }

  groups(query: GroupsQuery, pauseMs: number): AsyncGenerator<LogGroups> {
    return this.records.groups(query, pauseMs);
  }

  stats(query: StatsQuery, scope: SearchScope = {}): Promise<DecisionStats> {
    return this.readableLocated(async () => {
      const { database, tail } = this;
      const stats = await sharedStats(database, query, scope, tail?.counts, this.keys);
      if (query.top === undefined) return stats;
      const top = await sharedTop(
        { database, keys: this.keys, tail, keyIndex: keySegments, pageMs: topMs },
        query,
        query.top,
        scope,
      );
      return { ...stats, top };
    });
  }

  oldestRecord(): Promise<number | undefined> {
    return this.readableLocated(() => this.records.oldestRecord());
  }

  async prune(nowMs: number): Promise<void> {
    await this.upkeep.prune(nowMs);
  }

  /** Resolves when all that was committed here is in PostgreSQL, where other replicas find it. */
  async shipped(): Promise<void> {
    await this.own?.flush();
    const end = this.own?.journal.end ?? 0;
    while (!(await this.shipper?.confirmed(end, defaultReplicatedWaitMs)));
  }

  /** Signs all that was committed here; resolves when that is in PostgreSQL, too. The log does so by itself each minute. */
  async checkpoint(): Promise<void> {
    await this.own?.checkpoint();
    await this.shipped();
    await this.shipper?.checkpointShipped();
  }

  get fleetSigner(): NoteSigner | undefined {
    return this.own?.fleetSigner;
  }

  /** The same, and brings the key index and the counts up to it. */
  async settle(): Promise<void> {
    await this.shipped();
    await this.upkeep.settle();
  }

  private get journal(): LocalDecisionLog {
    if (this.own === undefined) throw new Error('the decision log is off');
    return this.own;
  }

  /** What is wanted elsewhere may fill half of the journal's room: the rest is for what waits for PostgreSQL. */
  private wantedOfJournal(wanted: WantedRecords | undefined): Pick<Retention, 'wanted'> {
    if (wanted === undefined) return {};
    const hasRoom = () => this.journalBytes <= this.journalLimit / 2;
    return { wanted: { ...wanted, doneTo: () => (hasRoom() ? wanted.doneTo() : Number.MAX_SAFE_INTEGER - 1) } };
  }

  private shippingStatus(own: LocalDecisionLog, shipper: Shipper): ShippingStatus {
    const { writer, shipped, newest, retries } = shipper.status;
    const unshipped = shipped === undefined ? own.journal.end : Math.max(0, own.journal.end - shipped);
    return {
      writer,
      unshipped,
      lagSeconds: unshipped === 0 ? 0 : Math.max(0, (Date.now() - (newest ?? own.status.newest ?? Date.now())) / 1_000),
      journalBytes: this.journalBytes,
      journalLimit: this.journalLimit,
      retries,
    };
  }

  /** A record of mode `replicated` that PostgreSQL cannot get is not written at all, and its decision is not answered. */
  private refuseUnshippable(): void {
    const problem = this.shipper?.status.problem;
    if (problem !== undefined) throw unavailable('cannot be written', new Error(problem));
  }

  private async replicated(): Promise<void> {
    const ms = this.options.replicatedWaitMs ?? defaultReplicatedWaitMs;
    if (!(await this.shipper!.confirmed(this.journal.journal.end, ms))) throw unavailable('cannot be written');
  }

  /** Looks at the size of the journal: beyond its limit no more is taken while records wait in it. */
  private async measure(): Promise<void> {
    const { own, shipper } = this;
    if (own === undefined || shipper === undefined) return;
    const { records, index } = await own.storage();
    this.journalBytes = records + index;
    const isFull = this.journalBytes > this.journalLimit && shipper.status.problem !== undefined;
    own.refusal = isFull ? 'has too many records that wait for PostgreSQL' : undefined;
  }

  /** The same, where it must be known what PostgreSQL has of this replica's journal. */
  private readableLocated<T>(read: () => Promise<T>): Promise<T> {
    return this.readable(async () => {
      if (this.shipper !== undefined && !(await this.shipper.located(firstContactMs)))
        throw unavailable('cannot be read');
      return read();
    });
  }

  /** Reads from tables that are there; what PostgreSQL cannot do now is the log's trouble and not the caller's. */
  private async readable<T>(read: () => Promise<T>): Promise<T> {
    try {
      await this.tables.prepare();
      return await read();
    } catch (error) {
      if (error instanceof MissingEncryptionKey || error instanceof LostIndexKey) throw lockedLog(error);
      throw error instanceof VerdictError ? error : unavailable('cannot be read', error);
    }
  }
}

const offStatus: Omit<DecisionLogStatus, 'mode' | 'held'> = {
  state: 'ok',
  answering: true,
  depth: 0,
  limit: 0,
  lost: 0,
  oldestPending: undefined,
  newest: undefined,
  unindexed: 0,
  name: undefined,
  missing: undefined,
};

function isThere(text: string | undefined): text is string {
  return text !== undefined;
}

function unavailable(why: string, cause?: unknown): VerdictError {
  return new VerdictError('decision_log_unavailable', `The decision log ${why}.`, { cause, retryAfter: 1 });
}
