/**
 * Asks Verdict whether a subject may do something to a resource.
 *
 *     import { VerdictClient } from '@verdict/client';
 *
 *     const verdict = new VerdictClient({ baseUrl: 'https://verdict.example', apiKey: process.env.VERDICT_API_KEY });
 *     if (await verdict.can({ subject: { type: 'user', id: 'dana' }, action: 'read', resource: 'L-2231' })) …
 *
 * No answer is never an allow: it is a `VerdictUnavailable`, or a deny where `onUnavailable: 'deny'` asks for one.
 */
import {
  batchOf,
  evaluationsOf,
  isActionSearch,
  isChange,
  isDecision,
  isEntitySearch,
  isEvaluation,
  isWhoCan,
  type Wanted,
} from './answers.js';
import { authorization } from './authorization.js';
import { Batcher, type BatchLimits, mayPass, type WrittenQuestion } from './batcher.js';
import { Deadline } from './deadline.js';
import { deny, reasonOf } from './deny.js';
import { isOutOfTime, isPassing, messageOf, VerdictProblem, VerdictUnavailable } from './errors.js';
import { hostsOf } from './hosts.js';
import { Revisions } from './revisions.js';
import { isTraceparent } from './traceparent.js';
import { type Call, Transport } from './transport.js';
import type {
  ActionSearchAnswer,
  ActionSearchRequest,
  ChangedData,
  DataChange,
  DecideRequest,
  Decision,
  DecisionAnswer,
  DecisionProblem,
  EntitySearchAnswer,
  Evaluation,
  EvaluationRequest,
  EvaluationsRequest,
  PartialDecideRequest,
  Problem,
  ResourceSearchRequest,
  RevisionsBySet,
  SubjectSearchRequest,
  WhoCanAnswer,
  WhoCanRequest,
} from './types.js';

export type { BatchLimits } from './batcher.js';
export { type Attempt, type Unavailability, VerdictError, VerdictProblem, VerdictUnavailable } from './errors.js';
export type * from './types.js';

export interface VerdictClientOptions {
  /** Where the service is, with the path that a proxy puts before its own. */
  readonly baseUrl?: string | URL;
  /** Several replicas, instead of `baseUrl`: the first that answers is asked, and the next where it does not. */
  readonly baseUrls?: readonly (string | URL)[];
  /** An API key or an access token; a function is called for each try, so that a token can be renewed. */
  readonly apiKey?: string | (() => string | Promise<string>);
  /** Milliseconds for a call with all its tries: 2,000 by default. */
  readonly timeoutMs?: number;
  /** How often a call without an answer is made again: 2 by default. Each address is tried once in any case. */
  readonly retries?: number;
  /** The policy set of questions that name none; without it, the service's default. */
  readonly policySet?: string;
  /**
   * What a question gets that is not answered: an error (`throw`, the default), or a deny with the reason `unavailable`. Searches,
   * changes and refusals (`VerdictProblem`) are errors in any case.
   */
  readonly onUnavailable?: 'throw' | 'deny';
  /** Joins the questions of one tick into one call; off by default. */
  readonly batch?: boolean | BatchLimits;
  /** The W3C `traceparent` of the moment, for calls that are not given one. What is no traceparent is not sent, nor is an error. */
  readonly traceparent?: () => string | undefined;
  /** Instead of the platform's own: for a proxy, a certificate authority, a test. */
  readonly fetch?: typeof globalThis.fetch;
}

export interface CallOptions {
  /** Ends the call; it rejects with a `VerdictUnavailable` of the kind `aborted`, also where others would be a deny. */
  readonly signal?: AbortSignal | null;
  readonly timeoutMs?: number;
  readonly traceparent?: string;
}

export interface QuestionOptions extends CallOptions {
  readonly onUnavailable?: 'throw' | 'deny';
}

/** For AuthZEN, whose bodies have no members of ours. */
export interface AuthzenOptions extends CallOptions {
  readonly policySet?: string;
  readonly atLeast?: number | RevisionsBySet;
  /** Such as `30s`. */
  readonly maxStaleness?: string;
}

