/** Which permissions a change of policy adds and takes away. */

import { bindValues, isAllowed } from '../engine/ask.js';
import { BindingError } from '../policy/binding.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { DecisionRequest, Entity, Json } from '../request.js';
import { unmetered } from '../step-budget.js';
import { itemsPerStep } from '../steps.js';
import { type Permission, questionsOf, requestOfPermission, sizeOf } from './access.js';
import { type ColumnUse, columnUses } from './column-use.js';
import { type Universe, universeOf } from './universe.js';

export interface AccessDiff {
  readonly gained: readonly Permission[];
  readonly lost: readonly Permission[];
  readonly examined: number;
  /** Why there may be more; empty when every permission was compared. */
  readonly limits: readonly string[];
}

export interface ChangedRule {
  /** Its type first. */
  readonly rule: readonly string[];
}

export interface AccessDiffOptions {
  readonly now: number;
  readonly maxQuestions: number;
  /** How many questions are all asked; of more only those that a changed rule can apply to. */
  readonly compareWholeUpTo?: number;
  /** Rules that only one of the two has; undefined when more than rules changed. */
  readonly changed?: { readonly removed: readonly ChangedRule[]; readonly added: readonly ChangedRule[] };
}

/**
 * Universes up to this number of questions are compared as a whole, which is faster than finding the affected
 * questions.
 */
const smallUniverse = 200_000;

/** A missing set, which is new or removed, allows nothing. */
export function* diffAccessInSteps(
  before: CompiledPolicySet | undefined,
  after: CompiledPolicySet | undefined,
  { now, maxQuestions, changed, compareWholeUpTo = smallUniverse }: AccessDiffOptions,
): Generator<void, AccessDiff> {
  const universe = universeOf([before, after].filter((set) => set !== undefined));
  const isPartial = changed !== undefined && before !== undefined && after !== undefined;
  const questions =
    isPartial && sizeOf(universe) > compareWholeUpTo
      ? concernedQuestions(universe, before, after, changed)
      : questionsOf(universe);
  const [gained, lost]: [Permission[], Permission[]] = [[], []];
  let examined = 0;
  for (const question of questions) {
    if (examined === maxQuestions) {
      const limit = `only ${maxQuestions} of the questions that the change concerns were asked`;
      return { gained, lost, examined, limits: [...universe.limits, limit] };
    }
    if (++examined % itemsPerStep === 0) yield;
    const request = requestOfPermission(question);
    const was = before !== undefined && isAllowed(before, request, now);
    const is = after !== undefined && isAllowed(after, request, now);
    if (is && !was) gained.push(question);
    if (was && !is) lost.push(question);
  }
  return { gained, lost, examined, limits: universe.limits };
}

/** The questions that a changed rule can apply to, each once. */
function* concernedQuestions(
  universe: Universe,
  before: CompiledPolicySet,
  after: CompiledPolicySet,
  changed: { readonly removed: readonly ChangedRule[]; readonly added: readonly ChangedRule[] },
): Generator<Permission> {
  const seen = new Set<number>();
  const concerns = [
    ...concernsOf(before, after, universe, changed.removed),
    ...concernsOf(after, before, universe, changed.added),
  ];
  for (const { subjects, resources, actions } of concerns) {
    for (const s of subjects) {
      for (const r of resources) {
        for (const a of actions) {
          const key = (s * universe.resources.length + r) * universe.actions.length + a;
          if (seen.has(key)) continue;
          seen.add(key);
          const [subject, resource] = [universe.subjects[s] as Entity, universe.resources[r] as Entity];
          const action = universe.actions[a] as string;
          for (const context of universe.contexts) yield { subject, resource, action, context };
        }
      }
    }
  }
}

/** Indices into the universe. */
interface Concern {
  readonly subjects: readonly number[];
  readonly resources: readonly number[];
  readonly actions: readonly number[];
}

type Part = 'subject' | 'resource' | 'action';

function* concernsOf(
  set: CompiledPolicySet,
  other: CompiledPolicySet,
  universe: Universe,
  rules: readonly ChangedRule[],
): Generator<Concern> {
  if (!isCombination(set.main)) return;
  const main = set.main;
  const values = new PartValues(set, main, universe);
  const uses = columnUses(main);
  for (const { rule } of rules) {
    const [ptype = '', ...fields] = rule;
    const select = (part: Part): readonly number[] =>
      values.select(part, (read) =>
        ptype === main.policy.key
          ? uses.every((use, column) => mayMatch(set, use, fields[column] ?? '', read))
          : mayReach([set, other], uses, ptype, fields, read),
      );
    yield { subjects: select('subject'), resources: select('resource'), actions: select('action') };
  }
}

