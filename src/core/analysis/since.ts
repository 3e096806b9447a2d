/** What today's defaults change in a set that an earlier version served: `verdict lint --since 0.1`. */

import { type NamedText, type Place, readYaml, type YamlNode } from '../manifest/yaml-document.js';
import { isCombination } from '../policy/combination.js';
import type { CompiledPolicySet, CompileOptions } from '../policy/compile.js';
import { formatProblem, type PolicyProblem, presentProblems } from '../problem.js';

/** A set as it is read with one number of the defaults; undefined where it cannot be compiled. */
export interface ReadSet {
  readonly compiled: CompiledPolicySet | undefined;
  readonly problems: readonly PolicyProblem[];
}

/** What the set was compiled from, for the places of what is said of it. */
export type StoredFiles = Pick<CompileOptions, 'entities' | 'schema'>;

/** More rules than this that each request is put to may take more steps than an evaluation has. */
const manyAskedRules = 5_000;

/** Problems that are new, and defaults that changed and bite this set. */
export function changesSince(before: ReadSet, now: ReadSet, files: StoredFiles): readonly PolicyProblem[] {
  const known = new Set(before.problems.map(formatProblem));
  const fresh = now.problems.filter((problem) => !known.has(formatProblem(problem)));
  const changed = before.compiled === undefined ? [] : changedDefaults(before.compiled, now.compiled, files);
  return presentProblems([...fresh, ...changed]);
}

function changedDefaults(
  before: CompiledPolicySet,
  now: CompiledPolicySet | undefined,
  { entities, schema }: StoredFiles,
): readonly PolicyProblem[] {
  const changed: PolicyProblem[] = [];
  const note = (place: Place, message: string, hint: string): void => {
    changed.push({ severity: 'warning', code: 'changed_default', message, ...place, hint });
  };
  const hasAttributes = [...before.entities].some(({ attributes }) => Object.keys(attributes).length > 0);
  if (now !== undefined && before.manifest.precedence !== now.manifest.precedence && hasAttributes) {
    const message =
      'where a request and a stored entity have an attribute both, the stored one counts; it was the sent one';
    note(
      placeOfAttributes(entities),
      message,
      'say "entities: { precedence: request }" in policy-set.yaml to keep what was',
    );
  }
  if (now !== undefined && before.manifest.schemaRequests !== now.manifest.schemaRequests && schema !== undefined) {
    const message = 'a request that breaks the schema is denied; it was not looked at';
    note(
      placeOfRoot(schema, 'schema.yaml'),
      message,
      'say "schema: { requests: ignore }" in policy-set.yaml to keep what was',
    );
  }
  const { main } = before;
  if (isCombination(main) && main.plan.scans && main.readsRules && main.rules.length > manyAskedRules) {
    const message =
      'each request is put to every rule, and functions and roles count as steps: the budget may not suffice';
    const matcher = before.model.matchers.get(before.manifest.definitions.m);
    note(
      { file: before.model.file, ...(matcher?.place(0) ?? { line: 1, column: 1 }) },
      message,
      'let the matcher compare a column with the request, or say stepBudget in policy-set.yaml',
    );
  }
  return changed;
}

/** The first attributes that an entity has stored. */
function placeOfAttributes(entities: StoredFiles['entities']): Place {
  const root = documentOf(entities, 'entities.yaml');
  const stored = (root?.items('the list of entities') ?? []).find((entity) =>
    entity.members('an entity')?.has('attributes'),
  );
  return stored?.placeOfKey(['attributes']) ?? placeOfRoot(entities, 'entities.yaml');
}

/** Where the document begins, behind its comments. */
function placeOfRoot(source: StoredFiles['entities'] | StoredFiles['schema'], file: string): Place {
  return documentOf(source, file)?.place ?? { file, line: 1, column: 1 };
}

/** Undefined for what was given as a value, which has no places. */
function documentOf(source: StoredFiles['entities'] | StoredFiles['schema'], file: string): YamlNode | undefined {
  const text = typeof source === 'string' ? { file, text: source } : source;
  const isText = text !== undefined && 'text' in text && typeof text.text === 'string';
  // Sound: a schema's or a list's own members are not texts. What is wrong in the file was reported before.
  return isText ? readYaml(text as NamedText, () => undefined) : undefined;
}
