import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { dayName } from './day-partitions.js';
import type { IndexJob } from './index-job.js';
import { readDays } from './row-walk.js';
import type { SharedKeys } from './shared-keys.js';
import type { SharedRetention } from './shared-retention.js';
import type { TallyJob } from './shared-tally.js';

export interface SharedUpkeepOptions {
  readonly database: PostgresDatabase;
  /** Brings the tables up to date. */
  readonly prepare: () => Promise<void>;
  readonly retention: SharedRetention;
  readonly index: IndexJob;
  readonly tally: TallyJob;
  readonly keys: SharedKeys;
  readonly onProblem: (what: string, error: unknown) => void;
}

/** Time between two looks at whether there is something to do, in milliseconds. */
const lookMs = 2_000;
const pruneEveryMs = 60_000;

/**
 * What is done for the shared log behind everything: adding up counts, making key pages, dropping old days. Each replica
 * looks now and then; one at a time does it, and a record is found and counted without any of it.
 */
export class SharedUpkeep {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private isStopping = false;
  private nextPrune = 0;
  private isFailing = false;
  private isBusy = false;

  constructor(private readonly options: SharedUpkeepOptions) {}

  start(): void {
    this.timer = setInterval(() => this.look(), lookMs).unref();
  }

  /** Begins nothing new, and waits for the step that runs, for `ms` milliseconds at most: closing the database ends it. */
  async stop(ms: number): Promise<void> {
    this.isStopping = true;
    clearInterval(this.timer);
    const waiting = new AbortController();
    const late = delay(ms, undefined, { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([this.running, late]);
    waiting.abort();
  }

  /** Brings counts and key pages up to the newest record. */
  async settle(): Promise<void> {
    await this.inTurn(async () => {
      while (!this.isStopping && (await this.options.tally.step(true)));
      await this.options.tally.tidy();
      while (!this.isStopping && (await this.options.index.step(true)));
    });
  }

  /** Removes what the retention does not keep at `nowMs` (milliseconds since 1970). */
  prune(nowMs: number): Promise<void> {
    return this.inTurn(() => this.pruneNow(nowMs));
  }

  private async pruneNow(nowMs: number): Promise<void> {
    const { database, prepare, retention, index, tally, keys } = this.options;
    await prepare();
    // Detaching a partition waits for those who read it, so it has a connection of its own.
    const client = await database.connect();
    try {
      await retention.prune(client, nowMs);
    } finally {
      await client.close();
    }
    const { firstDay, heldDays } = retention;
    if (firstDay === undefined) return;
    await index.forget(firstDay, heldDays);
    await tally.forget(firstDay, heldDays);
    const table = (name: string) => database.table(name);
    await database.transaction(async (client) => {
      // Also one that could not be dropped now.
      await keys.forget({ client, table }, dayName(firstDay), () => readDays({ client, table }));
    });
  }

  private look(): void {
    // The look before it still has work.
    if (this.isBusy) return;
    this.isBusy = true;
    const work = async () => {
      const { prepare, tally, index } = this.options;
      await prepare();
      while (!this.isStopping && (await tally.step())) await tally.tidy();
      if (!this.isStopping) await tally.tidy();
      while (!this.isStopping && (await index.step()));
      if (this.isStopping || performance.now() < this.nextPrune) return;
      this.nextPrune = performance.now() + pruneEveryMs;
      await this.pruneNow(Date.now());
    };
    this.running = this.running.then(work).then(
      () => this.ended(undefined),
      (error: unknown) => this.ended(error),
    );
  }

  /** A database that is away is the shipper's to report; here it is said once. */
  private ended(error: unknown): void {
    this.isBusy = false;
    const isNew = error !== undefined && !this.isFailing && !this.isStopping;
    this.isFailing = error !== undefined;
    if (isNew) this.options.onProblem('the upkeep of the shared decision log failed; it is tried again', error);
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.running.then(work);
    this.running = done.catch(() => undefined);
    return done;
  }
}
