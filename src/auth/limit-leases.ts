import { isAway } from '../database/database-error.js';
import type { LeaseTerms, LimitAccount } from './limit-account.js';
import type { LimitCharge, LimitCounter, LimitUses } from './limit-uses.js';
import type { CountedKind } from './limiters.js';

export interface LimitLeasesOptions {
  readonly uses: LimitUses;
  /** How long ago the database was heard of, in milliseconds. */
  readonly silentMs: () => number;
  /** Hears once of each failure in a row that is not the database's absence, which others tell of. */
  readonly onProblem: (what: string, error: unknown) => void;
  /** Returns milliseconds and never goes back. */
  readonly clock?: () => number;
}

/** Pause between two statements, in milliseconds, and that before one that an account waits for, whose lease runs out. */
export const renewMs = 50;
export const hurriedMs = 20;
/** The same after a failure. */
const retryMs = 250;
/** A database that has not answered a statement for so long, in milliseconds, is away. */
const patienceMs = 1_000;
/** A database that was not heard of for so long, in milliseconds, is away. */
export const silentAwayMs = 2_000;
/** Most counters that one statement charges. */
const mostCharges = 1_000;
/** Most accounts that wait to be charged; uses of further ones are charged when there is room. */
export const mostDue = 50_000;
const pruneMs = 60_000;
/**
 * Most counters of one kind in the database. Anybody can make some, by failing to authenticate from many addresses. Callers
 * beyond it are counted by each replica alone, which passes its share.
 */
export const mostCounters = 100_000;

/**
 * Renews the leases of this replica behind its answers: what it has passed is charged, of all limits and callers together by
 * one statement at a time, at most 50 a second. Decisions never wait for that.
 */
export class LimitLeases implements LeaseTerms {
  /** How many replicas there are, as was last known. */
  replicas = 1;
  /** Statements that were answered, and those that were not. */
  readonly renewals = { answered: 0, failed: 0 };
  /** Calls that were refused for want of a lease, by the kind of the limit. */
  readonly refusals = new Map<CountedKind, number>();
  readonly clock: () => number;
  private due: LimitAccount[] = [];
  /** Since when something waits that was not charged. */
  private waitingSince: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private timerAt = Number.POSITIVE_INFINITY;
  private asking: Promise<void> | undefined;
  private askedAt = Number.NEGATIVE_INFINITY;
  private isFailing = false;
  private isStopped = false;
  /** Added to the own clock it is that of the database; until that has said its time, that of this machine. */
  private clockOffset: number;
  private prunedAt = Number.NEGATIVE_INFINITY;
  /** How many counters of each kind may still be made. */
  private readonly room = new Map<string, number>();

  constructor(private readonly options: LimitLeasesOptions) {
    this.clock = options.clock ?? (() => performance.now());
    this.clockOffset = Date.now() - this.clock();
  }

  start(): void {
    void this.options.uses.prepare();
  }

  /** Charges what is left to charge, unless the database is away. An answer that is late is not waited for. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    let isInTime = this.asking === undefined || (await isDoneIn(patienceMs, this.asking));
    while (isInTime && this.due.length > 0 && !this.isAway(this.clock())) {
      isInTime = await isDoneIn(patienceMs, this.ask());
    }
  }

  isAway(_now: number): boolean {
    return this.isFailing || this.options.silentMs() > silentAwayMs;
  }

  refused({ kind }: LimitCounter): void {
    this.refusals.set(kind, (this.refusals.get(kind) ?? 0) + 1);
  }

  timeAt(now: number): number {
    return now + this.clockOffset;
  }

  /** How long ago the oldest use was, in milliseconds, that others cannot know of; 0: there is none. */
  get untoldMs(): number {
    return this.waitingSince === undefined ? 0 : this.clock() - this.waitingSince;
  }

  /** Has an account charged soon; hurried, if its lease runs out. */
  note(account: LimitAccount, now: number, isHurried: boolean): void {
    if (!account.isDue) {
      if (this.due.length >= mostDue) return;
      account.isDue = true;
      this.due.push(account);
      this.waitingSince ??= now;
    } else if (!isHurried) return;
    if (this.asking === undefined) this.askAt(this.isFailing ? retryMs : isHurried ? hurriedMs : renewMs, now);
  }

