import type { QuestionTokens, SignedTokens } from '../auth/question-tokens.js';
import type { EngineDecision } from '../core/decision.js';
import { negotiateObligations } from '../core/engine/obligations.js';
import { type DecisionRequest, normaliseQuestion, type TokenClaims, withClaims } from '../core/request.js';
import { parseRfc3339 } from '../core/rfc3339.js';
import type { NewDecisionRecord } from '../decision-log/decision-record.js';
import { VerdictError } from '../errors.js';
import type { Trials } from '../policy-store/candidates/trial.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { EvaluationOptions, ServedPolicySet } from '../policy-store/served-policy-set.js';
import type { CrossCheck } from '../stock-casbin/cross-check.js';
import { Turns, turnMs } from '../turns/turns.js';
import { BatchSets } from './batch-sets.js';
import type { CandidateComparison } from './candidate-comparison.js';
import type { DecisionAnswer } from './decision-answer.js';
import type { DecisionRecorder } from './decision-recorder.js';
import type { BatchDemands } from './demand.js';
import type { FreshSets } from './fresh-sets.js';
import type { Asker, Explain, Question } from './question.js';
import { isUnacceptable, refuseUnacceptable } from './unacceptable.js';

/** Most questions of a batch in one turn: as many records as one commit takes. */
const turnQuestions = 128;
/** A turn ends when its answers have this many characters: more are not held for a caller that does not read. */
const turnText = 64 * 1024;

/** The answer to one question of a batch, or the error in its place. */
export type BatchOutcome = DecisionAnswer | VerdictError;

export interface BatchOptions {
  /** Number of questions. */
  readonly count: number;
  /** Deadline by the monotonic clock, in milliseconds. Questions that are not decided by then get an error. */
  readonly endsAt: number;
  /** What the questions demand of the policy sets, before the first of them is asked for. */
  readonly demands: BatchDemands;
  /** Returns the text that is sent for an outcome. */
  readonly textOf: (outcome: BatchOutcome) => string;
  /** True for the answer that ends the batch: later questions are not asked, and their answers are missing. */
  readonly isLast?: (outcome: BatchOutcome) => boolean;
  /** True when nobody waits for the answers any longer. */
  readonly isGone?: () => boolean;
}

export interface BatchPart {
  readonly texts: readonly string[];
  /** True for the last part. */
  readonly isEnd: boolean;
}

/**
 * The policy decision point: set → evaluate → record → answer. While a set has a candidate, also: which of the two, and compare.
 *
 *     await pdp.decide({ subject: 'alice', action: 'read', resource: 'doc-1' }, { caller: 'shop', via: 'decide', … })
 *     // { allowed: false, decision: 'deny', decisionId: '0199…', policySet: 'default', …, reason: { code: 'no_matching_rule' } }
 */
export class Pdp {
  constructor(
    private readonly policySets: PolicyStore,
    private readonly freshSets: FreshSets,
    private readonly recorder: DecisionRecorder,
    private readonly crossCheck: CrossCheck,
    private readonly comparison: CandidateComparison,
    private readonly tokens: QuestionTokens,
  ) {}

  /**
   * Answers once the record is as safe as the log's mode promises, and not before.
   *
   * @throws VerdictError when there is no such set, it is not as fresh as demanded, or the decision cannot be recorded
   */
  async decide(question: Question, asker: Asker): Promise<DecisionAnswer> {
    const found = this.freshSets.find(asker.grants.policySets('decide'), question.policySet, question);
    const active = found instanceof Promise ? await found : found;
    const { trials } = this.comparison;
    const { record, answer } = await this.answer(active, trials, question, asker);
    await this.recorder.append(record, asker.span);
    return answer;
  }

