/**
 * Decides in this process, by a policy set that the service gives it, and records each decision there.
 *
 *     import { LocalVerdict } from '@verdict/client/local';
 *
 *     const verdict = await LocalVerdict.open({ baseUrl: 'https://verdict.example', apiKey, policySets: ['invoices'] });
 *     if (verdict.can({ subject: 'greta', action: 'approve', resource: 'INV-1044' })) …
 *     await verdict.close();
 *
 * It needs `@verdict/engine`. What it could not be told of for longer than `maxStalenessMs` it does not decide by: that is a
 * `VerdictUnavailable`, or a deny where `onUnavailable: 'deny'` asks for one.
 */
import {
  type EngineDecision,
  engineVersion,
  faultInName,
  faultInQuestion,
  parseDuration,
  parseRfc3339,
} from '@verdict/engine';
import { authorization } from '../authorization.js';
import { checkReaction } from '../client.js';
import { Deadline } from '../deadline.js';
import { deny } from '../deny.js';
import { type VerdictError, VerdictProblem, VerdictUnavailable } from '../errors.js';
import { hostsOf } from '../hosts.js';
import { isTraceparent } from '../traceparent.js';
import { Transport } from '../transport.js';
import type { DecideRequest, Decision, DecisionAnswer, DecisionProblem } from '../types.js';
import { BundleFollower } from './bundle-follower.js';
import { type LogKeys, trustedKeys } from './bundle-signature.js';
import { JournalFolder } from './journal-folder.js';
import { type LocalWarning, type Warn, warner } from './local-warning.js';
import { type CopiedQuestion, copyOf, UncopiedValue } from './question-copy.js';
import { Recorder } from './recorder.js';

export { type Attempt, type Unavailability, VerdictError, VerdictProblem, VerdictUnavailable } from '../errors.js';
export type * from '../types.js';
export type { LogKeys } from './bundle-signature.js';
export type { LocalWarning, LocalWarningKind } from './local-warning.js';

export interface JournalOptions {
  /**
   * Most records that wait for the service: 100,000 by default, each of about half a kilobyte. A long one counts as one more for
   * each 4,096 bytes.
   */
  readonly maxRecords?: number;
  /** Where records lie that the service does not have; without it, in memory alone. Of one process at a time, on a local disk; Node.js only. */
  readonly directory?: string;
  /**
   * What a decision gets for which the journal has no room. `lose` (the default): it is made, and counted among those that were lost;
   * `refuse`: there is no answer.
   */
  readonly whenFull?: 'lose' | 'refuse';
}

export interface LocalVerdictOptions {
  /** Where the service is, with the path that a proxy puts before its own. */
  readonly baseUrl?: string | URL;
  /** Several replicas, instead of `baseUrl`. */
  readonly baseUrls?: readonly (string | URL)[];
  /** An API key or an access token, with the scopes `bundles:read` and `decide`; a function is called for each try. */
  readonly apiKey?: string | (() => string | Promise<string>);
  /** The policy sets that it decides by. */
  readonly policySets: readonly string[];
  /** The policy set of questions that name none: by default the only one. */
  readonly policySet?: string;
  /** How long ago, in milliseconds, it may have been known last that a set is the one that serves: 30,000 by default, 1,000 at the least. */
  readonly maxStalenessMs?: number;
  /** What a question gets that is not answered: an error (`throw`, the default), or a deny with the reason `unavailable`. */
  readonly onUnavailable?: 'throw' | 'deny';
  /** The answer of `/v1/decisions/keys`: then only a set counts that one of these keys signed. */
  readonly keys?: LogKeys;
  readonly journal?: JournalOptions;
  /** Milliseconds for a call, beside what it waits for: 10,000 by default. `open` has as long for all of them. */
  readonly timeoutMs?: number;
  /** Is told what somebody should mend; by default, the console is. */
  readonly onWarning?: (warning: LocalWarning) => void;
  /** The W3C `traceparent` of the moment, for decisions that are not given one. */
  readonly traceparent?: () => string | undefined;
  /** Instead of the platform's own: for a proxy, a certificate authority, a test. */
  readonly fetch?: typeof globalThis.fetch;
}

