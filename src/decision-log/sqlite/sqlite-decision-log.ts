import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { sizeOfDatabases } from '../../database/sqlite/database-size.js';
import { type EncryptionKeys, MissingEncryptionKey } from '../../encryption/encryption-keys.js';
import { VerdictError } from '../../errors.js';
import { TimeZone } from '../../query/time-zone.js';
import { DecisionCounts } from '../decision-counts.js';
import { DecisionIds } from '../decision-ids.js';
import { DecisionLog } from '../decision-log.js';
import type { DecisionLogOptions, LocalLogMode } from '../decision-log-options.js';
import type { DecisionLogStatus, DecisionLogStorage } from '../decision-log-status.js';
import { decisionNotFound } from '../decision-not-found.js';
import type { DecisionPage } from '../decision-page.js';
import type { DecisionQuery } from '../decision-query.js';
import type { DecisionRecord, NewDecisionRecord } from '../decision-record.js';
import type { DecisionStats } from '../decision-stats.js';
import { ErasureCounts } from '../erasure/erase-group.js';
import type { ErasingOrders, OnErased } from '../erasure/erasures.js';
import type { ExportQuery } from '../export-query.js';
import { noHolds } from '../holds/holds.js';
import type { MissingRecords } from '../local/local-instances.js';
import type { LogPlace, WriterStanding } from '../local/log-place.js';
import { addRecordedNumbers } from '../local/recorded-numbers.js';
import type { GroupsQuery, LogGroups } from '../log-groups.js';
import { type LogWriter, type LogWriters, writerNotFound, writerRunning } from '../log-writers.js';
import { Losses } from '../losses.js';
import { type CertifiedKey, type LogKeys, logKeyPathOf, openLogKeys } from '../proof/log-keys.js';
import type { NoteSigner } from '../proof/signed-note.js';
import type { RecordFeed } from '../record-feed.js';
import type { SearchScope } from '../record-filter.js';
import type { LocalDecisionLog } from '../shipped-journal.js';
import { statsOf } from '../stats-answer.js';
import type { StatsQuery } from '../stats-query.js';
import { tallyQuestionOf } from '../tally-question.js';
import { BulkRoom } from './bulk-room.js';
import { addUnits } from './count-units.js';
import { exportRecords } from './decision-export.js';
import { DecisionLogReader } from './decision-log-reader.js';
import { findRecord, searchRecords } from './decision-search.js';
import { type Group, GroupCommit } from './group-commit.js';
import { ErasureProgress, JournalErasure, scanView } from './journal-erasure.js';
import type { JournalFiles } from './journal-files.js';
import { journalGroups } from './journal-groups.js';
import { JournalProofs } from './journal-proofs.js';
import { JournalTail } from './journal-tail.js';
import { KeptFiles, type Trouble } from './kept-files.js';
import { closedFiles, decisionLogPath, filesOfIndex, filesOfJournal } from './log-files.js';
import { LogUpkeep } from './log-upkeep.js';
import { emptyLog, type LogView } from './log-view.js';
import { SqliteRecordFeed } from './sqlite-record-feed.js';
import { oldestTime } from './time-ranges.js';
import { topIds } from './top-ids.js';
import { type TurnLimits, turnLimits } from './turn-limits.js';

