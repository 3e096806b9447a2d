/**
 * Verdict within a test of your own: no service, but its engine on your policies, so a test finds out what they say and not what
 * it was told to answer. It needs `@verdict/engine`.
 *
 *     import { MockVerdict } from '@verdict/client/mock';
 *
 *     const verdict = MockVerdict.load('policies', { policySet: 'invoices' });
 *     await verdict.can({ subject: 'greta', action: 'approve', resource: 'INV-1044' });   // true
 *     verdict.isDown = true;                                                             // and what does the application do?
 *
 * It is a `VerdictClient` whose calls are answered here: what the client refuses, joins, retries or denies it does as ever. It
 * answers `decide`, `decideMany`, `can`, `evaluate`, `evaluateMany` and `changeData`, for a caller with all scopes; searches are
 * refused (501). Questions have the limits that a service has by default.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import {
  type CompileOptions,
  compilePolicySet,
  DataError,
  type DecisionRequest,
  faultInQuestion,
  type PolicySet,
  parseRfc3339,
  type QuestionFault,
} from '@verdict/engine';
import {
  type DecideRequest,
  type DecisionAnswer,
  type Problem,
  VerdictClient,
  type VerdictClientOptions,
} from './client.js';

export interface MockOptions extends Omit<VerdictClientOptions, 'baseUrl' | 'baseUrls' | 'fetch' | 'apiKey'> {
  /** The clock of decisions, in milliseconds; without it, that of the machine. */
  readonly now?: () => number;
}

type Json = Readonly<Record<string, unknown>>;

/** A policy set in service. */
interface Served {
  set: PolicySet;
  /** Counts the changes of its live data; undefined where there was none. */
  revision?: number;
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly errors: readonly { pointer: string; detail: string }[] = [],
  ) {
    super(detail);
  }
}

export class MockVerdict extends VerdictClient {
  /** While it is true, nobody answers: what the application does then can be tested. */
  isDown = false;
  /** All that was decided, in its order. */
  readonly decisions: { readonly request: Json; readonly answer: DecisionAnswer }[] = [];

  private constructor(
    private readonly sets: ReadonlyMap<string, Served>,
    { now = Date.now, ...options }: MockOptions,
  ) {
    // No retries: nobody else would answer.
    super({
      retries: 0,
      ...options,
      baseUrl: 'http://mock.invalid',
      fetch: (url, init) => this.answer(String(url), init),
    });
    this.now = now;
  }

  private readonly now: () => number;

  /**
   * @param folder of one policy set, which is then called by its folder's name, or of several
   * @throws PolicyError with every problem of the policies, as the service would find them
   * @throws TypeError if there is no set, or one says `engine: casbin`
   */
  static load(folder: string, options: MockOptions = {}): MockVerdict {
    const isSet = (place: string) => readdirSync(place).includes('model.conf');
    const folders = isSet(folder)
      ? [resolve(folder)]
      : readdirSync(folder)
          .map((name) => resolve(folder, name))
          .filter((place) => statSync(place).isDirectory() && isSet(place));
    if (folders.length === 0) throw new TypeError(`no policy set is in ${folder}: there is no model.conf`);
    const sets = folders.map((place): [string, Served] => {
      const set = compilePolicySet(optionsIn(place));
      if (set.manifest.engine === 'casbin')
        throw new TypeError(`${place} says "engine: casbin": only the service has that`);
      return [basename(place), { set }];
    });
    return new MockVerdict(new Map(sets), options);
  }

  private async answer(url: string, init: RequestInit | undefined): Promise<Response> {
    if (this.isDown) throw new TypeError('MockVerdict is down');
    try {
      return Response.json(this.route(new URL(url).pathname, JSON.parse(String(init?.body))));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const problem = problemOf(error);
      return Response.json(problem, { status: error.status, headers: { 'content-type': 'application/problem+json' } });
    }
  }

