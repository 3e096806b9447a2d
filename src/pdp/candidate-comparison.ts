import { setTimeout as delay } from 'node:timers/promises';
import type { EngineDecision } from '../core/decision.js';
import type { DecisionRequest, Json } from '../core/request.js';
import { isInShare, subjectTypeOf } from '../policy-store/candidates/canary-share.js';
import type { ComparedDecision, DifferenceKind } from '../policy-store/candidates/candidate.js';
import type { PolicyCandidates } from '../policy-store/candidates/policy-candidates.js';
import { isFor, type Trial, type Trials } from '../policy-store/candidates/trial.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import { Turns } from '../turns/turns.js';
import { revisionOf } from './demand.js';
import type { Question } from './question.js';

/** Longest time of one turn, in milliseconds: a request that comes meanwhile waits for it. */
const comparingMs = 0.5;
/** Share of the event loop's time that comparing may take. */
const comparingShare = 0.05;
/** Most decisions that wait to be compared, and the characters of all their requests: memory is bounded by both. */
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
  readonly tookMs: number;
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

/**
 * What candidates of policy sets do with requests: a canary answers for its share of the subjects, and what was answered is
 * decided again by the other of the two, active version and candidate, after the answer has left. That takes a bounded share
 * of the time and of the memory; what does not fit is skipped, and counted. Nothing that a candidate does delays an answer of
 * the active version or changes it.
 */
export class CandidateComparison {
  private readonly waiting: Waiting[] = [];
  private waitingText = 0;
  private comparing: Promise<void> | undefined;
  private isStopped = false;

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

  /** The newest say most of what goes on now, so the oldest give way. */
  private enqueue(answered: Omit<Waiting, 'text'>): void {
    const { trial, request } = answered;
    const text = textOf(request);
    if (this.isStopped || text > mostText) {
      this.candidates.add(trial, 'skipped');
      return;
    }
    while (this.waiting.length >= mostWaiting || this.waitingText + text > mostText) {
      const oldest = this.waiting.shift()!;
      this.waitingText -= oldest.text;
      this.candidates.add(oldest.trial, 'skipped');
    }
    this.waiting.push({ ...answered, text });
    this.waitingText += text;
    this.comparing ??= this.compareAll();
  }

  /** Resolves when nothing is being compared any more. What waits is skipped. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.drop();
    await this.comparing;
  }

  /** Does not throw. */
  private async compareAll(): Promise<void> {
    // The answer leaves first.
    await delay(1);
    const turns = new Turns(0, comparingMs);
    while (this.waiting.length > 0 && !this.isStopped) {
      await turns.next();
      const began = performance.now();
      let spent = 0;
      while (this.waiting.length > 0 && spent < comparingMs) {
        const next = this.waiting.shift()!;
        this.waitingText -= next.text;
        await this.compareOne(next);
        spent = performance.now() - began;
      }
      await delay(spent / comparingShare - spent);
    }
    this.drop();
    this.comparing = undefined;
  }

  private drop(): void {
    for (const { trial } of this.waiting) this.candidates.add(trial, 'skipped');
    this.waiting.length = 0;
    this.waitingText = 0;
  }

  private async compareOne(answered: Waiting): Promise<void> {
    const { trial, active, request, now, isByCandidate } = answered;
    try {
      const began = performance.now();
      const evaluate = isByCandidate ? active.evaluate : trial.evaluate;
      const decided = evaluate(request, { now, explain: 'none' });
      const other = decided instanceof Promise ? await decided : decided;
      if (isByCandidate) {
        this.noteCompared(answered, other, answered.decision);
        return;
      }
      this.noteTime(trial, performance.now() - began);
      if (errsAlone(answered.decision, other)) this.noteDifference('errors', answered, answered.decision, other);
      this.noteCompared(answered, answered.decision, other);
    } catch {
      // No policy file can cause this; a thread of stock Casbin can end.
      this.candidates.add(trial, 'skipped');
    }
  }

  private noteTime(trial: Trial, tookMs: number): void {
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
function textOf({ subject, action, resource, attributes }: DecisionRequest): number {
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
  for (const given of [subject.attributes, action.attributes, resource.attributes, attributes]) {
    if (given !== undefined) add(given);
  }
  return length;
}
