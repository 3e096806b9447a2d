import { setTimeout as delay } from 'node:timers/promises';
import type { EngineDecision } from '../core/decision.js';
import type { DecisionRequest, Json } from '../core/request.js';
import { isInShare, subjectTypeOf } from '../policy-store/candidates/canary-share.js';
import type { ComparedDecision, DifferenceKind } from '../policy-store/candidates/candidate.js';
import type { PolicyCandidates } from '../policy-store/candidates/policy-candidates.js';
import { type Comparable, comparable, isFor, type Trial, type Trials } from '../policy-store/candidates/trial.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import { Turns } from '../turns/turns.js';
import { revisionOf } from './demand.js';
import type { Question } from './question.js';

/** Longest time of one turn, in milliseconds: a request that comes meanwhile waits for it. */
const comparingMs = 0.5;
/** Share of the event loop's time that comparing may take. Waiting for a thread of stock Casbin takes none of it. */
const comparingShare = 0.05;
/** Most decisions of a set that wait to be compared, and the characters of the requests of all sets: memory is bounded by both. */
const mostWaiting = 1_000;
const mostText = 16 * 1024 * 1024;
/** A difference is kept with a request of at most this many characters: a larger one is only counted. */
const mostKeptText = 8 * 1024;

/** An answer that is to be compared with what the other version says. */
export interface AnsweredQuestion {
  readonly request: DecisionRequest;
  /** The clock that the decision saw, in milliseconds since 1970. */
  readonly now: number;
  readonly decision: EngineDecision;
}

/** A decision of a canary. */
export interface CanaryAnswer extends AnsweredQuestion {
  /** What the active version decides; undefined where the canary did not err, and nobody knows it yet. */
  readonly byActive: EngineDecision | undefined;
  /** Undefined where it says nothing of the canary: a full explanation takes its own time. */
  readonly tookMs: number | undefined;
  /** False where the active version answered in its place. */
  readonly isAnswered: boolean;
}

interface Compared extends Pick<AnsweredQuestion, 'request' | 'now'> {
  readonly trial: Trial;
  readonly active: ServedPolicySet;
}

interface Waiting extends AnsweredQuestion, Compared {
  /** Whether the candidate gave the answer, as a canary. */
  readonly isByCandidate: boolean;
  readonly text: number;
}

interface SetQueue {
  readonly waiting: Waiting[];
  /** What a thread of stock Casbin is being asked. */
  asked: Waiting | undefined;
}

function isReady({ waiting, asked }: SetQueue): boolean {
  return waiting.length > 0 && asked === undefined;
}

/**
 * What candidates of policy sets do with requests: a canary answers for its share of the subjects, and what was answered is
 * decided again by the other of the two, active version and candidate, after the answer has left. That takes a bounded share
 * of the time and of the memory; what does not fit is skipped, and counted. Nothing that a candidate does delays an answer of
 * the active version or changes it.
 */
export class CandidateComparison {
  /** What waits, by set: sets are compared in turn, and none waits for the thread of another one. */
  private readonly queues = new Map<string, SetQueue>();
  /** The active versions as they are compared with canaries. */
  private readonly actives = new WeakMap<ServedPolicySet, Comparable>();
  private readonly stopping = new AbortController();
  private waitingText = 0;
  private comparing: Promise<void> | undefined;

  constructor(private readonly candidates: Pick<PolicyCandidates, 'add' | 'keep' | 'trials'>) {}

  /** The candidates that run; undefined while there are none. */
  get trials(): Trials | undefined {
    return this.candidates.trials;
  }

  /**
   * The version that answers: the canary for its share of the subjects, or else the active one. Who demands a revision gets
   * the active version, since a candidate has none; and while a candidate has not made a change of live data yet that the active
   * version has, nobody is answered by it: it would go on granting what was taken away.
   */
  choose(trials: Trials, active: ServedPolicySet, question: Question, request: DecisionRequest): ServedPolicySet {
    const trial = trials.get(active.name);
    if (trial === undefined || trial.candidate.mode !== 'canary' || !isFor(trial, active)) return active;
    if (revisionOf(question.atLeast, active.name) !== undefined || isBehind(trial.served, active)) return active;
    const { subjects } = trial.candidate;
    const { id } = request.subject;
    return isInShare(active.name, subjectTypeOf(active, request), id, subjects) ? trial.served : active;
  }