  private route(path: string, body: Json): unknown {
    const [, set, standard] = /^(?:\/sets\/([^/]+))?\/access\/v1\/(.+)$/.exec(path) ?? [];
    const policySet = set === undefined ? undefined : decodeURIComponent(set);
    if (path === '/v1/decide') return this.decided(body);
    if (path === '/v1/decide/batch') return { decisions: (body.requests as Json[]).map((each) => this.item(each)) };
    if (standard === 'evaluation') return this.evaluated(body, policySet);
    if (standard === 'evaluations') return { evaluations: this.evaluations(body, policySet) };
    const changed = /^\/v1\/policy-sets\/([^/]+)\/changes$/.exec(path)?.[1];
    if (changed !== undefined) return this.changed(decodeURIComponent(changed), body);
    throw new Refusal(501, 'not_implemented', `MockVerdict does not answer ${path}.`);
  }

  private decided(body: Json): DecisionAnswer {
    const fault = faultInQuestion(body);
    if (fault !== undefined) throw invalid(fault);
    const { policySet, explain = 'brief', at, atLeast, maxStaleness, ...request } = body;
    const [name, served] = this.served(policySet as string | undefined);
    this.checkDemand(name, served, atLeast as DecideRequest['atLeast']);
    const { set, revision } = served;
    const now = at === undefined ? this.now() : parseRfc3339(at as string)!;
    const level = explain as 'none' | 'brief' | 'full';
    const decision = set.decide(request as unknown as DecisionRequest, { now, explain: level });
    const { reason, obligations, advice, errors, explanation } = decision;
    const answer = {
      allowed: decision.decision === 'allow',
      decision: decision.decision,
      decisionId: crypto.randomUUID(),
      policySet: name,
      policyVersion: set.version,
      ...(revision !== undefined && { revision }),
      reason: level === 'none' ? { code: reason.code } : reason,
      obligations,
      ...(advice !== undefined && { advice }),
      errors: level === 'none' ? errors.map(({ code, message }) => ({ code, message })) : errors,
      ...(explanation !== undefined && { explanation }),
    } as DecisionAnswer;
    this.decisions.push({ request: body, answer });
    return answer;
  }

  private item(request: Json): DecisionAnswer | { readonly problem: Problem } {
    try {
      return this.decided(request);
    } catch (error) {
      if (error instanceof Refusal) return { problem: problemOf(error) };
      throw error;
    }
  }

  private evaluated({ subject, action, resource, context }: Json, policySet: string | undefined): object {
    const translated = {
      subject: translate(subject),
      action: translate(action),
      resource: translate(resource),
      ...(context !== undefined && { attributes: context }),
      ...(policySet !== undefined && { policySet }),
    };
    const {
      allowed,
      decisionId,
      policySet: name,
      policyVersion,
      revision,
      reason,
      obligations,
    } = this.decided(translated);
    const ofSet = { policy_set: name, policy_version: policyVersion, ...(revision !== undefined && { revision }) };
    return {
      decision: allowed,
      context: { id: decisionId, ...ofSet, reason, obligations, reason_admin: { en: reason.code } },
    };
  }

  private evaluations({ evaluations, options, ...defaults }: Json, policySet: string | undefined): object[] {
    const semantic = (options as Json | undefined)?.evaluations_semantic;
    const last = semantic === 'deny_on_first_deny' ? false : semantic === 'permit_on_first_permit' ? true : undefined;
    const answers: object[] = [];
    for (const each of evaluations as Json[]) {
      const answer = this.evaluatedItem({ ...defaults, ...each }, policySet);
      answers.push(answer);
      if (answer.decision === last) break;
    }
    return answers;
  }

  private evaluatedItem(request: Json, policySet: string | undefined): { readonly decision?: boolean } {
    try {
      return this.evaluated(request, policySet);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { decision: false, context: { error: { status: error.status, message: error.message } } } as object;
    }
  }

  private changed(name: string, change: Json): object {
    const [, served] = this.served(name);
    try {
      const { set, added, removed } = served.set.change(change);
      served.set = set;
      served.revision = (served.revision ?? 0) + 1;
      return { set: name, version: set.version, revision: served.revision, added, removed };
    } catch (error) {
      if (error instanceof DataError) throw refusalOf(error);
      throw error;
    }
  }