export interface SqliteDecisionLogOptions extends DecisionLogOptions {
  readonly mode: LocalLogMode;
  /** The service's database. The log has files of its own beside it, see `decisionLogPath`. */
  readonly databasePath: string;
  /** When the next file of the journal is begun; by default as the retention asks, and after a day or 1 GiB. */
  readonly limits?: Partial<TurnLimits>;
  /** Pause after an attempt to begin the next file that failed, in milliseconds (1,000); it doubles each time. */
  readonly turnPauseMs?: number;
  /** Longest wait of the commit at which the next file is due, in milliseconds (250); then it goes into the old one. */
  readonly turnPatienceMs?: number;
  /** Pause between two attempts to write while the log cannot be written, in milliseconds (1,000). */
  readonly retryMs?: number;
  /** Time between two looks at whether its files are still those that lie at their paths, in milliseconds (1,000). */
  readonly watchMs?: number;
  /**
   * True if the journal is shipped elsewhere, where its records are searched and counted: then what was committed last is
   * kept in memory for a while, and no key index is made here. A log that is not shipped any more makes it at its start.
   */
  readonly isShipped?: boolean;
  /** Time between two checks of a closed file for damage, in milliseconds (a day). */
  readonly checkEveryMs?: number;
  /** Share of the time that these checks may take (0.01). */
  readonly checkShare?: number;
  /** Private keys of the fleet, PEM, the newest first: it certifies this replica's own key, which lies beside the database. */
  readonly fleetKeys?: string | undefined;
  /** With keys what is recorded is encrypted, and what was can be read. */
  readonly encryption?: EncryptionKeys | undefined;
  /** Time between two checkpoints, in milliseconds (60,000). */
  readonly checkpointMs?: number;
}

const defaultCheckpointMs = 60_000;
/** About half a second of a process at its limit, and some 15 MB. */
const defaultQueueLimit = 16_384;
/** Most text that may wait for its commit, in characters, whatever the number of its records: they can be of a megabyte. */
const maxQueueLength = 64 * 1024 * 1024;

/**
 * The decision log in SQLite files.
 *
 *     const log = new SqliteDecisionLog({ databasePath: './data/verdict.sqlite', mode: 'sync' });
 *     await log.start();
 *
 * A commit is one row of the journal (journal.ts) with the texts of its records (group-text.ts); making them searchable and
 * writing the WAL back happen behind it (log-upkeep.ts), on a connection of their own (key-index.ts). None of it blocks the
 * event loop.
 *
 * When a commit fails (disk full or read-only, file locked or damaged), the log is `failing` until a write succeeds
 * again, which it tries by itself. A damaged file is set aside under another name and a new one is begun.
 */
