import { setTimeout as delay } from 'node:timers/promises';
import { normaliseRequest } from '../../core/request.js';
import type { DecisionLog } from '../../decision-log/decision-log.js';
import type { LocalDecision, NewDecisionRecord } from '../../decision-log/decision-record.js';
import {
  type LocalInstances,
  type MissingRecords,
  mostInstances,
  type OpenClaim,
  type SilentInstance,
} from '../../decision-log/local/local-instances.js';
import type { LogPlace } from '../../decision-log/local/log-place.js';
import { maskedAnswer } from '../../decision-log/local/masked-answer.js';
import { timeText } from '../../decision-log/time-text.js';
import { VerdictError } from '../../errors.js';
import type { PolicyStore } from '../../policy-store/policy-store.js';
import { Turns, turnMs } from '../../turns/turns.js';
import type { DecisionRecorder } from '../decision-recorder.js';
import { requestedClock } from '../pdp.js';
import type { Asker } from '../question.js';
import { refusalOfLoss, refusalOfTime, refuseClock } from './clocks.js';
import { disputedAnswer, isSame } from './compared-answers.js';
import { NamedVersions, type RequestVersions } from './named-versions.js';
import {
  type LocalRecordResult,
  localRecordResults,
  type RefusedRecord,
  type SentItem,
  type SentRecord,
  type SentRecords,
  type TakenRecords,
  type TakingOptions,
} from './sent-records.js';
import { Taking } from './taking.js';

/** Most records in one turn: as many as one commit takes. */
const turnRecords = 128;
const resolvePauseMs = 1_000;
const upkeepMs = 3_600_000;

export interface LocalRecordsOptions {
  readonly policySets: Pick<PolicyStore, 'served' | 'version'>;
  readonly log: DecisionLog;
  readonly instances: LocalInstances;
  readonly recorder: Pick<DecisionRecorder, 'recordOf'>;
  /** Hears what an operator should know of a client. */
  readonly onClient: (what: string, about: object) => void;
  readonly onProblem: (what: string, error: unknown) => void;
}

/**
 * The decisions that clients made in their own processes. Each is decided again by the version that the client names, at its
 * clock, before it is recorded: what the record says of the answer is what the policy says, and a client that says otherwise is
 * quoted beside it.
 *
 * Numbers are taken once, on any replica (local-instances.ts): a claim is noted, the records are appended, and what
 * became of it is noted. Where that cannot be noted, or the process ends before it is, the log itself tells.
 */
export class LocalRecords {
  readonly counts = new Map<LocalRecordResult, number>(localRecordResults.map((result) => [result, 0]));
  /** What goes on with an instance now. */
  private readonly busy = new Map<string, Promise<void>>();
  private readonly versions: NamedVersions;
  /** True if a claim of this process may be open that nobody works on: at first those of the process before. */
  private hasOpenClaims = true;
  private resolving: Promise<void> | undefined;
  /** False until the claims of the process before are settled. */
  private isCaughtUp = false;
  /** Beginnings of gaps that are owed and may not be noted yet. */
  private readonly reserved = new Set<string>();
  private timers: NodeJS.Timeout[] = [];

  constructor(private readonly options: LocalRecordsOptions) {
    this.versions = new NamedVersions(options.policySets);
  }

  /** Settles what the process before left open; while that cannot be done, it is tried again. */
  async start(): Promise<void> {
    this.timers = [
      setInterval(() => void this.resolveOpen(), resolvePauseMs).unref(),
      setInterval(() => void this.lookAfterInstances(Date.now()), upkeepMs).unref(),
    ];
    await this.resolveOpen();
    // A process that is started anew each hour would never come to it.
    if (this.isCaughtUp) void this.lookAfterInstances(Date.now());
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.resolving;
    await Promise.all(this.busy.values());
  }

  /**
   * Takes records of an instance. Numbers that are known are passed over, so that a repeat changes nothing.
   *
   * @throws VerdictError `clock_off`, `records_missing`, `instance_taken`, `too_many_requests`; `records_in_progress` while
   *   another request or replica takes records of this instance; `decision_log_unavailable`. None of these loses a number:
   *   the client sends the records again
   */
  take(sent: SentRecords, asker: Asker, options: TakingOptions): Promise<TakenRecords> {
    refuseClock(sent.sentAt, Date.now());
    return this.alone(sent.instance, options.endsAt, () => this.takeNow(sent, asker, options));
  }

