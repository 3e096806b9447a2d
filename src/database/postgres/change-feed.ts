import { DatabaseError, isAway } from '../database-error.js';
import { ChangeCounters, type ChangeTopic, changeTopics } from './change-counters.js';
import type { PostgresClient, PostgresStatements, PostgresValue } from './postgres-client.js';
import type { PostgresDatabase } from './postgres-database.js';

export interface ChangeFeedOptions {
  /** Longest pause between two looks at the counters, in milliseconds (500); by chance it is up to a fifth shorter. */
  readonly pollMs?: number;
  /** Hears once of a pooler, through which it cannot listen. */
  readonly onPooler?: () => void;
  /** Hears of a subscriber that failed. */
  readonly onProblem: (what: string, error: unknown) => void;
}

const defaultPollMs = 500;
/** By how much a pause is shorter by chance, so that replicas do not look in step. */
const jitter = 0.2;
/** Least time between two looks, in milliseconds: anybody in the database can notify, as often as it likes. */
const leastPauseMs = 20;
/** Pauses after the first, second, … failed look in a row, in milliseconds; the last one is that of all further ones. */
const retryMs = [0, 250, 500, 1_000];
const connectTimeoutMs = 2_000;
/**
 * Least and longest wait for an answer, in milliseconds. The least is short, so that with the longest pause before it a
 * dead session is replaced within a second; a server that is slower gets four times what it took last, and after a
 * failure twice as long.
 */
const leastAnswerMs = 300;
const mostAnswerMs = 5_000;
/** `undefined_table` */
const noTable = '42P01';

/** Somebody who wants to know of the changes of one topic. */
export interface Subscription {
  /** How long ago everything that was committed was known here, in milliseconds; `Infinity` before the first time. */
  readonly ageMs: number;
  end(): void;
}

/**
 * Tells this replica what others have changed.
 *
 * A look at the counters twice a second makes it right; a notification makes it quick, and is no more than the hint to
 * look now. So a session that hears nothing any more delays nothing beyond the next look. Both use one connection: a look
 * that is not answered shows that it is dead, and another is opened.
 *
 * Through a pooler such as PgBouncer a session is not ours to listen on; there it only looks.
 *
 *     const subscription = feed.subscribe('keys', () => keys.read());
 *     subscription.ageMs   // 230
 */
export class ChangeFeed implements PostgresStatements {
  private readonly counters: ChangeCounters;
  private readonly subscribers = new Set<Subscriber>();
  private client: PostgresClient | undefined;
  private turn: Promise<unknown> = Promise.resolve();
  private failures = 0;
  private answerMs = leastAnswerMs;
  private running: Promise<void> | undefined;
  private isStopped = false;
  /** Whether something happened since the last look began, so that the next one is due. */
  private isHinted = false;
  private saidPooler = false;
  /** Whether a pooler stands between, which makes up the numbers of sessions. */
  private isPooled = false;
  /** By the monotonic clock. */
  private lookedAt = Number.NEGATIVE_INFINITY;
  /** Ends the pause before the next look. */
  private wake: () => void = () => undefined;
  private stopped: () => void = () => undefined;
  private readonly stopping = new Promise<void>((resolve) => {
    this.stopped = resolve;
  });

  constructor(
    private readonly database: PostgresDatabase,
    private readonly options: ChangeFeedOptions,
  ) {
    this.counters = new ChangeCounters(database);
  }

  /**
   * Calls `look` soon, then whenever something of the topic was changed or the connection was renewed. A call that fails
   * is repeated with the next look at the counters. There is one call at a time, but for one that began before the
   * connection was renewed, whose statement may wait for a dead connection: what it still brings is old.
   */
  subscribe(topic: ChangeTopic, look: () => Promise<void>): Subscription {
    const subscriber = new Subscriber(topic, look, (error) => {
      this.options.onProblem(`what was changed (${topic}) cannot be read`, error);
      // Another connection may do: the first failure in a row need not wait for its turn.
      this.hint();
    });
    this.subscribers.add(subscriber);
    this.hint();
    return {
      get ageMs() {
        return subscriber.ageMs;
      },
      end: () => void this.subscribers.delete(subscriber),
    };
  }

  /** How long ago the counters were read last, in milliseconds: since then nothing is known here of what others do. */
  get ageMs(): number {
    return performance.now() - this.lookedAt;
  }

  /**
   * Runs a statement on the connection that looks for changes: for what is small and must not wait behind queries on the pool.
   * It may take as long as a look.
   *
   * @throws DatabaseError, also while there is no connection
   */
  query<Row extends object>(text: string, values?: readonly PostgresValue[]): Promise<Row[]> {
    return this.inTurn(async () => {
      const { client } = this;
      if (client === undefined) {
        throw new DatabaseError('CONNECTION: there is no connection that looks for changes', 'CONNECTION', true, true);
      }
      try {
        client.answerTimeoutMs = this.answerMs;
        return await client.query<Row>(text, values);
      } catch (error) {
        // The next look needs not find out again that the connection is dead.
        if (isAway(error) && this.client === client) {
          void this.drop();
          this.hint();
        }
        throw error;
      }
    });
  }

  /** One statement at a time: the connection would not mind, but its driver. */
  private inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    const result = this.turn.then(run);
    this.turn = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  start(): void {
    this.running ??= this.run();
  }

