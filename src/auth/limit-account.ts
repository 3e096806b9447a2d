import { burstPeriods, emptyUse, inPeriod, type LimitUse, leftOf, shareOf } from './limit-use.js';
import type { LimitCharge, LimitCounter } from './limit-uses.js';
import { type Allowance, secondsTo } from './limiters.js';

/**
 * What a limit does while the database is away. `open`: each replica counts alone, and passes the whole limit. `share`: each
 * passes its share of the limit. `close`: each passes what is left of its last lease, and then nothing.
 */
export type WhileAway = 'open' | 'share' | 'close';

/** What accounts need to know of the moment. */
export interface LeaseTerms {
  /** How many replicas divide a limit of which nothing is known yet. */
  readonly replicas: number;
  /** Whether the database does not answer. */
  isAway(now: number): boolean;
  /** Hears of a call that is refused for want of a lease. */
  refused(counter: LimitCounter): void;
  /** The time by the clock of the database, in milliseconds since 1970. */
  timeAt(now: number): number;
}

/**
 * One limit of one caller on this replica.
 *
 * All replicas count into one number in PostgreSQL, behind the answers. Each answer of PostgreSQL says what is left, and half of
 * this replica's share of that is its *lease*: the points that it passes before it has to hear again. The shares of all replicas
 * add up to one. A period, and a caller that is new, begin with a lease of the whole share, so no request waits.
 *
 * The last call of a lease may take more than is left of it, but never more than was known to be left of the limit; so a
 * batch that is larger than a lease passes.
 *
 * Times are in milliseconds of a clock that never goes back, if nothing else is said.
 */
export class LimitAccount {
  /** Whether it waits to be told to the others. */
  isDue = false;
  /** Whether the database has ever answered for it. */
  isKnown = false;
  private use: LimitUse;
  private endsAt = Number.NEGATIVE_INFINITY;
  private share = 0;
  private left = 0;
  private lease = 0;
  /** Points passed, and points asked for, that were not charged yet. */
  private spent = 0;
  private asked = 0;
  /** Those of them that were sent and not answered. */
  private sentSpent = 0;
  private sentAsked = 0;
  /** Whether a call was refused for want of a lease. */
  private isWanting = false;
  /** What this replica was asked for, as far as it was charged, by period. */
  private own = { period: 0, asked: 0, askedBefore: 0 };

  constructor(
    readonly counter: LimitCounter,
    private readonly whileAway: WhileAway,
  ) {
    this.use = emptyUse(Number.NEGATIVE_INFINITY);
  }

  /** True if something is to be told, or asked. */
  get hasNews(): boolean {
    return this.spent !== 0 || this.isWanting;
  }

  /** True if half of the lease is gone, so that it is time to ask for another. */
  get isShort(): boolean {
    return this.spent * 2 >= this.lease;
  }

  take(points: number, now: number, terms: LeaseTerms): Allowance {
    if (now >= this.endsAt) this.begin(now, terms);
    this.asked += points;
    if (points > this.left - this.spent) return this.refuse(this.passesAt(points), now);
    if (this.spent >= this.lease) {
      const isAway = terms.isAway(now);
      if (!isAway || this.whileAway !== 'open') return this.want(isAway, now, terms);
    }
    this.spent += points;
    return { limited: false, remaining: this.remaining, resetSeconds: secondsTo(this.endsAt, now) };
  }

  giveBack(points: number, now: number): void {
    // Points of a period that is over are not needed any more.
    if (now >= this.endsAt) return;
    this.spent -= points;
    this.asked -= points;
  }

  /** What is to be charged; until it is answered, or failed, it stays counted here. */
  charge(): LimitCharge {
    this.sentSpent = this.spent;
    this.sentAsked = this.asked;
    return { counter: this.counter, points: this.spent, asked: this.asked };
  }

  answered(use: LimitUse, now: number, terms: LeaseTerms): void {
    this.isKnown = true;
    this.isWanting = false;
    this.spent -= this.sentSpent;
    this.asked -= this.sentAsked;
    this.countOwn(use.period, this.sentAsked);
    this.sentSpent = 0;
    this.sentAsked = 0;
    this.share = shareOf(this.own.asked + this.own.askedBefore, use, terms.replicas);
    this.goOn(use, now, terms);
    // Others have passed points meanwhile that they have not told, so half of the share has to be enough until the next answer.
    this.lease = terms.replicas === 1 ? this.left : Math.ceil((this.left * this.share) / 2);
  }

  /** Nobody knows whether the charge was counted, so it will be charged again. */
  failed(): void {
    this.sentSpent = 0;
    this.sentAsked = 0;
  }

  private get remaining(): number {
    return Math.max(0, this.counter.rate.points - this.use.used - this.spent);
  }

  private begin(now: number, terms: LeaseTerms): void {
    const isAway = terms.isAway(now);
    const before = this.use;
    // What was passed alone is counted alone, and its period is over. Quotas that are shared are charged for it even so.
    if (!this.isKnown || (isAway && this.whileAway !== 'close')) {
      this.goOn({ ...before, used: before.used + this.spent }, now, terms);
      this.spent = 0;
      this.asked = 0;
      this.failed();
    } else this.goOn(before, now, terms);
    // Who asked where long ago says nothing.
    if (this.use.period > before.period + 1) this.share = 1 / terms.replicas;
    this.lease = isAway && this.whileAway === 'close' ? 0 : Math.ceil(this.left * this.share);
  }

  /** Takes a use for what it is in the period of now. One of a later time, since the clock was set back, begins again. */
  private goOn(use: LimitUse, now: number, terms: LeaseTerms): void {
    const { rate, phaseMs } = this.counter;
    const periodMs = rate.seconds * 1000;
    const time = terms.timeAt(now);
    const period = Math.floor((time + phaseMs) / periodMs);
    // Another replica may have taken it on to the next period a moment before.
    this.use = use.period > period + 1 ? emptyUse(period) : inPeriod(use, period, rate);
    this.endsAt = now + (this.use.period + 1) * periodMs - phaseMs - time;
    this.left = leftOf(this.use, rate);
  }

  private countOwn(period: number, asked: number): void {
    const { own } = this;
    // An earlier one: the clock was set back.
    if (period !== own.period) {
      own.askedBefore = period === own.period + 1 ? own.asked : 0;
      own.asked = 0;
      own.period = period;
    }
    own.asked += asked;
  }

  /** Refuses a call for want of a lease: points may be left, of which nobody has told this replica. */
  private want(isAway: boolean, now: number, terms: LeaseTerms): Allowance {
    this.isWanting = true;
    terms.refused(this.counter);
    if (!isAway) return this.refuse(now, now);
    if (this.whileAway === 'share') return this.refuse(this.endsAt, now);
    return { ...this.refuse(now, now), isUncounted: true };
  }

  /** When a call passes that asks for more than is left now, if no other comes. */
  private passesAt(points: number): number {
    const { rate } = this.counter;
    const { use } = this;
    const next = inPeriod({ ...use, used: use.used + this.spent }, use.period + 1, rate);
    const periods = points <= leftOf(next, rate) ? 0 : burstPeriods - 1 - (use.period % burstPeriods);
    return this.endsAt + periods * rate.seconds * 1000;
  }

  private refuse(passesAt: number, now: number): Allowance {
    return { limited: true, remaining: this.remaining, resetSeconds: secondsTo(passesAt, now) };
  }
}