  /** Takes note of an answer of the active version that is about to leave. Returns at once. */
  observe(trials: Trials, active: ServedPolicySet, answered: AnsweredQuestion): void {
    const trial = trials.get(active.name);
    // Of a canary only those are compared whom it answers: the others are a shadow's.
    if (trial === undefined || trial.candidate.mode === 'canary' || !isFor(trial, active)) return;
    if (isInSample(trial)) this.enqueue({ ...answered, trial, active, isByCandidate: false });
  }

  /**
   * Takes note of a decision that a canary has made. Its errors and its time are counted of each, whatever the sample is and
   * however many wait: a canary must not go on unseen while there is no time to compare. Returns at once.
   */
  observeCanary(trials: Trials, active: ServedPolicySet, answered: CanaryAnswer): void {
    const trial = trials.get(active.name)!;
    const { byActive, decision, isAnswered, tookMs } = answered;
    if (isAnswered) this.candidates.add(trial, 'answered');
    this.noteTime(trial, tookMs);
    if (byActive !== undefined && errsAlone(byActive, decision)) {
      this.noteDifference('errors', { ...answered, trial, active }, byActive, decision);
    }
    if (!isInSample(trial)) return;
    if (byActive === undefined) this.enqueue({ ...answered, trial, active, isByCandidate: true });
    else this.noteCompared({ ...answered, trial, active }, byActive, decision);
  }

  /** The newest say most of what goes on now, so the oldest of the set give way. */
  private enqueue(answered: Omit<Waiting, 'text'>): void {
    const { trial, active, request } = answered;
    const text = textOf(request);
    const { waiting } = this.queueOf(active.name);
    const hasRoom = () => waiting.length < mostWaiting && this.waitingText + text <= mostText;
    if (text <= mostText)
      while (waiting.length > 0 && !hasRoom()) this.candidates.add(this.take(waiting).trial, 'skipped');
    if (this.isStopped || !hasRoom()) {
      this.candidates.add(trial, 'skipped');
      return;
    }
    waiting.push({ ...answered, text });
    this.waitingText += text;
    this.comparing ??= this.compareAll();
  }

  private queueOf(name: string): SetQueue {
    let queue = this.queues.get(name);
    if (queue === undefined) {
      queue = { waiting: [], asked: undefined };
      this.queues.set(name, queue);
    }
    return queue;
  }

  private take(waiting: Waiting[]): Waiting {
    const oldest = waiting.shift()!;
    this.waitingText -= oldest.text;
    return oldest;
  }

  private get isStopped(): boolean {
    return this.stopping.signal.aborted;
  }

  /** Resolves when nothing is being compared any more. What waits, also for a thread of stock Casbin, is skipped. */
  async stop(): Promise<void> {
    this.stopping.abort();
    for (const { waiting, asked } of this.queues.values()) {
      for (const { trial } of asked === undefined ? waiting : [asked, ...waiting])
        this.candidates.add(trial, 'skipped');
    }
    this.queues.clear();
    await this.comparing;
  }

  /** Does not throw. Ends when nothing waits but for a thread. */
  private async compareAll(): Promise<void> {
    // The answer leaves first.
    await this.pause(1);
    const turns = new Turns(0, comparingMs);
    while (this.hasNext()) {
      await turns.next();
      const began = performance.now();
      let spent = 0;
      for (let queue = this.next(); queue !== undefined && spent < comparingMs; queue = this.next()) {
        this.compareOne(queue);
        spent = performance.now() - began;
      }
      await this.pause(spent / comparingShare - spent);
    }
    this.comparing = undefined;
  }