  /** @param pauseMs since the last statement */
  private askAt(pauseMs: number, now: number): void {
    const at = Math.max(now, this.askedAt + pauseMs);
    if (this.isStopped || at >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(() => {
      this.timerAt = Number.POSITIVE_INFINITY;
      this.asking = this.ask().finally(() => {
        this.asking = undefined;
        if (this.due.length === 0) return;
        const isHurried = this.due.some((account) => account.isShort);
        this.askAt(this.isFailing ? retryMs : isHurried ? hurriedMs : renewMs, this.clock());
      });
    }, at - now);
    this.timer.unref();
  }

  /**
   * Charges accounts that are due. Does not throw.
   *
   * An answer that is late is waited for all the same: a statement that is left to itself is counted sooner or later, so its
   * charges would be counted twice, and looks for changes would queue behind all of them.
   */
  private async ask(): Promise<void> {
    const began = this.clock();
    this.askedAt = began;
    const asked = this.takeDue();
    const charges = [...asked.values()].map((account) => account.charge());
    const late = setTimeout(() => this.away(new Error(`there is no answer for ${patienceMs} ms`)), patienceMs);
    late.unref();
    try {
      if (charges.length > 0) await this.charge(charges, asked, began);
      // What failed before is beyond the room now: nothing is left that an answer would be for.
      else if (this.due.length === 0) this.isFailing = false;
    } catch (error) {
      this.fail(asked.values(), error);
    } finally {
      clearTimeout(late);
    }
    this.waitingSince = this.due.length === 0 ? undefined : (this.waitingSince ?? began);
    if (!this.isFailing && began - this.prunedAt >= pruneMs) void this.prune(began);
  }

  private async charge(
    charges: readonly LimitCharge[],
    accounts: ReadonlyMap<string, LimitAccount>,
    began: number,
  ): Promise<void> {
    const { now: time, uses } = await this.options.uses.charge(charges);
    const now = this.clock();
    this.clockOffset = time - (began + now) / 2;
    for (const [id, use] of uses) {
      const account = accounts.get(id)!;
      // One that was not known may have been made by this.
      const { kind } = account.counter;
      if (!account.isKnown) this.room.set(kind, this.roomOf(kind) - 1);
      account.answered(use, now, this);
    }
    this.renewals.answered++;
    // While others wait, an answer that was late says nothing of the next: whether that is in time, they show.
    this.isFailing = now - began >= patienceMs && this.due.length > 0;
    this.waitingSince = undefined;
  }

  private fail(accounts: Iterable<LimitAccount>, error: unknown): void {
    this.renewals.failed++;
    for (const account of accounts) {
      account.failed();
      if (account.isDue) continue;
      account.isDue = true;
      this.due.push(account);
    }
    this.away(error);
  }

  private away(error: unknown): void {
    if (!this.isFailing && !this.isStopped && this.options.silentMs() <= silentAwayMs) {
      this.options.onProblem('the uses of limits cannot be shared with other replicas', error);
    }
    this.isFailing = true;
  }

  /** The accounts of the next statement, by their counters. Those beyond the room for counters are counted here alone. */
  private takeDue(): Map<string, LimitAccount> {
    const taken = new Map<string, LimitAccount>();
    const room = new Map<string, number>();
    for (const account of this.due.splice(0, mostCharges)) {
      const { id, kind } = account.counter;
      // One that was forgotten and made anew has the same counter, which a statement can charge once.
      if (taken.has(id)) {
        this.due.push(account);
        continue;
      }
      account.isDue = false;
      if (!account.isKnown) {
        const left = room.get(kind) ?? this.roomOf(kind);
        if (left < 1) continue;
        room.set(kind, left - 1);
      }
      taken.set(id, account);
    }
    return taken;
  }

  private roomOf(kind: string): number {
    return this.room.get(kind) ?? mostCounters / this.replicas;
  }

  /** Does not throw. */
  private async prune(now: number): Promise<void> {
    this.prunedAt = now;
    try {
      const counts = await this.options.uses.prune();
      this.room.clear();
      for (const [kind, count] of counts) this.room.set(kind, Math.max(0, mostCounters - count) / this.replicas);
    } catch (error) {
      if (!isAway(error) && !this.isStopped) this.options.onProblem('old uses of limits cannot be removed', error);
    }
  }
}

/** Whether work, which does not throw, is done in time; longer than that it is not waited for. */
async function isDoneIn(ms: number, work: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
    timer.unref();
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