export interface ChangeOptions extends CallOptions {
  /** The service makes a change once, however often it comes with this key; without one, the client makes a new one for the call. */
  readonly idempotencyKey?: string;
  /** The revision that the set must be at. */
  readonly ifRevision?: number;
}

/** Longer than a timer can run. */
const longestMs = 2 ** 31 - 1;

export class VerdictClient {
  private readonly transport: Transport;
  private readonly batcher: Batcher | undefined;
  private readonly demanded = new Revisions();
  private readonly options: VerdictClientOptions & { readonly timeoutMs: number };

  /** @throws TypeError for options that cannot be meant */
  constructor(options: VerdictClientOptions) {
    const { apiKey, retries = 2, batch = false, fetch } = options;
    const hosts = hostsOf(options);
    if (!(Number.isInteger(retries) && retries >= 0)) throw new TypeError('retries is a whole number, 0 or more');
    const { timeoutMs = 2_000 } = options;
    this.options = { ...options, timeoutMs: checkTimeout(timeoutMs) };
    checkReaction(options.onUnavailable);
    // The platform's own is looked up when it is called: tests and tracing put another one there.
    const ask: typeof globalThis.fetch = fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.transport = new Transport(hosts, ask, authorization(apiKey), retries);
    if (batch !== false) {
      const mayAskAgain = retries > 0 || hosts.length > 1;
      this.batcher = new Batcher((...asked) => this.askAll(...asked), mayAskAgain, batch === true ? {} : batch);
    }
  }

  /**
   * Asks one question.
   *
   * @throws VerdictProblem if the service refuses the question
   * @throws VerdictUnavailable if there is no answer, unless that is to be a deny
   */
  async decide(request: DecideRequest, options: QuestionOptions = {}): Promise<Decision> {
    const question = this.written(request);
    return this.orDeny<Decision>(options, () => this.ask(question, options), deny);
  }

  /** As `decide`, and true for an allow alone. */
  async can(request: DecideRequest, options?: QuestionOptions): Promise<boolean> {
    const { allowed } = await this.decide(request, options);
    return allowed === true;
  }

  /**
   * Asks many questions in one call, all answered from one version of each policy set, in their order. In the place of one that
   * could not be answered stands its problem, which is no allow: `'problem' in outcome`.
   *
   * @param requests at most 10,000, or as many as the service is configured for
   * @param options `defaults` has members that questions which lack them take from there, each as a whole
   */
  async decideMany(
    requests: readonly PartialDecideRequest[],
    { defaults = {}, ...options }: QuestionOptions & { readonly defaults?: PartialDecideRequest } = {},
  ): Promise<readonly (Decision | DecisionProblem)[]> {
    const questions = requests.map((request) => this.written({ ...defaults, ...request }));
    if (questions.length === 0) return [];
    const ask = () => this.askAll(questions, this.traceparentOf(options), this.deadline(options));
    return this.orDeny<readonly (Decision | DecisionProblem)[]>(options, ask, (error) =>
      questions.map(() => deny(error)),
    );
  }

  /** Asks one question of AuthZEN; only `decision === true` may go ahead. */
  async evaluate(request: EvaluationRequest, options: AuthzenOptions & QuestionOptions = {}): Promise<Evaluation> {
    const wanted = this.wanted(options);
    const read = (body: unknown) => (isEvaluation(body, wanted) ? body : undefined);
    const ask = () => this.authzen('evaluation', request, options, read, 1);
    return this.orDeny<Evaluation>(options, ask, denyEvaluation);
  }

  /**
   * Asks many questions of AuthZEN. With a semantic that ends early there are fewer answers than questions; those that are
   * missing were not asked, and allow nothing.
   */
  async evaluateMany(
    request: EvaluationsRequest,
    options: AuthzenOptions & QuestionOptions = {},
  ): Promise<readonly Evaluation[]> {
    const wanted = this.wanted(options);
    const { evaluations, options: { evaluations_semantic: semantic } = {} } = request;
    const last = semantic === 'deny_on_first_deny' ? false : semantic === 'permit_on_first_permit' ? true : undefined;
    const read = (body: unknown) => evaluationsOf(body, evaluations.length, last, wanted);
    const ask = () => this.authzen('evaluations', request, options, read, evaluations.length);
    return this.orDeny<readonly Evaluation[]>(options, ask, (error) => evaluations.map(() => denyEvaluation(error)));
  }

