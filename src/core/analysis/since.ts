/** What today's defaults change in a set that an earlier version served: `verdict lint --since 0.1`. */
import { isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { formatProblem, type PolicyProblem, presentProblems } from '../problem.js';

/** A set as it is read with one number of the defaults; undefined where it cannot be compiled. */
export interface ReadSet {
  readonly compiled: CompiledPolicySet | undefined;
  readonly problems: readonly PolicyProblem[];
}

/** More rules than this that each request is put to may take more steps than an evaluation has. */
const manyAskedRules = 5_000;

/** Problems that are new, and defaults that changed and bite this set. */
export function changesSince(before: ReadSet, now: ReadSet, hasSchema: boolean): readonly PolicyProblem[] {
  const known = new Set(before.problems.map(formatProblem));
  const fresh = now.problems.filter((problem) => !known.has(formatProblem(problem)));
  const changed = before.compiled === undefined ? [] : changedDefaults(before.compiled, now.compiled, hasSchema);
  return presentProblems([...fresh, ...changed]);
}

function changedDefaults(
  before: CompiledPolicySet,
  now: CompiledPolicySet | undefined,
  hasSchema: boolean,
): readonly PolicyProblem[] {
  const changed: PolicyProblem[] = [];
  const note = (file: string, message: string, hint: string): void => {
    changed.push({ severity: 'warning', code: 'changed_default', message, file, line: 1, column: 1, hint });
  };
  if (now !== undefined && before.manifest.precedence !== now.manifest.precedence && before.entities.size > 0) {
    const message =
      'where a request and a stored entity have an attribute both, the stored one counts; it was the sent one';
    note('entities.yaml', message, 'say "entities: { precedence: request }" in policy-set.yaml to keep what was');
  }
  if (now !== undefined && before.manifest.schemaRequests !== now.manifest.schemaRequests && hasSchema) {
    const message = 'a request that breaks the schema is denied; it was not looked at';
    note('schema.yaml', message, 'say "schema: { requests: ignore }" in policy-set.yaml to keep what was');
  }
  const { main } = before;
  if (isCombination(main) && main.plan.scans && main.readsRules && main.rules.length > manyAskedRules) {
    const message =
      'each request is put to every rule, and functions and roles count as steps: the budget may not suffice';
    note(
      'model.conf',
      message,
      'let the matcher compare a column with the request, or say stepBudget in policy-set.yaml',
    );
  }
  return changed;
}
