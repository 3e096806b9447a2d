import { setTimeout as delay } from 'node:timers/promises';
import type { EngineDecision } from '../core/decision.js';
import type { DecisionRequest, Json } from '../core/request.js';
import { isInShare, subjectTypeOf } from '../policy-store/candidates/canary-share.js';
import type { CandidateCount, CandidateDifference, ComparedDecision } from '../policy-store/candidates/candidate.js';
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
  readonly durationUs: number;
}

interface Waiting extends AnsweredQuestion {
  readonly trial: Trial;
  readonly active: ServedPolicySet;
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
   * the active version, since a candidate has none.
   */
  choose(trials: Trials, active: ServedPolicySet, question: Question, request: DecisionRequest): ServedPolicySet {
    const trial = trials.get(active.name);
    if (trial === undefined || trial.candidate.mode !== 'canary' || !isFor(trial, active)) return active;
    if (revisionOf(question.atLeast, active.name) !== undefined) return active;
    const { subjects } = trial.candidate;
    const { id } = request.subject;
    return isInShare(active.name, subjectTypeOf(active, request), id, subjects) ? trial.served : active;
  }

  /** Takes note of an answer that is about to leave. Returns at once. */
  observe(trials: Trials, active: ServedPolicySet, chosen: ServedPolicySet, answered: AnsweredQuestion): void {
    const trial = trials.get(active.name);
    if (trial === undefined || !isFor(trial, active)) return;
    const isByCandidate = chosen === trial.served;
    if (isByCandidate) this.candidates.add(trial, 'answered');
    // Of a canary only those are compared whom it answers: the others are a shadow's.
    else if (trial.candidate.mode === 'canary') return;
    if (Math.random() >= trial.candidate.sample) return;
    const text = textOf(answered.request);
    if (this.isStopped || this.waiting.length >= mostWaiting || this.waitingText + text > mostText) {
      this.candidates.add(trial, 'skipped');
      return;
    }
    this.waiting.push({ ...answered, trial, active, isByCandidate, text });
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
    const { candidate } = trial;
    try {
      const began = performance.now();
      const evaluate = isByCandidate ? active.evaluate : trial.evaluate;
      const decided = evaluate(request, { now, explain: 'none' });
      const other = decided instanceof Promise ? await decided : decided;
      const tookMs = isByCandidate ? answered.durationUs / 1_000 : performance.now() - began;
      const [before, after] = isByCandidate ? [other, answered.decision] : [answered.decision, other];
      this.candidates.add(trial, 'compared');
      this.candidates.add(trial, 'timed');
      if (tookMs > candidate.gates.maxLatencyMs) this.candidates.add(trial, 'slow');
      for (const kind of differencesOf(before, after)) {
        this.candidates.add(trial, kind);
        if (answered.text > mostKeptText) continue;
        this.candidates.keep(trial, {
          kind,
          clock: now,
          request: trial.served.mask(active.mask(request)),
          active: sideOf(active, before),
          candidate: sideOf(trial.served, after),
        });
      }
    } catch {
      // No policy file can cause this; a thread of stock Casbin can end.
      this.candidates.add(trial, 'skipped');
    }
  }
}

type Difference = CandidateDifference['kind'] & CandidateCount;

/** How a candidate's decision differs. An error that the active version has, too, is not the candidate's. */
function* differencesOf(active: EngineDecision, candidate: EngineDecision): Generator<Difference> {
  if (active.decision !== candidate.decision) yield candidate.decision === 'allow' ? 'gained' : 'lost';
  else if (!isSame(active.obligations, candidate.obligations)) yield 'obligations';
  if (candidate.errors.length > 0 && active.errors.length === 0) yield 'errors';
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
