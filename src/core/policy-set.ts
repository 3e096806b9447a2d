/** A compiled policy set as its users see it. */
import type { LiveData } from './data/live-data.js';
import type { EngineDecision } from './decision.js';
import { type BoundValues, bindValues } from './engine/ask.js';
import { answerBindingError, type DecideOptions, decide, decideInSteps, type StepCount } from './engine/decide.js';
import { type EnforceOptions, type EnforceResult, enforce } from './engine/enforce.js';
import type { Manifest } from './manifest/manifest.js';
import type { BindingError } from './policy/binding.js';
import { type ChangeOptions, changeDataInSteps } from './policy/change-data.js';
import { isCombination } from './policy/combination.js';
import type { CompiledPolicySet } from './policy/compile.js';
import type { DataChange } from './policy/data-change.js';
import { RequestEntities } from './policy/request-entities.js';
import { faultInNames } from './policy/request-names.js';
import type { PolicyProblem } from './problem.js';
import { type DecisionRequest, type DecisionRequestInput, normaliseRequest } from './request.js';
import { candidatesInSteps } from './search/candidates.js';
import type { SearchKind } from './search/names.js';
import { nothingFound, type SearchOptions, type SearchResult, searchInSteps } from './search/search.js';
import { questionAbout, type SearchQuery, type WhatQuery, type WhoQuery } from './search/search-query.js';
import type { Semantics } from './semantics.js';
import { finish } from './steps.js';

/** A set with other live data, and how much of the change was new to it. */
export interface ChangedPolicySet {
  /** The set itself if nothing changed. */
  readonly set: PolicySet;
  /** Number of role links and entities that were added, and that were removed. */
  readonly added: number;
  readonly removed: number;
}

export class PolicySet {
  /** @param compiled for the parts of the core that stand on sets, such as analysis; it is not a part of the library */
  constructor(readonly compiled: CompiledPolicySet) {}

  /** `sha256:` and the digest of model, rules, manifest, entities and schema, and of live data if there is some. */
  get version(): string {
    return this.compiled.version;
  }

  /** What the version would be without live data. */
  get versionOfFiles(): string {
    return this.compiled.versionOfFiles;
  }

  /** Live data; undefined if the manifest lets the set have none. */
  get data(): LiveData | undefined {
    return this.compiled.data;
  }

  /**
   * Makes a set with other live data. This one stays as it is, so that what began with it ends with it; both share
   * matchers, rules and most of the data. All of the change is made, or nothing.
   *
   *     const { set: next } = set.change({ add: { roles: [['g', 'user:ana', 'editor']] } });
   *
   * What is to be added and is there, or is to be removed and is not, changes nothing, and `added` and `removed` say so.
   *
   * @throws DataError with every problem of the change, each with its place in it
   */
  change(change: DataChange, options?: ChangeOptions): ChangedPolicySet {
    return finish(this.changeInSteps(change, options));
  }

  /** As `change`, pausing every few milliseconds, for a change of many thousand entries. */
  *changeInSteps(change: DataChange, options?: ChangeOptions): Generator<void, ChangedPolicySet> {
    const { compiled, added, removed } = yield* changeDataInSteps(this.compiled, change, options);
    return { set: compiled === this.compiled ? this : new PolicySet(compiled), added, removed };
  }

  /** The defaults that the set was read with; a part of each record of its decisions. */
  get semantics(): Semantics {
    return this.compiled.semantics;
  }

  /** Problems that were found when the set was compiled and did not stop it. */
  get problems(): readonly PolicyProblem[] {
    return this.compiled.problems;
  }

  /** Says in words how rules are found for a request, or that every rule must be asked. */
  get plan(): readonly string[] {
    const { main } = this.compiled;
    return isCombination(main) ? main.plan.words : [main.message];
  }

  /** The entities that requests name. They can be kept without the set, which is far larger. */
  get entities(): RequestEntities {
    const { entities, manifest } = this.compiled;
    return new RequestEntities(entities, manifest.precedence);
  }

  get manifest(): Manifest {
    return this.compiled.manifest;
  }

  /** Number of policy rules, role links and stored entities. */
  get size(): { readonly rules: number; readonly roleLinks: number; readonly entities: number } {
    const count = (stores: Iterable<{ readonly length: number }>): number =>
      [...stores].reduce((sum, store) => sum + store.length, 0);
    const { policies, groupings } = this.compiled.table;
    return {
      rules: count(policies.values()),
      roleLinks: count(groupings.values()) + (this.compiled.data?.roleLinks ?? 0),
      entities: this.compiled.entities.size,
    };
  }

