/**
 * The engine as a library: no framework, no database, no files.
 *
 *     import { compilePolicySet } from 'verdict/engine';
 *
 *     const set = compilePolicySet({ model, rules: 'p, alice, invoice, read' });
 *     set.decide({ subject: 'alice', action: 'read', resource: 'invoice' }, { now: Date.now() }).decision; // 'allow'
 */

export type { Diagnostic, Effect, EngineDecision, Reason, ReasonCode } from './core/decision.js';
export type { DecideOptions } from './core/engine/decide.js';
export type { EnforceOptions, EnforceResult } from './core/engine/enforce.js';
export { engineVersion } from './core/engine/engine-version.js';
export type { CompileOptions } from './core/policy/compile.js';
export { compilePolicySet, compilePolicySetInSteps, PolicySet } from './core/policy-set.js';
export type { Problem } from './core/problem.js';
export { PolicyError } from './core/problem.js';
export type { DecisionRequest, DecisionRequestInput, Json, JsonObject } from './core/request.js';
export type { SearchOptions, SearchResult } from './core/search/search.js';
export type { SearchQuery, WhatQuery, WhoQuery } from './core/search/search-query.js';
export { SEMANTICS, type Semantics } from './core/semantics.js';
