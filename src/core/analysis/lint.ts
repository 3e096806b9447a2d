/** What a policy set says without meaning it: warnings beyond what the loader refuses. */
import { isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { NamedText } from '../policy/yaml-document.js';
import { type Problem, presentProblems } from '../problem.js';
import { finish } from '../steps.js';
import { findBroadWildcards } from './broad-wildcards.js';
import { findConstantConditions } from './constant-conditions.js';
import { findCoveredRules } from './covered-rules.js';
import { findFullScans } from './full-scans.js';
import { findIdleRoles } from './idle-roles.js';
import { lintedSet } from './linted-set.js';
import { findOwnLimits } from './own-limits.js';
import { applySilences } from './silences.js';
import { findUnaskedPaths } from './unasked-paths.js';

const checks = [
  findCoveredRules,
  findIdleRoles,
  findConstantConditions,
  findBroadWildcards,
  findOwnLimits,
  findFullScans,
  findUnaskedPaths,
];

/**
 * Adds the linter's warnings to the problems that the compiler found, leaves out what is silenced in place, and sorts.
 *
 * @param texts the files that the set was compiled from, for places and silences.
 */
export function* lintInSteps(
  compiled: CompiledPolicySet | undefined,
  found: readonly Problem[],
  texts: readonly NamedText[],
): Generator<void, readonly Problem[]> {
  const main = compiled?.main;
  const warnings: Problem[] = [];
  if (compiled !== undefined && main !== undefined && isCombination(main)) {
    const set = lintedSet(compiled, main, texts);
    for (const check of checks) {
      for (const problem of check(set)) {
        if (problem === undefined) yield;
        else warnings.push(problem);
      }
    }
  }
  return presentProblems(applySilences([...found, ...warnings], texts));
}

/** As `lintInSteps`, at once. */
export function lint(...args: Parameters<typeof lintInSteps>): readonly Problem[] {
  return finish(lintInSteps(...args));
}