/** The value of a token for one candidate; undefined if the token does not depend on that part alone. */
type ReadToken = (token: string) => Json | undefined;

/** Whether a rule of the policy could match the candidate, as far as this column can tell. */
function mayMatch(set: CompiledPolicySet, use: ColumnUse, text: string, read: ReadToken): boolean {
  if (!('token' in use) || text === use.always) return true;
  const value = read(use.token);
  if (typeof value !== 'string' || !isCombination(set.main)) return true;
  switch (use.kind) {
    case 'equal':
      return value === text;
    case 'role':
      // Domain and time are left to the question itself.
      return (
        use.domain !== undefined ||
        isTimed(set, use.relation) ||
        set.roles.get(use.relation)?.reaches(value, text, undefined, 0) !== false
      );
    case 'pattern': {
      const definition = set.main.environment.functions.get(use.function);
      if (definition === undefined) return true;
      try {
        return set.main.environment.patterns.find(definition, text).matches?.(value, unmetered) !== false;
      } catch {
        return true;
      }
    }
    default:
      return use satisfies never;
  }
}

function isTimed(set: CompiledPolicySet, key: string): boolean {
  return (set.model.roles.get(key)?.conditionColumns ?? 0) > 0;
}

/** Whether the candidate could hold a role over a link that changed: it is, or reaches, the link's lower end. */
function mayReach(
  sets: readonly CompiledPolicySet[],
  uses: readonly ColumnUse[],
  key: string,
  [child = '', , domain]: readonly string[],
  read: ReadToken,
): boolean {
  return uses.every((use) => {
    if (use.kind !== 'role' || use.relation !== key) return true;
    const value = read(use.token);
    if (typeof value !== 'string' || value === child || sets.some((set) => isTimed(set, key))) return true;
    const hasDomain = sets[0]?.model.roles.get(key)?.hasDomain === true;
    if (hasDomain && (domain === undefined || /[*?{}^$()[\]|]/.test(domain))) return true;
    return sets.some(({ roles }) => roles.get(key)?.reaches(value, child, hasDomain ? domain : undefined, 0) !== false);
  });
}

/** Values of the tokens for each candidate of a part, computed once. */
class PartValues {
  private readonly values = new Map<Part, readonly (readonly (Json | undefined)[])[]>();
  private readonly tokensOf: ReadonlyMap<Part, ReadonlySet<string>>;

  constructor(
    private readonly set: CompiledPolicySet,
    private readonly main: Combination,
    private readonly universe: Universe,
  ) {
    const parts: readonly Part[] = ['subject', 'resource', 'action'];
    this.tokensOf = new Map(
      parts.map((part) => [
        part,
        new Set(main.tokens.filter((token) => partOf(token) === part).map(({ token }) => token)),
      ]),
    );
  }

  select(part: Part, accepts: (read: ReadToken) => boolean): readonly number[] {
    const own = this.tokensOf.get(part);
    const selected: number[] = [];
    for (const [index, values] of this.valuesOf(part).entries()) {
      const read: ReadToken = (token) =>
        own?.has(token) === true ? values[this.main.request.tokens.indexOf(token)] : undefined;
      if (accepts(read)) selected.push(index);
    }
    return selected;
  }

  private valuesOf(part: Part): readonly (readonly (Json | undefined)[])[] {
    let values = this.values.get(part);
    if (values === undefined) {
      values = this.requestsOf(part).map((request) => {
        const bound = bindValues(this.set, request);
        return bound instanceof BindingError ? [] : bound.values;
      });
      this.values.set(part, values);
    }
    return values;
  }

  private requestsOf(part: Part): readonly DecisionRequest[] {
    const [context = {}] = this.universe.contexts;
    const nobody = { type: '', id: '' };
    const ask = (own: Partial<DecisionRequest>): DecisionRequest => ({
      subject: nobody,
      action: { name: '' },
      resource: nobody,
      attributes: context,
      ...own,
    });
    if (part === 'subject') return this.universe.subjects.map((subject) => ask({ subject }));
    if (part === 'resource') return this.universe.resources.map((resource) => ask({ resource }));
    return this.universe.actions.map((name) => ask({ action: { name } }));
  }
}

/** The part of a request that alone determines the value of a token. */
function partOf({ role, line }: Combination['tokens'][number]): Part | undefined {
  if (line === undefined) return role === 'subject' || role === 'resource' || role === 'action' ? role : undefined;
  const paths = line.kind === 'path' ? [line.path] : line.parts.filter((part) => typeof part !== 'string');
  const roots = new Set(paths.map(({ root }) => root));
  const [root] = roots;
  return roots.size === 1 && root !== undefined && root !== 'attributes' ? root : undefined;
}