export interface LocalQuestionOptions {
  readonly onUnavailable?: 'throw' | 'deny';
  /** For the record of the decision. */
  readonly traceparent?: string;
  /** For the record: of what the decision was made for. */
  readonly requestId?: string;
}

/** Longest question, about: that of a body of the service by default. */
const mostLength = 2 ** 20;
export class LocalVerdict {
  private isClosed = false;
  private readonly onlySet: string | undefined;

  private constructor(
    private readonly options: LocalVerdictOptions & { readonly maxStalenessMs: number },
    private readonly followers: ReadonlyMap<string, BundleFollower>,
    private readonly recorder: Recorder,
  ) {
    this.onlySet = options.policySet ?? (options.policySets.length === 1 ? options.policySets[0] : undefined);
  }

  /**
   * Fetches the policy sets, and resolves when all are there.
   *
   * @throws TypeError for options that cannot be meant
   * @throws VerdictProblem if the service refuses one of them
   * @throws VerdictUnavailable if one of them is not there in time
   * @throws Error if another process has the folder of the journal
   */
  static async open(options: LocalVerdictOptions): Promise<LocalVerdict> {
    const { policySets, apiKey, timeoutMs = 10_000, maxStalenessMs = 30_000, journal = {}, onWarning } = options;
    if (!Array.isArray(policySets) || policySets.length === 0 || new Set(policySets).size < policySets.length) {
      throw new TypeError('policySets names each set once, and one at the least');
    }
    if (options.policySet !== undefined && !policySets.includes(options.policySet)) {
      throw new TypeError('policySet is one of policySets');
    }
    if (!(maxStalenessMs >= 1_000)) throw new TypeError('maxStalenessMs is a number, 1,000 or more');
    if (!(timeoutMs > 0)) throw new TypeError('timeoutMs is a number above 0');
    checkReaction(options.onUnavailable);
    const { maxRecords = 100_000, whenFull = 'lose', directory } = journal;
    if (!(Number.isInteger(maxRecords) && maxRecords > 0))
      throw new TypeError('journal.maxRecords is a whole number above 0');
    if (whenFull !== 'lose' && whenFull !== 'refuse') throw new TypeError("journal.whenFull is 'lose' or 'refuse'");
    const keys = options.keys === undefined ? undefined : trustedKeys(options.keys);
    const warn: Warn = warner(onWarning);
    const fetch: typeof globalThis.fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    const headers = authorization(apiKey);
    const transport = new Transport(hostsOf(options), fetch, headers, 0);
    const folder = directory === undefined ? undefined : await JournalFolder.take(directory);
    const recorder = new Recorder({ transport, folder, maxRecords, timeoutMs, warn });
    const shared = { fetch, headers, keys, maxStalenessMs, timeoutMs, warn, engineVersion };
    const followers = new Map(
      policySets.map((name) => [name, new BundleFollower({ ...shared, name, hosts: hostsOf(options) })] as const),
    );
    const verdict = new LocalVerdict({ ...options, maxStalenessMs }, followers, recorder);
    try {
      await new Deadline(timeoutMs).within(timeoutMs, () =>
        Promise.all([...followers.values()].map(({ ready }) => ready)),
      );
      return verdict;
    } catch (error) {
      await verdict.close();
      const late = [...followers.values()].find(({ held }) => held === undefined);
      throw error instanceof VerdictProblem ? error : (late?.failure ?? error);
    }
  }

  /**
   * Decides now, in this process, by the version that is here, and records it. The answer is the one that the service would give.
   *
   * @throws VerdictProblem for a question that the service would refuse
   * @throws VerdictUnavailable where the policy set is too old, unless that is to be a deny
   */
  decide(request: DecideRequest, options?: LocalQuestionOptions): Decision {
    const outcome = this.answer(request, options);
    if (!(outcome instanceof VerdictUnavailable)) return outcome;
    const onUnavailable = options?.onUnavailable ?? this.options.onUnavailable;
    checkReaction(onUnavailable);
    if (onUnavailable === 'deny') return deny(outcome);
    throw outcome;
  }