  private async alone<Result>(instance: string, endsAt: number, work: () => Promise<Result>): Promise<Result> {
    for (let before = this.busy.get(instance); before !== undefined; before = this.busy.get(instance)) {
      const waiting = new AbortController();
      const late = delay(Math.max(0, endsAt - performance.now()), 'late' as const, { signal: waiting.signal });
      const ended = await Promise.race([before, late.catch(() => undefined)]);
      waiting.abort();
      if (ended === 'late') throw inProgress();
    }
    const result = work();
    const ended = result.then(
      () => undefined,
      () => undefined,
    );
    this.busy.set(instance, ended);
    void ended.then(() => this.busy.delete(instance));
    return result;
  }

  private async takeNow(sent: SentRecords, asker: Asker, options: TakingOptions): Promise<TakenRecords> {
    const { instance } = sent;
    const open = await this.claim(sent, asker);
    let taking: Taking;
    try {
      taking = await this.takeItems(sent, open, asker, options);
    } catch (error) {
      this.hasOpenClaims = true;
      await this.resolve(open).catch(() => undefined);
      throw error;
    }
    const { next, isAll } = taking;
    const known = open.taken.joined([], Math.max(open.next, next));
    const settlement = { instance, claim: open.claim, next: known.next, taken: known.ranges, ended: sent.end && isAll };
    try {
      const owed = await this.owed(taking.missing, open.place);
      if (owed.length > 0) {
        if (!(await this.options.instances.settle({ ...settlement, owed }))) throw inProgress();
        await this.noteOwed(owed, open.place);
      }
      if (!(await this.options.instances.settle(settlement))) throw inProgress();
    } catch (error) {
      this.hasOpenClaims = true;
      throw error;
    }
    this.tell(taking, instance, asker);
    return { next: known.next, disputed: taking.disputed, refused: taking.refused };
  }

  /** @throws VerdictError */
  private async claim({ instance, first }: SentRecords, { caller, authentication }: Asker): Promise<OpenClaim> {
    const { instances, log } = this.options;
    // Gaps that the process before owes are not reserved here.
    if (!this.isCaughtUp) await this.resolveOpen();
    if (!this.isCaughtUp) throw inProgress();
    for (;;) {
      const { place } = log;
      let outcome: Awaited<ReturnType<LocalInstances['claim']>>;
      try {
        outcome = await instances.claim({ instance, caller, authentication, first, place, now: Date.now() });
      } catch (error) {
        // It may have been noted all the same.
        this.hasOpenClaims = true;
        throw error;
      }
      switch (outcome.kind) {
        case 'claimed':
          return { instance, claim: outcome.claim, place, next: outcome.next, taken: outcome.taken, owed: undefined };
        case 'open':
          await this.resolve(outcome.open);
          break;
        case 'missing':
          throw recordsMissing(first, outcome.next);
        case 'taken':
          throw new VerdictError('instance_taken', `The instance ${instance} is another caller's.`);
        case 'full':
          throw new VerdictError(
            'too_many_requests',
            `The caller has ${mostInstances} instances that were heard of within a day, which is the most that there may be.`,
            { retryAfter: 60 },
          );
      }
    }
  }

  /** Settles a claim by what stands in the log. @throws VerdictError `records_in_progress` while only another replica knows */
  private async resolve({ instance, claim, place, next, taken, owed }: OpenClaim): Promise<void> {
    const { instances, log } = this.options;
    if (place !== undefined && (await log.standing(place.writer)) === 'away') throw inProgress();
    if (owed !== undefined) {
      await this.noteOwed(owed, place);
      await instances.settle({ instance, claim, next, taken });
      return;
    }
    const numbers = place === undefined ? [] : await log.recordedNumbers(instance, place);
    const known = taken.joined(numbers, next);
    await instances.settle({ instance, claim, next: known.next, taken: known.ranges });
  }