  /** Calls no subscriber any more; one that is looking goes on. It waits for no answer of the server. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.stopped();
    this.wake();
    this.database.lookAfterBy(undefined);
    await this.drop();
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.isStopped) {
      const began = performance.now();
      this.isHinted = false;
      const isWell = await this.look();
      this.failures = isWell ? 0 : this.failures + 1;
      const pause = isWell
        ? (this.options.pollMs ?? defaultPollMs)
        : retryMs[Math.min(this.failures, retryMs.length) - 1]!;
      await this.pause(began + pause * (1 - jitter * Math.random()), isWell);
    }
  }

  /** Reads the counters and tells subscribers; whether that went well. Does not throw. */
  private async look(): Promise<boolean> {
    try {
      const isNew = this.client === undefined;
      this.client ??= await this.connect();
      const { client } = this;
      if (client === undefined) return false;
      if (isNew) this.database.lookAfterBy(this.isPooled ? undefined : this);
      const askedAt = performance.now();
      const counts = await this.inTurn(() => {
        client.answerTimeoutMs = this.answerMs;
        return this.counters.read(client);
      });
      this.lookedAt = askedAt;
      this.answerMs = answerTimeIn(4 * (performance.now() - askedAt));
      if (this.isStopped) return false;
      for (const subscriber of this.subscribers) subscriber.tell(counts.get(subscriber.topic) ?? 0, askedAt);
      return true;
    } catch (error) {
      this.answerMs = answerTimeIn(2 * this.answerMs);
      if (error instanceof DatabaseError && error.code === noTable) await this.makeTable();
      else await this.drop();
      return false;
    }
  }

  /** Undefined when it was stopped meanwhile; the connection that comes about then is closed. */
  private async connect(): Promise<PostgresClient | undefined> {
    const connecting = this.open();
    const client = await Promise.race([connecting, this.stopping]);
    if (client !== undefined) return client;
    void connecting.then(
      (late) => late.close(),
      () => undefined,
    );
    return undefined;
  }

  /** What was missed before it, nobody knows: every subscriber looks again. */
  private async open(): Promise<PostgresClient> {
    let opened: PostgresClient | undefined;
    const client = await this.database.connect({
      answerTimeoutMs: this.answerMs,
      connectTimeoutMs,
      isLook: true,
      onNotification: () => this.hint(),
      onEnd: () => {
        if (opened === undefined || this.client !== opened) return;
        this.client = undefined;
        this.hint();
      },
    });
    opened = client;
    let listens: boolean;
    try {
      listens = await client.listen(changeTopics.map((topic) => this.counters.channel(topic)));
      if (!listens && !this.saidPooler) {
        this.saidPooler = true;
        this.options.onPooler?.();
      }
    } catch (error) {
      await client.close();
      throw error;
    }
    for (const subscriber of this.subscribers) subscriber.forget();
    if (this.lookedAt > Number.NEGATIVE_INFINITY) this.database.renewPool();
    this.isPooled = !listens;
    return client;
  }

  private async makeTable(): Promise<void> {
    try {
      await this.counters.tables.prepare();
    } catch (error) {
      this.options.onProblem('the table of changes cannot be made', error);
    }
  }

  private async drop(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    await client?.close();
  }

  private hint(): void {
    this.isHinted = true;
    this.wake();
  }

  /** @param until of the monotonic clock @param mayHurry whether a hint ends it, a moment after the look before */
  private async pause(until: number, mayHurry: boolean): Promise<void> {
    const least = performance.now() + leastPauseMs;
    while (!this.isStopped) {
      const end = mayHurry && this.isHinted ? Math.min(until, least) : until;
      const rest = end - performance.now();
      if (rest <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, rest);
        timer.unref();
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

function answerTimeIn(answerMs: number): number {
  return Math.round(Math.min(mostAnswerMs, Math.max(leastAnswerMs, answerMs)));
}

/** One subscriber, and up to which number it has looked. */
class Subscriber {
  /** The look that runs; one that began before the connection was renewed may hang and is left to itself. */
  private running: object | undefined;
  /** What its last look that went well was for; undefined: it must look, whatever the number is. */
  private seen: number | undefined;
  private latest = 0;
  private latestAt = 0;
  private confirmedAt = Number.NEGATIVE_INFINITY;
  private isFailing = false;

  constructor(
    readonly topic: ChangeTopic,
    private readonly look: () => Promise<void>,
    private readonly onFailure: (error: unknown) => void,
  ) {}

  get ageMs(): number {
    return performance.now() - this.confirmedAt;
  }

  forget(): void {
    this.seen = undefined;
    this.running = undefined;
  }

  /** @param askedAt when the number was asked for, by the monotonic clock */
  tell(n: number, askedAt: number): void {
    this.latest = n;
    this.latestAt = askedAt;
    if (this.running !== undefined) return;
    // Not `<`: a database that was restored, or a standby that was behind, has a lower one.
    if (this.seen === n) this.confirmedAt = askedAt;
    else void this.lookAll();
  }

  /** Until it has looked for the latest number that was told, or fails. Does not throw. */
  private async lookAll(): Promise<void> {
    const own = {};
    this.running = own;
    try {
      while (this.running === own && this.seen !== this.latest) {
        const { latest, latestAt } = this;
        await this.look();
        if (this.running !== own) return;
        this.seen = latest;
        this.confirmedAt = latestAt;
        this.isFailing = false;
      }
    } catch (error) {
      if (!this.isFailing) this.onFailure(error);
      this.isFailing = true;
    } finally {
      if (this.running === own) this.running = undefined;
    }
  }
}