  /**
   * Answers many questions in their order, all from one version of each set (while a canary answers for some of the subjects:
   * of each set and subject), in turns between which others are answered.
   * A part of the answers comes once its records are as safe as the log's mode promises; nobody decides ahead of who takes
   * them. A question that cannot be answered, or for which there is no time left, is answered by its error; the others are
   * not touched by it. Ends without a last part where the caller has gone.
   *
   * @throws VerdictError when the decisions cannot be recorded
   */
  async *decideBatch(
    questions: Iterable<Question | VerdictError>,
    asker: Asker,
    { count, endsAt, demands, textOf, isLast = () => false, isGone = () => false }: BatchOptions,
  ): AsyncGenerator<BatchPart, void> {
    const sets = new BatchSets(this.policySets, this.freshSets, asker.grants.policySets('decide'), demands);
    // Before there is room for records, which others would have to wait for.
    await sets.ready();
    const { trials } = this.comparison;
    const next = questions[Symbol.iterator]();
    let answered = 0;
    let isEnd = count === 0;
    const turns = new Turns();
    if (isEnd) {
      this.recorder.batchAnswered(0);
      yield { texts: [], isEnd };
    }
    while (!isEnd) {
      await turns.next();
      if (isGone()) return;
      const room = await this.recorder.roomForBulk(
        Math.min(turnQuestions, count - answered),
        endsAt - performance.now(),
      );
      const texts: string[] = [];
      const records: NewDecisionRecord[] = [];
      let length = 0;
      try {
        // It waited for room, and others were served meanwhile.
        if (turns.isOver) await turns.next();
        // Only time counts: waiting for stock Casbin does not block others.
        const turnBegan = performance.now();
        const turnEnds = turnBegan + turnMs;
        do {
          let outcome: BatchOutcome;
          if (room === 0 || performance.now() > endsAt) outcome = outOfTime;
          else {
            const decided = await this.decideOne(next.next().value, asker, sets, trials);
            outcome = decided instanceof VerdictError ? decided : decided.answer;
            if (!(decided instanceof VerdictError)) records.push(decided.record);
          }
          const text = textOf(outcome);
          texts.push(text);
          length += text.length;
          isEnd = ++answered === count || isLast(outcome);
        } while (!isEnd && length < turnText && performance.now() < turnEnds && (room === 0 || texts.length < room));
        asker.span?.evaluatedBatch(texts.length, turnBegan);
      } finally {
        await this.recorder.appendBulk(records, room, asker.span);
      }
      if (isEnd) this.recorder.batchAnswered(answered);
      yield { texts, isEnd };
    }
  }

  private async decideOne(
    question: Question | VerdictError,
    asker: Asker,
    sets: BatchSets,
    trials: Trials | undefined,
  ): Promise<{ record: NewDecisionRecord; answer: DecisionAnswer } | VerdictError> {
    try {
      if (question instanceof VerdictError) return question;
      const found = sets.find(question.policySet, question);
      const active = found instanceof Promise ? await found : found;
      return await this.answer(active, trials, question, asker);
    } catch (error) {
      if (error instanceof VerdictError) return error;
      throw error;
    }
  }

  /** @throws VerdictError */
  private async answer(
    active: ServedPolicySet,
    trials: Trials | undefined,
    question: Question,
    asker: Asker,
  ): Promise<{ record: NewDecisionRecord; answer: DecisionAnswer }> {
    const claims = question.tokens === undefined ? undefined : await this.claimsOf(active, question.tokens);
    const inquiry = inquire(active, question, asker, claims);
    const { request, now } = inquiry;
    const set = trials === undefined ? active : this.comparison.choose(trials, active, question, request);
    if (set !== active) {
      const asked = question.tokens === undefined ? inquiry : await this.askedOfCanary(set, question.tokens, inquiry);
      if (asked !== undefined) return this.answerAsCanary(active, set, trials!, inquiry, asked, asker);
    }
    const evaluated = active.evaluate(request, inquiry);
    const decision = evaluated instanceof Promise ? await evaluated : evaluated;
    refuseUnacceptable(active, decision);
    if (trials !== undefined) this.comparison.observe(trials, active, { request, now, decision });
    return this.conclude(active, inquiry, decision, asker);
  }

  /** @throws VerdictError for a token that is not accepted */
  private claimsOf({ compiled }: ServedPolicySet, tokens: SignedTokens): Promise<TokenClaims> {
    return this.tokens.claimsOf(compiled.manifest.tokens, tokens, Date.now());
  }

  /** A canary can declare its tokens otherwise; undefined where it takes none of these, so that the active version answers. */
  private async askedOfCanary(
    canary: ServedPolicySet,
    tokens: SignedTokens,
    inquiry: Inquiry,
  ): Promise<Inquiry | undefined> {
    try {
      const claims = await this.claimsOf(canary, tokens);
      return { ...inquiry, request: withClaims(inquiry.request, claims) };
    } catch (error) {
      if (error instanceof VerdictError) return undefined;
      throw error;
    }
  }