export class SqliteDecisionLog extends DecisionLog implements LocalDecisionLog {
  private readonly path: string;
  private readonly group: GroupCommit;
  private readonly queueLimit: number;
  private readonly bulkRoom: BulkRoom;
  private readonly upkeep: LogUpkeep;
  private readonly kept: KeptFiles;
  /** Records from before, in mode `off`. */
  private reader: DecisionLogReader | undefined;
  private ids = new DecisionIds(0, 0);
  private readonly losses = new Losses();
  /** The journal as it is shipped. */
  readonly journal: JournalTail;
  private refused: string | undefined;
  private keys: LogKeys | undefined;
  /** The orders that were carried out last, and how far. */
  private erasing: { readonly orders: ErasingOrders; readonly progress: ErasureProgress } | undefined;
  private erasure: Promise<unknown> | undefined;
  private readonly stopping = new AbortController();
  private checkpointTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: SqliteDecisionLogOptions) {
    super();
    this.path = decisionLogPath(options.databasePath);
    this.proofs = new JournalProofs(
      this.path,
      () => readable(this.view()),
      () => this.publishedKeys,
    );
    this.group = new GroupCommit((group) => this.commit(group), options.instance);
    this.queueLimit = options.queueLimit ?? defaultQueueLimit;
    this.bulkRoom = new BulkRoom(this.queueLimit);
    this.journal = new JournalTail(
      () => this.view(),
      () => this.group.oldest,
      () => this.files?.journal.end.sequence ?? 0,
      this.path,
    );
    const onProblem = (what: string, error: unknown) => options.onProblem?.(what, error);
    this.upkeep = new LogUpkeep({
      files: () => this.files,
      isIndexed: !options.isShipped,
      retention: options.retention,
      holds: options.holds ?? noHolds,
      turnPauseMs: options.turnPauseMs,
      turnPatienceMs: options.turnPatienceMs,
      checkShare: options.checkShare,
      onProblem,
    });
    this.kept = new KeptFiles({
      path: this.path,
      durability: options.mode === 'fsync' ? 'FULL' : 'NORMAL',
      limits: { ...turnLimits(options.retention), ...options.limits },
      isShipped: options.isShipped,
      retryMs: options.retryMs,
      watchMs: options.watchMs,
      checkEveryMs: options.checkEveryMs,
      keys: () => this.keys,
      encryption: options.encryption,
      settle: () => this.upkeep.inTurn(async () => undefined),
      reindex: () => void this.upkeep.indexNow().catch(() => undefined),
      onOpened: ({ journal: { writer, end } }) => {
        this.ids = new DecisionIds(writer, Math.max(this.ids.milliseconds, end.idUntil));
      },
      onProblem,
    });
  }

  get hasReturned(): boolean {
    return this.files?.hasReturned ?? false;
  }

  async forgetReturned(): Promise<void> {
    await this.files?.forgetReturned();
  }

  private get files(): JournalFiles | undefined {
    return this.kept.files;
  }

  private get trouble(): Trouble | undefined {
    return this.kept.trouble;
  }

  async start(): Promise<void> {
    // The first use of time zones loads their data, which would be the longest turn that any query has.
    TimeZone.named('Europe/Zurich')?.offsetAt(0);
    if (this.options.mode === 'off') {
      if (existsSync(this.path) || closedFiles(this.path).length > 0)
        this.reader = await DecisionLogReader.open(this.options.databasePath, this.options.encryption);
      return;
    }
    this.keys = await openLogKeys(logKeyPathOf(this.options.databasePath), this.options.fleetKeys);
    const { journal } = await this.kept.start();
    if (await journal.wasUnclean()) {
      const { sequence: after, newest: since } = journal.end;
      await journal.noteGap({ after, lost: null, since, until: Date.now() }, 'not_flushed');
    }
    await journal.setUnclean(this.options.mode === 'async');
    this.upkeep.start();
    this.kept.startWatching();
    this.startCheckpoints();
  }

  get refusal(): string | undefined {
    return this.refused;
  }

  set refusal(why: string | undefined) {
    const isOver = why === undefined && this.refused !== undefined;
    this.refused = why;
    const { files } = this;
    // What was lost meanwhile is noted now: the next commit may be a long time off.
    if (isOver && files !== undefined) {
      void this.noteLosses(files, 'queue_full').catch((error: unknown) => this.kept.failed(error));
    }
  }

  /** Commits the records that wait. */
  async flush(): Promise<void> {
    await this.group.flush();
  }

  private startCheckpoints(): void {
    const everyMs = this.options.checkpointMs ?? defaultCheckpointMs;
    this.checkpointTimer = setInterval(() => {
      // While nothing can be written, that is reported already.
      if (this.trouble !== undefined) return;
      const failed = (error: unknown) => this.options.onProblem?.('a checkpoint of the decision log failed', error);
      void this.checkpoint().catch(failed);
    }, everyMs).unref();
  }

  /** Signs all that is committed; returns the note, undefined where nothing can be written now. The log does so each minute. */
  async checkpoint(): Promise<string | undefined> {
    return this.files?.checkpoint(Date.now());
  }

  /**
   * Erases persons from all that is committed now, while records go on being appended. The orders stand until it resolves: a call
   * that was ended goes on in the next one.
   *
   * @throws when a file cannot be read or written, and when `signal` ends it
   */
  async erase(orders: ErasingOrders, signal: AbortSignal, onErased?: OnErased): Promise<ErasureCounts> {
    // What was looked through for these orders is not looked through again.
    if (this.erasing?.orders !== orders) this.erasing = { orders, progress: new ErasureProgress() };
    const { progress } = this.erasing;
    if (this.options.mode === 'off') return this.eraseAtRest(orders, signal, onErased);
    if (this.keys === undefined) throw unavailable('is not open');
    await this.group.flush();
    const { path, upkeep } = this;
    const isIndexed = !this.options.isShipped;
    const erasure = new JournalErasure({ files: () => this.files, upkeep, path, isIndexed }, progress);
    const ending = AbortSignal.any([signal, this.stopping.signal]);
    const pass = erasure.pass({ ...orders, signer: this.keys.signer }, ending, onErased);
    this.erasure = pass.catch(() => undefined);
    try {
      return await pass;
    } finally {
      this.journal.forget();
    }
  }

  /** A log that records nothing is opened for as long as that takes. */
  private async eraseAtRest(
    orders: ErasingOrders,
    signal: AbortSignal,
    onErased: OnErased | undefined,
  ): Promise<ErasureCounts> {
    if (this.reader === undefined) return new ErasureCounts();
    const log = new SqliteDecisionLog({ ...this.options, mode: 'sync' });
    log.erasing = this.erasing;
    await log.start();
    try {
      return await log.erase(orders, signal, onErased);
    } finally {
      await log.stop();
    }
  }

  async erasable(orders: ErasingOrders, signal: AbortSignal): Promise<ErasureCounts> {
    return readable(scanView(await this.view(), orders, signal));
  }

  readonly proofs: JournalProofs;

  get fleetSigner(): NoteSigner | undefined {
    return this.keys?.fleet ?? this.keys?.signer;
  }

  get signer(): NoteSigner | undefined {
    return this.keys?.signer;
  }

  /** The public keys that sign, with what certifies them; none in mode `off`. */
  get publishedKeys(): readonly CertifiedKey[] {
    return this.keys?.published ?? [];
  }

  async stop(): Promise<void> {
    clearInterval(this.checkpointTimer);
    this.stopping.abort();
    await this.erasure;
    this.upkeep.stop();
    await this.kept.stop();
    await this.group.flush();
    await this.trouble?.over;
    await this.upkeep.settled();
    await this.reader?.close();
    this.journal.close();
    const files = this.kept.take();
    if (files === undefined) return;
    try {
      await this.noteLosses(files, 'unwritable');
      await files.checkpoint(Date.now());
      await files.journal.setUnclean(false);
    } catch (error) {
      const { unnoted } = this.losses;
      const lost = unnoted === 0 ? '' : `; ${unnoted} decision records are lost`;
      this.options.onProblem?.(`the decision log could not be closed as it should${lost}`, error);
    }
    await files.close();
  }

  nextId(nowMs: number): string {
    return this.ids.next(nowMs);
  }

  append(record: NewDecisionRecord): Promise<void> {
    const { mode } = this.options;
    if (mode === 'off') return written;
    const isQueueFull = this.group.depth >= this.queueLimit || this.group.length >= maxQueueLength;
    const full = isQueueFull || this.refused !== undefined;
    if (mode === 'async') {
      if (full) this.lose(1, record.time, record.time);
      else void this.group.add(record);
      return written;
    }
    if (this.trouble !== undefined) return Promise.reject(unavailable('cannot be written', this.trouble.error));
    if (full) return Promise.reject(unavailable(this.refused ?? 'has too many records waiting'));
    return this.group.add(record);
  }

  async roomForBulk(records: number, ms: number): Promise<number> {
    const room = Math.min(records, this.bulkRoom.size);
    return (await this.bulkRoom.take(room, ms)) ? room : 0;
  }

  async appendBulk(records: readonly NewDecisionRecord[], room: number): Promise<void> {
    const { mode } = this.options;
    const fails = this.trouble !== undefined || this.refused !== undefined;
    if (mode === 'off' || records.length === 0 || fails) {
      this.bulkRoom.giveBack(room);
      // In `async` nothing waits for a log that fails: its records go the way of all others.
      if (fails && records.length > 0) await Promise.all(records.map((record) => this.append(record)));
      return;
    }
    this.bulkRoom.giveBack(room - records.length);
    const groups = new Set(records.map((record) => this.group.add(record)));
    // None of them is committed after this has failed.
    const committed = allSettled(groups).finally(() => this.bulkRoom.giveBack(records.length));
    if (mode === 'async') committed.catch(() => undefined);
    else await committed;
  }

  get place(): LogPlace | undefined {
    if (this.options.mode === 'off') return undefined;
    if (this.trouble !== undefined) throw unavailable('cannot be written', this.trouble.error);
    return { writer: onlyWriter, sequence: this.journal.end };
  }

  async standing(): Promise<WriterStanding> {
    return 'own';
  }

  async recordedNumbers(instance: string, { sequence }: LogPlace): Promise<ReadonlySet<number>> {
    // In mode `async` they may wait still. While they cannot be committed, nobody can say.
    const flushed = this.group.flush().then(() => true);
    if (this.trouble !== undefined || !(await Promise.race([flushed, delay(flushPatienceMs, false, { ref: false })])))
      throw unavailable('cannot be written', this.trouble?.error);
    const numbers = new Set<number>();
    for (let from = sequence; from < this.journal.end; ) {
      const { groups, to } = await readable(this.journal.read(from, recordsAtOnce));
      if (to === from) break;
      for (const { first, count, text } of groups)
        addRecordedNumbers(instance, { first, count, records: text.toString() }, numbers);
      from = to;
    }
    return numbers;
  }

  async noteMissing({ lost, since, until, cause }: MissingRecords): Promise<void> {
    if (this.options.mode === 'off') return;
    const journal = this.files?.journal;
    if (journal === undefined || this.trouble !== undefined) throw unavailable('cannot be written');
    try {
      await journal.noteGap({ after: journal.end.sequence, lost, since, until }, cause);
    } catch (error) {
      this.kept.failed(error);
      throw unavailable('cannot be written', error);
    }
  }

  async notedTimes(cause: MissingRecords['cause'], { sequence }: LogPlace): Promise<ReadonlySet<number>> {
    const gaps = await readable(this.journal.gaps(sequence));
    return new Set(gaps.flatMap((gap) => (gap.cause === cause ? [gap.since] : [])));
  }

  readonly feed = new SqliteRecordFeed(() => this.view(), onlyWriter);

  get ownFeed(): RecordFeed | undefined {
    return this.options.mode === 'off' ? undefined : this.feed;
  }

  get depth(): number {
    return this.group.depth;
  }

  get status(): DecisionLogStatus {
    const files = this.files;
    const end = files?.journal.end;
    const { mode } = this.options;
    const counts = {
      mode,
      answering: mode === 'async' || mode === 'off' || this.kept.isSteady,
      depth: this.group.depth,
      limit: this.queueLimit,
      lost: this.losses.total,
      oldestPending: this.group.oldest,
      newest: end === undefined || end.newest === 0 ? undefined : end.newest,
      name: files?.name,
      missing: files?.missing,
      held: this.upkeep.heldFiles,
      unindexed: files === undefined || this.options.isShipped ? 0 : files.journal.end.sequence - files.index.indexedTo,
    };
    const problems = [this.kept.damage, files?.problem].filter((what) => what !== undefined);
    const wrong = problems.length === 0 ? undefined : problems.join('; ');
    if (this.trouble === undefined) return { state: 'ok', ...counts, ...(wrong !== undefined && { problem: wrong }) };
    return { state: 'failing', ...counts, problem: String(this.trouble.error) };
  }

  async writers(): Promise<LogWriters> {
    const files = this.files;
    const now = new Date().toISOString();
    if (files === undefined) return { completeTo: now, writers: [] };
    const { sequence } = files.journal.end;
    const own: LogWriter = {
      writer: onlyWriter,
      journal: files.name,
      instance: this.options.instance ?? '',
      state: 'running',
      heard: now,
      decided: sequence,
      shipped: sequence,
      missing: 0,
      completeTo: now,
    };
    return { completeTo: now, writers: [own] };
  }

  async retire(writer: number): Promise<void> {
    if (writer !== onlyWriter) throw writerNotFound(writer);
    throw writerRunning(writer, 0);
  }

  async storage(): Promise<DecisionLogStorage> {
    const [records, index] = await Promise.all([
      sizeOfDatabases(filesOfJournal(this.path)),
      sizeOfDatabases(filesOfIndex(this.path)),
    ]);
    return { records, index };
  }

  /** How often a file of the journal was opened for reading. */
  get filesOpened(): number {
    return this.files?.opened ?? 0;
  }

  async search(query: DecisionQuery, scope: SearchScope = {}): Promise<DecisionPage> {
    return readable(searchRecords(await this.view(), query, scope));
  }

  async find(id: string, scope: SearchScope = {}): Promise<DecisionRecord | undefined> {
    return readable(findRecord(await this.view(), id, scope));
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
    if (this.reader !== undefined) return readable(this.reader.stats(query, scope));
    const question = tallyQuestionOf(query, scope);
    const view = await this.view();
    const counts = new DecisionCounts(question);
    const uncounted = await readable(addUnits(view, question, counts));
    const stats = await statsOf(counts, question.by, uncounted);
    if (query.top === undefined) return stats;
    return { ...stats, top: await readable(topIds(view, query, query.top, scope)) };
  }

  async oldestRecord(): Promise<number | undefined> {
    return readable(oldestTime(await this.view()));
  }

  /**
   * Brings the key index up to the newest record. The log does so by itself in large steps, and finds records that are
   * not indexed yet; before a bulk of queries on a file at rest it can be worth doing all of it.
   */
  async indexNow(): Promise<void> {
    await this.upkeep.indexNow();
  }

  async prune(nowMs: number): Promise<void> {
    await this.upkeep.prune(nowMs);
  }

  /** The log as it is now. */
  async view(): Promise<LogView> {
    if (this.reader !== undefined) return this.reader.view();
    const files = this.files;
    if (files !== undefined) return files.view();
    if (this.trouble !== undefined) throw unavailable('is being opened again', this.trouble.error);
    return emptyLog;
  }

  private async commit(group: Group): Promise<void> {
    let durationMs = 0;
    for (;;) {
      if (this.trouble === undefined) {
        try {
          if (this.files!.isDue(group)) await this.upkeep.turn();
          if (this.files!.wal.isFull) await this.upkeep.roomInWal();
          const started = performance.now();
          const { shipped } = await this.files!.commit(group);
          durationMs = performance.now() - started;
          if (shipped !== undefined) this.journal.committed(shipped);
          break;
        } catch (error) {
          this.kept.failed(error);
        }
      }
      if (this.options.mode !== 'async') throw unavailable('cannot be written', this.trouble!.error);
      if (this.kept.isStopping) {
        this.lose(group.lines.length, group.since, group.until);
        return;
      }
      await this.trouble!.over;
    }
    this.options.onCommit?.({ records: group.lines.length, durationMs });
    await this.noteLosses(this.files!, 'queue_full').catch((error: unknown) => this.kept.failed(error));
    this.upkeep.committed();
    this.feed.committed();
  }

  /** Those that wait will be written before those that are lost now. */
  private lose(records: number, since: number, until: number): void {
    this.losses.add(records, (this.files?.journal.end.sequence ?? 0) + this.group.depth, since, until);
  }

  private async noteLosses({ journal }: JournalFiles, cause: 'queue_full' | 'unwritable'): Promise<void> {
    const lost = await this.losses.note(journal, cause);
    if (lost > 0) this.options.onProblem?.(`${lost} decision records were lost (${cause})`, undefined);
  }
}

/** How long a question about what is recorded waits for records that are not committed yet, in milliseconds. */
const flushPatienceMs = 2_000;

/** The number of the writer of a log that has one. */
const onlyWriter = 1;

const written = Promise.resolve();

/** Records that are looked through at a time. */
const recordsAtOnce = 1_024;

/** As `Promise.all`, but a failure is told when nothing is pending any more. */
async function allSettled(pending: Iterable<Promise<void>>): Promise<void> {
  const failed = (await Promise.allSettled(pending)).find(({ status }) => status === 'rejected');
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
}

/** What SQLite cannot read now (damaged, locked) is the log's trouble and not the caller's. */
async function readable<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof MissingEncryptionKey)
      throw unavailable(`is encrypted, and the key ${error.fingerprint} is needed to read it`, error);
    throw error instanceof VerdictError ? error : unavailable('cannot be read', error);
  }
}

function unavailable(why: string, cause?: unknown): VerdictError {
  return new VerdictError('decision_log_unavailable', `The decision log ${why}.`, { cause, retryAfter: 1 });
}