  /** Who may do this? A page of subjects; `page.next_token` leads on. */
  searchSubjects(request: SubjectSearchRequest, options: AuthzenOptions = {}): Promise<EntitySearchAnswer> {
    const wanted = this.wanted(options);
    return this.authzen('search/subject', request, options, (body) =>
      isEntitySearch(body, wanted) ? body : undefined,
    );
  }

  /** What may it be done to? */
  searchResources(request: ResourceSearchRequest, options: AuthzenOptions = {}): Promise<EntitySearchAnswer> {
    const wanted = this.wanted(options);
    return this.authzen('search/resource', request, options, (body) =>
      isEntitySearch(body, wanted) ? body : undefined,
    );
  }

  /** What may the subject do to it? */
  searchActions(request: ActionSearchRequest, options: AuthzenOptions = {}): Promise<ActionSearchAnswer> {
    const wanted = this.wanted(options);
    return this.authzen('search/action', request, options, (body) => (isActionSearch(body, wanted) ? body : undefined));
  }

  /**
   * Who may do this, by which rule, and on which condition? The list is all there is only if the answer says `complete`. It
   * demands no revision: the answer may not know a change yet.
   */
  async whoCan(policySet: string, question: WhoCanRequest, options: CallOptions = {}): Promise<WhoCanAnswer> {
    return this.call(
      {
        path: `/v1/policy-sets/${encodeURIComponent(policySet)}/who-can`,
        body: json(question),
        read: (body) => (isWhoCan(body, policySet) ? body : undefined),
      },
      options,
    );
  }

  /**
   * Adds and removes role links and entities of a set, all or nothing. From then on this client demands answers that know the
   * change (`atLeast`).
   *
   *     await verdict.changeData('invoices', { remove: { roles: [['g', 'user:ben', 'editor']] } });
   *
   * A change without an answer may have been made: the same change with the same `idempotencyKey` finds out, and makes it once.
   */
  async changeData(
    policySet: string,
    change: DataChange,
    { idempotencyKey = crypto.randomUUID(), ifRevision, ...options }: ChangeOptions = {},
  ): Promise<ChangedData> {
    const changed = await this.call(
      {
        path: `/v1/policy-sets/${encodeURIComponent(policySet)}/changes`,
        body: json(change),
        headers: {
          'idempotency-key': idempotencyKey,
          'if-match': ifRevision === undefined ? undefined : `"${ifRevision}"`,
        },
        read: (body) => (isChange(body, policySet) ? body : undefined),
      },
      options,
    );
    this.demanded.raise(policySet, changed.revision);
    return changed;
  }

  /** From now on demands answers from this revision of the set or a later one: for a change that somebody else made. */
  atLeast(policySet: string, revision: number): void {
    this.demanded.raise(policySet, revision);
  }

  /** What this client demands by now, to hand on to another one. */
  get revisions(): RevisionsBySet {
    return this.demanded.all();
  }

  private written(request: PartialDecideRequest): WrittenQuestion {
    const wanted = this.wanted(request);
    const atLeast = this.demanded.demand(wanted.policySet, request.atLeast);
    return { body: json({ ...request, policySet: wanted.policySet, atLeast }), wanted };
  }

  private wanted({ policySet, atLeast }: Pick<AuthzenOptions, 'policySet' | 'atLeast'>): Wanted {
    return { policySet: policySet ?? this.options.policySet, least: this.demanded.least(atLeast) };
  }