  /** Ends at once where nothing is compared any more. */
  private async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }

  private hasNext(): boolean {
    return [...this.queues.values()].some(isReady);
  }

  /** The set whose turn it is; it is the last one then. */
  private next(): SetQueue | undefined {
    for (const [name, queue] of this.queues) {
      if (!isReady(queue)) continue;
      this.queues.delete(name);
      this.queues.set(name, queue);
      return queue;
    }
    return undefined;
  }

  private compareOne(queue: SetQueue): void {
    const answered = this.take(queue.waiting);
    const { trial, active, request, now, isByCandidate } = answered;
    const began = performance.now();
    try {
      const { evaluate } = isByCandidate ? this.activeOf(active) : trial;
      const decided = evaluate(request, { now, explain: 'none' });
      if (decided instanceof Promise) {
        queue.asked = answered;
        void this.compareLater(queue, answered, decided, began);
      } else this.noteOther(answered, decided, performance.now() - began);
    } catch {
      // No policy file can cause this.
      this.candidates.add(trial, 'skipped');
    }
  }

  /** A thread of stock Casbin has a deadline of its own; meanwhile other sets are compared. Does not throw. */
  private async compareLater(
    queue: SetQueue,
    answered: Waiting,
    decided: Promise<EngineDecision>,
    began: number,
  ): Promise<void> {
    const other = await decided.catch(() => undefined);
    // What was still being asked was counted then.
    if (this.isStopped) return;
    queue.asked = undefined;
    // A thread can end.
    if (other === undefined) this.candidates.add(answered.trial, 'skipped');
    else this.noteOther(answered, other, performance.now() - began);
    if (isReady(queue)) this.comparing ??= this.compareAll();
  }

  private noteOther(answered: Waiting, other: EngineDecision, tookMs: number): void {
    const { trial, decision, isByCandidate } = answered;
    if (isByCandidate) {
      // It would have had more steps than there are to compare.
      const isUnknown = this.activeOf(answered.active).isCut && isEnded(other);
      if (isUnknown) this.candidates.add(trial, 'skipped');
      else this.noteCompared(answered, other, decision);
      return;
    }
    this.noteTime(trial, tookMs);
    if (errsAlone(decision, other)) this.noteDifference('errors', answered, decision, other);
    this.noteCompared(answered, decision, other);
  }

  private activeOf(active: ServedPolicySet): Comparable {
    let known = this.actives.get(active);
    if (known === undefined) {
      known = comparable(active);
      this.actives.set(active, known);
    }
    return known;
  }

  private noteTime(trial: Trial, tookMs = 0): void {
    this.candidates.add(trial, 'timed');
    if (tookMs > trial.candidate.gates.maxLatencyMs) this.candidates.add(trial, 'slow');
  }

  /** Errors are noted where they are seen: of a canary also where nothing is compared. */
  private noteCompared(about: Compared, before: EngineDecision, after: EngineDecision): void {
    this.candidates.add(about.trial, 'compared');
    if (before.decision !== after.decision) {
      this.noteDifference(after.decision === 'allow' ? 'gained' : 'lost', about, before, after);
    } else if (!isSame(before.obligations, after.obligations)) {
      this.noteDifference('obligations', about, before, after);
    }
  }

  private noteDifference(kind: DifferenceKind, about: Compared, before: EngineDecision, after: EngineDecision): void {
    const { trial, active, request, now: clock } = about;
    this.candidates.add(trial, kind);
    if (textOf(request) > mostKeptText) return;
    this.candidates.keep(trial, {
      kind,
      clock,
      request: trial.served.mask(active.mask(request)),
      active: sideOf(active, before),
      candidate: sideOf(trial.served, after),
    });
  }
}

function isInSample({ candidate: { sample } }: Trial): boolean {
  return Math.random() < sample;
}

/** Whether live data that the canary reads have changed since: only the active version has the change. */
function isBehind({ dataRevision }: ServedPolicySet, active: ServedPolicySet): boolean {
  return dataRevision !== undefined && active.dataRevision !== undefined && dataRevision < active.dataRevision;
}

function isEnded({ errors }: EngineDecision): boolean {
  return errors.some(({ code }) => code === 'step_budget_exceeded');
}

/** An error that the active version has, too, is not the candidate's. */
function errsAlone(active: EngineDecision, candidate: EngineDecision): boolean {
  return candidate.errors.length > 0 && active.errors.length === 0;
}

function isSame(a: readonly Json[], b: readonly Json[]): boolean {
  return (a.length === 0 && b.length === 0) || JSON.stringify(a) === JSON.stringify(b);
}

function sideOf({ version }: ServedPolicySet, { decision, reason, errors }: EngineDecision): ComparedDecision {
  return { policyVersion: version, decision, reason, errors };
}

/** The characters of a request, about; it ends early where there are too many anyway. */
function textOf({ subject, action, resource, attributes, tokens }: DecisionRequest): number {
  let length = subject.id.length + action.name.length + resource.id.length;
  const add = (value: Json | undefined): void => {
    if (length > mostText) return;
    if (typeof value === 'string') length += value.length;
    else if (typeof value === 'object' && value !== null) {
      for (const name in value) {
        length += name.length + 8;
        add((value as Record<string, Json>)[name]);
      }
    }
  };
  for (const given of [
    subject.attributes,
    action.attributes,
    resource.attributes,
    attributes,
    ...Object.values(tokens ?? {}),
  ]) {
    if (given !== undefined) add(given);
  }
  return length;
}