  /** As `decide`, and true for an allow alone. */
  can(request: DecideRequest, options?: LocalQuestionOptions): boolean {
    return this.decide(request, options).allowed === true;
  }

  /** Decides many, all by one version of each policy set. In the place of one that cannot be answered stands its problem. */
  decideMany(
    requests: readonly DecideRequest[],
    options?: LocalQuestionOptions,
  ): readonly (Decision | DecisionProblem)[] {
    return requests.map((request) => {
      try {
        return this.decide(request, options);
      } catch (error) {
        if (error instanceof VerdictProblem) return { problem: error.problem };
        throw error;
      }
    });
  }

  /** The version of a policy set that decides now, and how long ago it was known last that it is the one that serves, in milliseconds. */
  version(
    policySet = this.onlySet,
  ): { readonly version: string; readonly revision: number | undefined; readonly ageMs: number } | undefined {
    const follower = policySet === undefined ? undefined : this.followers.get(policySet);
    if (follower?.held === undefined) return undefined;
    const { set, revision } = follower.held;
    return { version: set.version, revision, ageMs: follower.ageMs(performance.now(), Date.now()) };
  }

  /** Number of records that the service does not have yet. */
  get unsent(): number {
    return this.recorder.unsent;
  }

  /** Sends what is left, and ends. From now on nothing is decided. What cannot be sent stays in the folder, if there is one; else it is lost. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await Promise.all([...this.followers.values()].map((follower) => follower.stop()));
    await this.recorder.close();
  }

  private answer(asked: DecideRequest, options: LocalQuestionOptions | undefined): DecisionAnswer | VerdictUnavailable {
    const { question: request, text } = questionOf(asked);
    const name = request.policySet ?? this.onlySet;
    const follower = name === undefined ? undefined : this.followers.get(name);
    if (name === undefined || follower === undefined) throw this.unknownSet(name);
    const now = Date.now();
    const { held } = follower;
    const age = follower.ageMs(performance.now(), now);
    const most = request.maxStaleness === undefined ? this.options.maxStalenessMs : this.mostAge(request.maxStaleness);
    if (held === undefined || age > most || this.isClosed) return this.unavailable(name, age, follower.failure);
    if (follower.isClockOff(performance.now(), now)) {
      return new VerdictUnavailable('clock_off', 'the clock of this machine is not that of the service');
    }
    const { set, revision, recordHead } = held;
    if (request.atLeast !== undefined) {
      const wanted = typeof request.atLeast === 'object' ? request.atLeast[name] : request.atLeast;
      if (wanted !== undefined && revision === undefined)
        throw problem('no_revision', '/atLeast', `is given, and the policy set "${name}" has no revisions`);
      if (wanted !== undefined && (revision as number) < wanted) {
        return new VerdictUnavailable(
          'too_old',
          `the policy set "${name}" is at ${revision} here, and at least ${wanted} is demanded`,
        );
      }
    }
    if (request.at !== undefined && set.manifest.clock !== 'request') {
      throw invalid('/at', `is given, and the manifest of the policy set "${name}" does not say clock: request`);
    }
    // Before it is decided: what is not answered needs no record.
    if (!this.recorder.hasRoom && this.options.journal?.whenFull === 'refuse') {
      return new VerdictUnavailable('unrecorded', 'the journal of records is full');
    }
    const explain = request.explain ?? 'brief';
    const clock = request.at === undefined ? now : (parseRfc3339(request.at) as number);
    const decision = set.decide(request as Parameters<typeof set.decide>[0], { now: clock, explain });
    refuseUnacceptable(decision, set.manifest.schemaRequests);
    const requestId = requestIdOf(options?.requestId);
    const about = { time: now, head: recordHead, requestId, traceparent: this.traceparentOf(options) };
    // Written now: whatever its caller does with the answer, the record says what it was.
    const number = this.recorder.record(about, text, decision);
    return answerOf(`${this.recorder.instance}-${number}`, name, set.version, revision, decision, explain);
  }

  private mostAge(duration: string): number {
    return Math.min(this.options.maxStalenessMs, parseDuration(duration) as number);
  }

  private unavailable(name: string, age: number, failure: VerdictError | undefined): VerdictUnavailable {
    if (this.isClosed) return new VerdictUnavailable('unrecorded', 'this LocalVerdict was closed');
    const known = Number.isFinite(age)
      ? `was known to be current ${Math.round(age)} ms ago`
      : 'is not known to be current';
    const why = failure === undefined ? '' : `: ${failure.message}`;
    return new VerdictUnavailable('too_old', `the policy set "${name}" ${known}${why}`, { cause: failure });
  }

  private unknownSet(name: string | undefined): VerdictProblem {
    const named = [...this.followers.keys()].join(', ');
    if (name === undefined) return problem('no_policy_set', '/policySet', `must be one of ${named}`);
    return problem('policy_set_not_found', '/policySet', `is "${name}", and this LocalVerdict has ${named}`, 404);
  }

  private traceparentOf(options: LocalQuestionOptions | undefined): string | undefined {
    let traceparent = options?.traceparent;
    if (traceparent === undefined && this.options.traceparent !== undefined) {
      try {
        traceparent = this.options.traceparent();
      } catch {
        // A trace that fails spoils no decision.
      }
    }
    return traceparent !== undefined && isTraceparent(traceparent) ? traceparent : undefined;
  }
}

/** @throws VerdictProblem for what the service would refuse */
function questionOf(asked: DecideRequest): CopiedQuestion {
  let copied: CopiedQuestion;
  try {
    copied = copyOf(asked);
  } catch (error) {
    if (error instanceof UncopiedValue) throw invalid(error.pointer, error.detail);
    throw error;
  }
  const fault = faultInQuestion(copied.question);
  if (fault !== undefined) throw invalid(fault.pointer, fault.detail);
  if (copied.text.length > mostLength) throw problem('payload_too_large', '', 'is longer than the service takes', 413);
  return copied;
}

/** Undefined for a text that the service would refuse the record for: some come from whoever sent a request. */
function requestIdOf(id: string | undefined): string | undefined {
  if (typeof id !== 'string' || id === '' || id.length > 1_024) return undefined;
  return faultInName(id) === undefined ? id : undefined;
}

/** As the service does: a request that does not fit a schema by which requests are rejected, or a tenant that is no name. */
function refuseUnacceptable({ reason, errors }: EngineDecision, schemaRequests: string): void {
  const isRejected = reason.code === 'schema_violation' && schemaRequests === 'reject';
  if (!isRejected && errors[0]?.code !== 'control_character') return;
  throw invalid(errors[0]?.pointer ?? '', errors[0]?.message ?? reason.code);
}

function answerOf(
  decisionId: string,
  policySet: string,
  policyVersion: string,
  revision: number | undefined,
  { decision, reason, obligations, advice, errors, explanation }: EngineDecision,
  explain: 'none' | 'brief' | 'full',
): DecisionAnswer {
  const isBare = explain === 'none';
  const answer = {
    allowed: decision === 'allow',
    decision,
    decisionId,
    policySet,
    policyVersion,
    reason: isBare ? { code: reason.code } : reason,
    obligations,
    errors: isBare ? errors.map(({ code, message }) => ({ code, message })) : errors,
  };
  if (revision === undefined && advice === undefined && explanation === undefined) return answer as DecisionAnswer;
  return {
    ...answer,
    ...(revision !== undefined && { revision }),
    ...(advice !== undefined && { advice }),
    ...(explanation !== undefined && { explanation }),
  } as DecisionAnswer;
}

function invalid(pointer: string, detail: string): VerdictProblem {
  return problem('invalid_request', pointer, detail);
}

function problem(code: string, pointer: string, fault: string, status = 400): VerdictProblem {
  const place = pointer === '' ? 'the request' : pointer.slice(1).replaceAll('/', '.');
  const detail = `The request is not valid: ${place} ${fault}.`;
  const type = `urn:verdict:problem:${code}`;
  return new VerdictProblem({ type, title: code, status, detail, instance: '', errors: [{ pointer, detail: fault }] });
}
