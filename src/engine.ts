/**
 * The engine as a library: no framework, no database, no files.
 *
 *     import { compilePolicySet } from 'verdict/engine';
 *
 *     const set = compilePolicySet({ model, rules: 'p, alice, invoice, read' });
 *     set.decide({ subject: 'alice', action: 'read', resource: 'invoice' }, { now: Date.now() }).decision; // 'allow'
 */

import { LiveData } from './core/data/live-data.js';
import { addDataInSteps } from './core/policy/change-data.js';
import { type CompileOptions, compileInSteps, type Identify } from './core/policy/compile.js';
import type { LiveEntries } from './core/policy/data-change.js';
import { policySetVersion } from './core/policy/version.js';
import { PolicySet } from './core/policy-set.js';
import { finish } from './core/steps.js';
import { sha256 } from './digest/sha-256.js';

export { faultInQuestion, type QuestionFault } from './core/asked/question-fault.js';
export { LiveData, type RoleTuple } from './core/data/live-data.js';
export type { Diagnostic, Effect, EngineDecision, Reason, ReasonCode } from './core/decision.js';
export { parseDuration } from './core/duration.js';
export type { DecideOptions } from './core/engine/decide.js';
export type { EnforceOptions, EnforceResult } from './core/engine/enforce.js';
export { engineVersion } from './core/engine/engine-version.js';
export { faultInName } from './core/names.js';
export type { ChangeOptions } from './core/policy/change-data.js';
export type { CompileOptions } from './core/policy/compile.js';
export {
  type DataChange,
  DataError,
  type DataProblem,
  type EntityName,
  type LiveEntries,
  type NewEntity,
} from './core/policy/data-change.js';
export { type ChangedPolicySet, PolicySet } from './core/policy-set.js';
export type { PolicyProblem } from './core/problem.js';
export { PolicyError } from './core/problem.js';
export type { DecisionRequest, DecisionRequestInput, Json, JsonObject } from './core/request.js';
export { parseRfc3339 } from './core/rfc3339.js';
export type { SearchOptions, SearchResult } from './core/search/search.js';
export type { SearchQuery, WhatQuery, WhoQuery } from './core/search/search-query.js';
export { currentSemantics, type Semantics } from './core/semantics.js';

const identify: Identify = (files) =>
  policySetVersion(
    files.map(({ file, text }) => ({ path: file, content: text })),
    sha256,
  );

const noData = LiveData.empty(sha256);

/** Texts of the files, and the live data beside them. */
export interface PolicySetSources extends CompileOptions {
  /** Role links and entities of a set whose manifest has `data`: lists of them, or the data of another set. */
  readonly data?: LiveEntries | LiveData;
  /**
   * What `version` says of the set, instead of the digest of these texts: for texts from which was left out what no answer depends
   * on, as the bundles of a service may be. Nothing holds it against the texts, so it must come from a source that is trusted. A set that
   * `change` makes has the version of what is here again.
   */
  readonly version?: string;
}

/**
 * Compiles a policy set from the texts of its files.
 *
 * @throws PolicyError with every problem, each with its place, when the set does not load: for what Casbin's reference
 *   refuses, and with `strict` for every problem of severity `error`.
 * @throws DataError with every problem of `data`, each with its place in it, when the files load. It is always strict.
 */
export function compilePolicySet(options: PolicySetSources): PolicySet {
  return finish(compilePolicySetInSteps(options));
}

/** As `compilePolicySet`, pausing every few milliseconds, so that a service can load a large set while it answers. */
export function* compilePolicySetInSteps({ data, version, ...options }: PolicySetSources): Generator<void, PolicySet> {
  const ofFiles = yield* compileInSteps(options, identify, noData);
  const compiled = data === undefined ? ofFiles : yield* addDataInSteps(ofFiles, data);
  return new PolicySet(version === undefined ? compiled : Object.freeze({ ...compiled, version }));
}