  private async ask(question: WrittenQuestion, options: QuestionOptions): Promise<DecisionAnswer> {
    const { body, wanted } = question;
    const deadline = this.deadline(options);
    const traceparent = this.traceparentOf(options);
    if (this.batcher !== undefined) {
      const outcome = await this.batcher.ask(question, traceparent, deadline);
      if (!('problem' in outcome)) return outcome;
      const { problem } = outcome;
      if (!isPassing(problem)) throw new VerdictProblem(problem);
      // Only what the batch had no time for may be answered alone. The others would fail one by one, each with its retries.
      if (!isOutOfTime(problem)) throw new VerdictUnavailable('refused', messageOf(problem), { problem });
    }
    const read = (answer: unknown) => (isDecision(answer, wanted) ? answer : undefined);
    return this.transport.call({ path: '/v1/decide', body, headers: { traceparent }, maxMiB: 1, read }, deadline);
  }

  private askAll(
    questions: readonly WrittenQuestion[],
    traceparent: string | undefined,
    deadline: Deadline,
  ): Promise<readonly (DecisionAnswer | { readonly problem: Problem })[]> {
    const wanted = questions.map((question) => question.wanted);
    return this.transport.call(
      {
        path: '/v1/decide/batch',
        body: `{"requests":[${questions.map(({ body }) => body).join(',')}]}`,
        headers: { traceparent },
        maxMiB: questions.length,
        read: (answer) => batchOf(answer, wanted),
        // Another address may be able to.
        isLacking: (outcomes) => outcomes.some(mayPass),
      },
      deadline,
    );
  }

  private async authzen<T>(
    operation: string,
    request: object,
    options: AuthzenOptions,
    read: (body: unknown) => T | undefined,
    maxMiB?: number,
  ): Promise<T> {
    const policySet = options.policySet ?? this.options.policySet;
    const base = policySet === undefined ? '' : `/sets/${encodeURIComponent(policySet)}`;
    const headers = {
      'verdict-at-least': this.demanded.header(policySet, options.atLeast),
      'verdict-max-staleness': options.maxStaleness,
    };
    const call = { path: `${base}/access/v1/${operation}`, body: json(request), headers, read };
    return this.call(maxMiB === undefined ? call : { ...call, maxMiB }, options);
  }

  private call<T>({ headers, ...call }: Call<T>, options: CallOptions): Promise<T> {
    const traceparent = this.traceparentOf(options);
    return this.transport.call({ ...call, headers: { ...headers, traceparent } }, this.deadline(options));
  }

  private deadline({ timeoutMs = this.options.timeoutMs, signal }: CallOptions): Deadline {
    return new Deadline(checkTimeout(timeoutMs), signal);
  }

  private traceparentOf({ traceparent = this.currentTraceparent() }: CallOptions): string | undefined {
    return isTraceparent(traceparent) ? traceparent : undefined;
  }

  /** A trace that fails spoils no question. */
  private currentTraceparent(): string | undefined {
    try {
      return this.options.traceparent?.();
    } catch {
      return undefined;
    }
  }

  private async orDeny<T>(
    { onUnavailable = this.options.onUnavailable }: QuestionOptions,
    ask: () => Promise<T>,
    denied: (error: VerdictUnavailable) => T,
  ): Promise<T> {
    checkReaction(onUnavailable);
    try {
      return await ask();
    } catch (error) {
      const isDeny = onUnavailable === 'deny' && error instanceof VerdictUnavailable && error.kind !== 'aborted';
      if (isDeny) return denied(error);
      throw error;
    }
  }
}

function denyEvaluation(unavailable: VerdictUnavailable): Evaluation {
  return { decision: false, context: { reason: reasonOf(unavailable) } };
}

/** @throws TypeError for what JSON cannot say, before anything is asked */
function json(value: object): string {
  const text = JSON.stringify(value);
  if (!text?.startsWith('{')) throw new TypeError('a question is an object');
  return text;
}

function checkTimeout(ms: number): number {
  if (!(ms > 0 && ms <= longestMs)) throw new TypeError(`timeoutMs is a number above 0, and at most ${longestMs}`);
  return ms;
}

export function checkReaction(onUnavailable: string | undefined): void {
  if (onUnavailable !== undefined && onUnavailable !== 'throw' && onUnavailable !== 'deny') {
    throw new TypeError("onUnavailable is 'throw' or 'deny'");
  }
}