  /** What nobody can have served is refused as the service refuses it; what is served here is never old. */
  private checkDemand(name: string, { revision }: Served, atLeast: DecideRequest['atLeast']): void {
    if (atLeast === undefined) return;
    const bySet = typeof atLeast === 'object';
    const refused = (code: string, of: string, fault: string): Refusal =>
      refusalAt(code, { pointer: bySet ? `/atLeast/${of}` : '/atLeast', detail: fault });
    const missing = bySet ? Object.keys(atLeast).find((each) => !this.sets.has(each)) : undefined;
    if (missing !== undefined) {
      throw refused('unknown_revision', missing, `names the policy set "${missing}", which there is not`);
    }
    const demanded = bySet ? (Object.hasOwn(atLeast, name) ? atLeast[name] : undefined) : atLeast;
    if (demanded === undefined || (revision ?? 0) >= demanded) return;
    if (revision === undefined) throw refused('no_revision', name, `is ${demanded}, and "${name}" has no revisions`);
    throw refused('unknown_revision', name, `is ${demanded}, and "${name}" is at ${revision}`);
  }

  private served(name: string | undefined): [name: string, Served] {
    const [only] = this.sets.size === 1 ? this.sets.keys() : ['default'];
    const wanted = name ?? only;
    const served = wanted === undefined ? undefined : this.sets.get(wanted);
    if (wanted !== undefined && served !== undefined) return [wanted, served];
    if (name === undefined) throw new Refusal(400, 'no_policy_set', 'No policy set was named and there is no default.');
    throw new Refusal(404, 'policy_set_not_found', `There is no policy set "${name}".`);
  }
}

/** The texts of a set's folder, as the service reads them, so that the version is the same. */
function optionsIn(folder: string): CompileOptions {
  const names = readdirSync(folder).sort();
  const textOf = (name: string) => ({ file: name, text: readFileSync(join(folder, name), 'utf8') });
  const [manifest] = names.filter((name) => name === 'policy-set.yaml').map(textOf);
  const [entities] = names.filter((name) => /^entities\.(yaml|json)$/.test(name)).map(textOf);
  const [schema] = names.filter((name) => name === 'schema.yaml').map(textOf);
  return {
    model: textOf('model.conf'),
    rules: names.filter((name) => /^[^.][^/]*\.csv$/.test(name)).map(textOf),
    strict: true,
    ...(manifest !== undefined && { manifest }),
    ...(entities !== undefined && { entities }),
    ...(schema !== undefined && { schema }),
  };
}

function problemOf({ status, code, message, errors }: Refusal): Problem {
  const instance = `urn:verdict:request:${crypto.randomUUID()}`;
  const problem = { type: `urn:verdict:problem:${code}`, title: code, status, detail: message, instance };
  return errors.length === 0 ? problem : { ...problem, errors };
}

function invalid(fault: QuestionFault): Refusal {
  return refusalAt('invalid_request', fault);
}

function refusalAt(code: string, { pointer, detail }: QuestionFault): Refusal {
  return new Refusal(400, code, `The request is not valid: ${pointer} ${detail}.`, [{ pointer, detail }]);
}

/** As the service says it: not valid by itself, or not fit for what the set has. */
function refusalOf({ problems }: DataError): Refusal {
  const faults = problems.map(({ pointer, message }) => ({ pointer, detail: message }));
  const detail = `The change cannot be made: ${faults[0]?.detail}.`;
  const codes = new Set(problems.map(({ code }) => code));
  const [only = ''] = codes;
  if ([...codes].some((code) => !conflicts.has(code))) return new Refusal(400, 'invalid_request', detail, faults);
  const isNamed = codes.size === 1 && (only === 'defined_in_files' || only === 'not_live_data');
  return new Refusal(409, isNamed ? only : 'conflict', detail, faults);
}

const conflicts: ReadonlySet<string> = new Set([
  'conflict',
  'constraint_violation',
  'defined_in_files',
  'not_live_data',
]);

/** AuthZEN calls attributes properties. */
function translate(part: unknown): unknown {
  if (typeof part !== 'object' || part === null) return part;
  const { properties, type, id, name } = part as Json;
  return { type, id, name, attributes: properties };
}