  /**
   * The gaps as they are noted: each with a beginning that no other of its cause has behind the place, a few milliseconds earlier
   * if need be, so that it is known again.
   */
  private async owed(missing: readonly MissingRecords[], place: LogPlace | undefined): Promise<MissingRecords[]> {
    if (missing.length === 0 || place === undefined) return [];
    const owed: MissingRecords[] = [];
    for (const each of missing) {
      let times: ReadonlySet<number> = new Set();
      for (let { since } = each; ; since--) {
        const own = { ...each, since };
        const name = nameOf(own);
        if (times.has(since) || this.reserved.has(name)) continue;
        this.reserved.add(name);
        // Read behind the reservation: one who had the time before has noted it by now. All are read at once, since many may follow.
        times = await this.options.log.notedTimes(own.cause, place);
        if (!times.has(since)) {
          owed.push(own);
          break;
        }
        this.reserved.delete(name);
      }
    }
    return owed;
  }

  /** Notes gaps behind a place that are not noted there yet. */
  private async noteOwed(owed: readonly MissingRecords[], place: LogPlace | undefined): Promise<void> {
    const { log } = this.options;
    for (const missing of owed) {
      const isNoted = place !== undefined && (await log.notedTimes(missing.cause, place)).has(missing.since);
      if (!isNoted) await log.noteMissing(missing);
      this.reserved.delete(nameOf(missing));
    }
  }

  /** Settles the claims that this process, or the one before it, left open. */
  private resolveOpen(): Promise<void> {
    if (!this.hasOpenClaims) return Promise.resolve();
    this.resolving ??= this.resolveAll().finally(() => {
      this.resolving = undefined;
    });
    return this.resolving;
  }

  private async resolveAll(): Promise<void> {
    const { instances, log } = this.options;
    try {
      const { place } = log;
      this.hasOpenClaims = false;
      const open = await instances.openClaims(place?.writer);
      for (const claim of open) {
        // Until all are settled nobody makes another; afterwards who works on one settles it.
        if (!this.isCaughtUp) await this.resolve(claim);
        else if (!this.busy.has(claim.instance))
          await this.alone(claim.instance, performance.now() + upkeepMs, () => this.resolve(claim));
      }
      this.isCaughtUp = true;
    } catch {
      // While the log or the database is away, that is reported where it began.
      this.hasOpenClaims = true;
    }
  }

  private async takeItems(sent: SentRecords, open: OpenClaim, asker: Asker, options: TakingOptions): Promise<Taking> {
    const { endsAt, isGone } = options;
    const taking = new Taking(sent.first);
    const versions = this.versions.forRequest(asker);
    const items = sent.items[Symbol.iterator]();
    const turns = new Turns();
    let left = sent.count;
    let number = sent.first;
    while (left > 0) {
      await turns.next();
      if (isGone() || performance.now() > endsAt) return taking;
      const records: NewDecisionRecord[] = [];
      const turnEnds = performance.now() + turnMs;
      let isLoadLeft = true;
      do {
        const item = items.next().value as SentItem;
        const end = number + ('lost' in item ? item.lost : 1);
        // Those that lie below are known; of a loss it may be a part.
        const from = Math.max(number, open.next);
        if (end <= from || open.taken.has(number)) taking.repeated += end - number;
        else if ('lost' in item) {
          const refusal = refusalOfLoss(item, Date.now());
          if (refusal === undefined) taking.lose(from, end, item);
          else taking.refuse(from, item, refusal, end - from);
        } else {
          const place = { instance: sent.instance, number };
          const outcome = item instanceof VerdictError ? item : await this.decide(item, place, asker, versions);
          if (outcome === undefined) {
            isLoadLeft = false;
            break;
          }
          if (outcome instanceof VerdictError) taking.refuse(number, item, outcome);
          else records.push(outcome);
        }
        number = end;
        left--;
      } while (left > 0 && records.length < turnRecords && performance.now() < turnEnds);
      const recorded = await this.append(records, endsAt);
      taking.add(records.slice(0, recorded), recorded < records.length ? records[recorded]!.local!.number : number);
      if (recorded < records.length || !isLoadLeft) return taking;
    }
    taking.isAll = true;
    return taking;
  }

  /** Appends records in their order; says how many there was room for in time. */
  private async append(records: readonly NewDecisionRecord[], endsAt: number): Promise<number> {
    const { log } = this.options;
    let done = 0;
    while (done < records.length) {
      const room = await log.roomForBulk(records.length - done, Math.max(0, endsAt - performance.now()));
      if (room === 0) break;
      await log.appendBulk(records.slice(done, done + room), room);
      done += Math.min(room, records.length - done);
    }
    return done;
  }