  /**
   * Answers a decision request. Synchronous. It does not throw: errors are part of the answer.
   *
   *     set.decide({ subject: 'alice', action: 'read', resource: { type: 'doc', id: '1' } }, { now: Date.now() });
   */
  decide(request: DecisionRequestInput, options: DecideOptions): EngineDecision {
    const asked = normaliseRequest(request);
    const fault = this.faultIn(asked);
    return fault === undefined ? decide(this.compiled, asked, options) : answerBindingError(fault);
  }

  /** As `decide`, pausing every few milliseconds while it explains in full: the decision itself is one step. */
  *decideInSteps(request: DecisionRequestInput, options: DecideOptions): Generator<void, EngineDecision> {
    const asked = normaliseRequest(request);
    const fault = this.faultIn(asked);
    return fault === undefined ? yield* decideInSteps(this.compiled, asked, options) : answerBindingError(fault);
  }

  /** Callers of the library have no edge that refuses such names before. */
  private faultIn(request: DecisionRequest): BindingError | undefined {
    return this.compiled.semantics === 1 ? undefined : faultInNames(request);
  }

  /** As `decide`, for a request that is in its normal form already and whose names were looked at. */
  evaluate(request: DecisionRequest, options: DecideOptions, count?: StepCount): EngineDecision {
    return decide(this.compiled, request, options, count);
  }

  /** As `decideInSteps`, for a request that is in its normal form already. */
  evaluateInSteps(request: DecisionRequest, options: DecideOptions): Generator<void, EngineDecision> {
    return decideInSteps(this.compiled, request, options);
  }

  /**
   * Answers Casbin's own question: values in the order of the request definition.
   *
   *     set.enforce(['alice', 'data1', 'read']);                      // r, p, e, m
   *     set.enforce(['alice', 'data1', 'read'], { context: '2' });    // r2, p2, e2, m2
   */
  enforce(args: readonly unknown[], options: EnforceOptions = {}): EnforceResult {
    return enforce(this.compiled, args, options);
  }

  /**
   * Returns the ids of subjects of a type that may do an action with a resource. Every candidate that could be allowed
   * is decided; `complete` is false if some were not. A query with a name that `decide` refuses has no results, and
   * `errors` says why.
   *
   *     set.whoCan({ type: 'user', action: { name: 'read' }, resource: { type: 'doc', id: '1' } }, { now });
   *     // { results: ['alice', 'bob'], examined: 2, complete: true, narrowed: true }
   */
  whoCan(query: WhoQuery, options: SearchOptions): SearchResult {
    return this.search({ kind: 'subject', ...query }, options);
  }

  /**
   * Returns what a subject may do. With `type` and an action: the resources of that type. With a resource: the actions
   * on it.
   *
   *     set.whatCan({ subject: { id: 'alice' }, action: { name: 'read' }, type: 'doc' }, { now }).results;  // ['1', '2']
   *     set.whatCan({ subject: { id: 'alice' }, resource: { type: 'doc', id: '1' } }, { now }).results;    // ['read']
   */
  whatCan(query: WhatQuery, options: SearchOptions): SearchResult {
    return this.search({ kind: 'resource' in query ? 'action' : 'resource', ...query }, options);
  }

  /** As `whoCan` and `whatCan`; `kind` says which of the three is searched for. */
  search(query: SearchQuery, options: SearchOptions): SearchResult {
    return finish(this.searchInSteps(query, options));
  }

  /** As `search`, pausing every few milliseconds at most. */
  *searchInSteps(query: SearchQuery, options: SearchOptions): Generator<void, SearchResult> {
    const fault = this.faultIn(questionAbout(query, ''));
    if (fault !== undefined) return nothingFound(fault);
    return yield* searchInSteps(this.compiled, query, options);
  }

  /** The candidates of a search, in its order. */
  candidates(kind: SearchKind, type?: string): readonly string[] {
    return finish(candidatesInSteps(this.compiled, kind, type)).ids;
  }

  /** Number of names that a search leaves out because they are names of roles. */
  rolesLeftOut(kind: SearchKind, type?: string): number {
    return finish(candidatesInSteps(this.compiled, kind, type)).rolesLeftOut;
  }

  /** The values of a decision request, as `enforce` or stock Casbin takes them. */
  bind(request: DecisionRequest): BoundValues | BindingError {
    return bindValues(this.compiled, request);
  }
}