  /**
   * Where a canary errs the active version decides, too, at once: whether the error is the canary's alone must be known of
   * every answer, and the active version answers what the canary would refuse to answer.
   *
   * @param asked what the canary is asked: with its own tokens
   * @throws VerdictError
   */
  private async answerAsCanary(
    active: ServedPolicySet,
    canary: ServedPolicySet,
    trials: Trials,
    inquiry: Inquiry,
    asked: Inquiry,
    asker: Asker,
  ): Promise<{ record: NewDecisionRecord; answer: DecisionAnswer }> {
    const { request, now } = inquiry;
    const began = performance.now();
    const evaluated = canary.evaluate(asked.request, asked);
    const decision = evaluated instanceof Promise ? await evaluated : evaluated;
    const tookMs = inquiry.explain === 'full' ? undefined : performance.now() - began;
    const isAnswered = !isUnacceptable(canary, decision);
    const byActive = decision.errors.length === 0 ? undefined : await active.evaluate(request, inquiry);
    this.comparison.observeCanary(trials, active, { request, now, decision, byActive, tookMs, isAnswered });
    if (isAnswered || byActive === undefined) return this.conclude(canary, asked, decision, asker);
    refuseUnacceptable(active, byActive);
    return this.conclude(active, inquiry, byActive, asker);
  }

  private conclude(
    set: ServedPolicySet,
    inquiry: Inquiry,
    decision: EngineDecision,
    asker: Asker,
  ): { record: NewDecisionRecord; answer: DecisionAnswer } {
    const { request, received, now, explain, started } = inquiry;
    // Two versions of a set in turns would be loaded there again and again.
    if (set.candidate === undefined) this.crossCheck.observe(set, request, now, decision);
    const told = inquiry.negotiates ? negotiateObligations(decision, request.attributes) : undefined;
    const { decision: effect, reason, errors, obligations } = told?.decision ?? decision;
    const said = { request, received, now, started, decision: effect, reason, errors, obligations };
    const record = this.recorder.recordOf(set, said, asker);
    const answer = answerOf(record.id, set, told?.decision ?? decision, explain);
    // Sound: obligations are JSON. The record keeps them as the policy has them.
    return { record, answer: told === undefined ? answer : { ...answer, obligations: told.obligations as never } };
  }
}

/** The error of questions that a batch had no time left for. */
const outOfTime = new VerdictError('batch_out_of_time', 'The time of the batch was over before this was decided.');

/** A question on its way through the PDP: what is evaluated, at which clock, and when it came. */
interface Inquiry extends EvaluationOptions {
  readonly request: DecisionRequest;
  /** By the service's clock, in milliseconds; `now` differs from it only where the question may set the clock. */
  readonly received: number;
  /** By the monotonic clock. */
  readonly started: number;
  readonly negotiates: boolean;
}

function inquire(set: ServedPolicySet, question: Question, asker: Asker, claims: TokenClaims | undefined): Inquiry {
  const started = performance.now();
  const received = Date.now();
  const { explain = 'brief', negotiatesObligations: negotiates = false } = question;
  if (explain === 'full') requireExplain(asker, set);
  const now = question.at === undefined ? received : requestedClock(set, question.at, asker);
  return { request: withClaims(normaliseQuestion(question), claims), received, now, explain, started, negotiates };
}

/** A full explanation says what other rules hold, and to whom they apply. */
function requireExplain({ grants }: Asker, { name }: ServedPolicySet): void {
  if (grants.allows('explain', name)) return;
  throw new VerdictError('forbidden', 'The credential does not have the scope "explain" for this policy set.');
}

/**
 * The clock that the request asks for, in milliseconds, where the policy set lets requests set it or the caller may
 * explain. While authentication is off nobody was given that scope, so there only the set counts.
 */
export function requestedClock(set: ServedPolicySet, at: string, { authentication, grants }: Asker): number {
  const mayExplain = authentication !== 'none' && grants.allows('explain', set.name);
  if (!mayExplain && set.compiled.manifest.clock !== 'request') {
    const detail = `the clock of policy set "${set.name}" is the server's; its manifest does not say "clock: request"`;
    throw new VerdictError('invalid_request', `The request is not valid: ${detail}.`, {
      errors: [{ pointer: '/at', detail }],
    });
  }
  // Validation lets only RFC 3339 times pass.
  return parseRfc3339(at)!;
}

/** `none` keeps the codes of what happened and drops where: rules, files and lines. */
function answerOf(
  decisionId: string,
  set: ServedPolicySet,
  decision: EngineDecision,
  explain: Explain,
): DecisionAnswer {
  const { reason, obligations, advice, errors, explanation } = decision;
  const answer = {
    allowed: decision.decision === 'allow',
    decision: decision.decision,
    decisionId,
    policySet: set.name,
    policyVersion: set.version,
    revision: set.revision,
    candidate: set.candidate,
    reason: explain === 'none' ? { code: reason.code } : reason,
    obligations,
    errors: explain === 'none' ? errors.map(({ code, message }) => ({ code, message })) : errors,
  };
  if (advice === undefined && explanation === undefined) return answer;
  return { ...answer, advice, explanation };
}