  /** The record of what a client decided, decided again; or why it is not taken; undefined where no version may be loaded for it. */
  private async decide(
    item: SentRecord,
    { instance, number }: { readonly instance: string; readonly number: number },
    asker: Asker,
    versions: RequestVersions,
  ): Promise<NewDecisionRecord | VerdictError | undefined> {
    try {
      const started = performance.now();
      const received = Date.now();
      const { decidedAt, policySet, policyVersion, request: input, answer } = item;
      const refusal = refusalOfTime(decidedAt, received);
      if (refusal !== undefined) return refusal;
      const found = versions.of(policySet, policyVersion);
      const named = found instanceof Promise ? await found : found;
      if (named === undefined || named instanceof VerdictError) return named;
      const { set, mask } = named;
      const now = input.at === undefined ? decidedAt : requestedClock(set, input.at, asker);
      const request = normaliseRequest(input);
      const evaluated = set.evaluate(request, { now, explain: 'brief' });
      const decided = evaluated instanceof Promise ? await evaluated : evaluated;
      const { decision, reason, errors, obligations } = decided;
      const { caller, authentication, via } = asker;
      const { requestId = `${instance}-${number}`, traceId, durationUs = 0 } = item;
      const local: LocalDecision = { instance, number, decidedAt: timeText(decidedAt) };
      const record = this.options.recorder.recordOf(
        set,
        { request, received, now, started, durationUs, decision, reason, errors, obligations, local },
        { caller, authentication, via, requestId, traceId },
        mask,
      );
      if (isSame(answer, decided)) return record;
      return { ...record, disputed: maskedAnswer(disputedAnswer(answer, item.engineVersion), request, record.request) };
    } catch (error) {
      if (error instanceof VerdictError && error.status < 500) return error;
      throw error;
    }
  }

  private tell(taking: Taking, instance: string, { caller }: Asker): void {
    const { recorded, disputed, refused, lost, repeated } = taking;
    for (const [result, n] of Object.entries({ recorded, disputed, refused: refused.length, lost, repeated })) {
      this.counts.set(result as LocalRecordResult, this.counts.get(result as LocalRecordResult)! + n);
    }
    if (disputed > 0)
      this.options.onClient('a client answered otherwise than its policy', { caller, instance, disputed });
    if (lost > 0) this.options.onClient('a client lost records of its decisions', { caller, instance, lost });
    if (refused.length > 0) {
      const [{ number, code, message }] = refused as [RefusedRecord];
      this.options.onClient('records of a client were refused', {
        caller,
        instance,
        refused: refused.length,
        first: { number, code, message },
      });
    }
  }

  private async noteSilent({ instance, claim, place, next, taken, owed: gaps }: SilentInstance): Promise<void> {
    const { instances } = this.options;
    const owed = await this.owed(gaps, place);
    // Otherwise the claim was settled meanwhile, with its gap.
    if (!(await instances.settle({ instance, claim, next, taken, owed }))) return;
    await this.noteOwed(owed, place);
    await instances.settle({ instance, claim, next, taken });
  }

  /** Forgets instances, and says of those that ended without a word that nobody knows what they lost. */
  async lookAfterInstances(now: number): Promise<void> {
    const { instances, log, onClient, onProblem } = this.options;
    try {
      for (const silent of await instances.silent(now, log.place)) {
        const { instance, caller } = silent;
        onClient('a client was not heard of for a day and did not say that it ended', { caller, instance });
        await this.alone(instance, performance.now() + upkeepMs, () => this.noteSilent(silent));
      }
      await instances.forget(now);
    } catch (error) {
      // What is claimed and was not noted is noted later.
      this.hasOpenClaims = true;
      onProblem('instances of clients could not be looked after', error);
    }
  }
}

function nameOf({ cause, since }: MissingRecords): string {
  return `${cause} ${since}`;
}

function recordsMissing(first: number, next: number): VerdictError {
  const detail = `The records ${next} to ${first - 1} were not sent; the next one is ${next}.`;
  return new VerdictError('records_missing', detail, { next });
}

function inProgress(): VerdictError {
  const detail = 'Records of this instance are being taken by another request or replica, or by one that has ended.';
  return new VerdictError('records_in_progress', detail, { retryAfter: 1 });
}
