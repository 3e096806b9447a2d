/** Warnings about a policy set, beyond the problems that the loader refuses. */

import type { NamedText } from '../manifest/yaml-document.js';
import { isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { type PolicyProblem, presentProblems } from '../problem.js';
import { finish } from '../steps.js';
import { findBroadWildcards } from './broad-wildcards.js';
import { findConstantConditions } from './constant-conditions.js';
import { findCoveredRules } from './covered-rules.js';
import { findFullScans } from './full-scans.js';
import { findIdleRoles } from './idle-roles.js';
import { lintedSet } from './linted-set.js';
import { findMalformedObligations } from './malformed-obligations.js';
import { findMisreadValues } from './misread-values.js';
import { findNullAttributes } from './null-attributes.js';
import { findOwnLimits } from './own-limits.js';
import { applySilences } from './silences.js';
import { findUnaskedPaths } from './unasked-paths.js';
import { findUnlikelyTypes } from './unlikely-types.js';

const checks = [
  findMisreadValues,
  findNullAttributes,
  findCoveredRules,
  findIdleRoles,
  findConstantConditions,
  findBroadWildcards,
  findOwnLimits,
  findFullScans,
  findUnaskedPaths,
  findUnlikelyTypes,
  findMalformedObligations,
];

/**
 * Adds the linter's warnings to the problems that the compiler found, leaves out what is silenced in place, and sorts.
 *
 * @param texts the files that the set was compiled from, for places and silences.
 */
export function* lintInSteps(
  compiled: CompiledPolicySet | undefined,
  found: readonly PolicyProblem[],
  texts: readonly NamedText[],
): Generator<void, readonly PolicyProblem[]> {
  const main = compiled?.main;
  const warnings: PolicyProblem[] = [];
  if (compiled !== undefined && main !== undefined && isCombination(main)) {
    const set = lintedSet(compiled, main, texts);
    for (const check of checks) {
      for (const problem of check(set)) {
        if (problem === undefined) yield;
        else warnings.push(problem);
      }
    }
  }
  return presentProblems(applySilences([...found, ...withoutConsequences(warnings)], texts));
}

/** Warnings that can follow from a misread value: nobody has the role "kim ", and it gives nothing. */
const consequences: ReadonlySet<string> = new Set(['role_without_members', 'role_gives_nothing', 'broad_wildcard']);
const misreadings: ReadonlySet<string> = new Set([
  ...['comment_in_value', 'space_in_value', 'unseen_in_value', 'quotes_in_value', 'lookalike_in_value'],
  ...['wildcard_compared', 'wildcard_domain', 'foreign_pattern'],
]);

/** One mistake is one problem: leaves out warnings that follow from a misread value. */
function withoutConsequences(warnings: readonly PolicyProblem[]): readonly PolicyProblem[] {
  const placeOf = ({ file, line, column }: PolicyProblem): string => `${file}:${line}:${column}`;
  const misread = new Set(warnings.filter(({ code }) => misreadings.has(code)).map(placeOf));
  return warnings.filter((warning) => !consequences.has(warning.code) || !misread.has(placeOf(warning)));
}

/** As `lintInSteps`, at once. */
export function lint(...args: Parameters<typeof lintInSteps>): readonly PolicyProblem[] {
  return finish(lintInSteps(...args));
}
