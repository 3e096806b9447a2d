/** Which permissions a change of policy adds and takes away. */

import { bindValues } from '../engine/ask.js';
import { type Expression, walk } from '../matcher/ast.js';
import { BindingError } from '../policy/binding.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { expressionsOf } from '../policy/expressions.js';
import { quote } from '../quote.js';
import type { DecisionRequest, Entity, Json } from '../request.js';
import { unmetered } from '../step-budget.js';
import { itemsPerStep } from '../steps.js';
import { maxLimits, questionsOf, sizeOf } from './access.js';
import { type ColumnUse, columnUses } from './column-use.js';
import { Examiner, type Permission, tooDear } from './examiner.js';
import { patternId } from './name-group.js';
import { follows, limitsOf, never, type Residual, sameResidual, textOf } from './residual.js';
import { type Universe, universeInSteps } from './universe.js';

/** A permission that one of the two sets gives where the other does not, or does under other conditions. */
export interface ChangedPermission extends Permission {
  /** The condition under which it was given, and is given; or `always`, or `never`. */
  readonly was: string;
  readonly is: string;
}

export interface AccessDiff {
  readonly gained: readonly ChangedPermission[];
  readonly lost: readonly ChangedPermission[];
  readonly examined: number;
  /** Why there may be more; empty when every permission was compared. */
  readonly limits: readonly string[];
  /** Undefined if there was nothing to compare. */
  readonly universe: Universe | undefined;
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

/** Universes up to this number of questions are compared as a whole. */
const smallUniverse = 50_000;

/**
 * A missing set, which is new or removed, allows nothing.
 *
 * Of each question it compares what is left when all that is known is put in: the same condition changes nothing.
 */
export function* diffAccessInSteps(
  before: CompiledPolicySet | undefined,
  after: CompiledPolicySet | undefined,
  { now, maxQuestions, changed, compareWholeUpTo = smallUniverse }: AccessDiffOptions,
): Generator<void, AccessDiff> {
  const universe = yield* universeInSteps([before, after].filter((set) => set !== undefined));
  const editions = new Editions(before, after);
  const [old, current] = [before, after].map((set, side) =>
    set === undefined ? undefined : new Examiner(set, universe, now, (name) => editions.of(name, side)),
  );
  const isPartial =
    changed !== undefined && before !== undefined && after !== undefined && concernsRulesAlone(before, after);
  const questions =
    isPartial && sizeOf(universe) > compareWholeUpTo
      ? concernedQuestions(universe, before, after, changed)
      : questionsOf(universe);
  const [gained, lost]: [ChangedPermission[], ChangedPermission[]] = [[], []];
  const limits = new Set([...universe.limits, ...incomparable(before, after), ...unknownHolders(before, after)]);
  let examined = 0;
  for (const question of questions) {
    if (examined === maxQuestions) {
      limits.add(`only ${maxQuestions} of the questions that the change concerns were asked`);
      break;
    }
    if (++examined % itemsPerStep === 0) yield;
    const was = old?.examine(question) ?? never;
    const is = current?.examine(question) ?? never;
    if (limitsOf(was).includes(tooDear) || limitsOf(is).includes(tooDear)) limits.add(tooDear);
    if (sameResidual(was, is)) continue;
    const change = { ...question, was: inWords(was), is: inWords(is) };
    if (!follows(was, is)) gained.push(change);
    if (!follows(is, was)) lost.push(change);
    for (const limit of [...limitsOf(was), ...limitsOf(is)]) if (limits.size < maxLimits) limits.add(limit);
  }
  return { gained, lost, examined, limits: [...limits], universe };
}

function inWords(residual: Residual): string {
  return textOf(residual) ?? residual.kind;
}

/** Tells whether both sets have the same under a name: the links of a role definition, or the schema. */
class Editions {
  private readonly same = new Map<string, boolean>();

  constructor(
    private readonly before: CompiledPolicySet | undefined,
    private readonly after: CompiledPolicySet | undefined,
  ) {}

  of(name: string, side: number): string {
    let same = this.same.get(name);
    if (same === undefined) {
      const { before, after } = this;
      same =
        before !== undefined &&
        after !== undefined &&
        (name === 'schema' ? hasSameSchema(before, after) : hasSameLinks(before, after, name));
      this.same.set(name, same);
    }
    return same ? '' : String(side);
  }
}

function hasSameLinks(before: CompiledPolicySet, after: CompiledPolicySet, relation: string): boolean {
  const [one, other] = [before, after].map((set) => linksOf(set, relation)) as [Set<string>, Set<string>];
  if (one.size !== other.size) return false;
  for (const link of one) if (!other.has(link)) return false;
  const [matching, otherMatching] = [before, after].map(({ manifest }) => manifest.roleMatching.get(relation));
  return JSON.stringify(matching) === JSON.stringify(otherMatching);
}

function linksOf(set: CompiledPolicySet, relation: string): ReadonlySet<string> {
  const found = new Set<string>();
  const links = set.table.groupings.get(relation);
  for (let link = 0; link < (links?.length ?? 0); link++) found.add(JSON.stringify(links?.fields(link)));
  for (const { domain, child, added } of set.roles.get(relation)?.liveLinks.asChanges() ?? []) {
    for (const parent of added) found.add(JSON.stringify([child, parent, ...(domain === '' ? [] : [domain])]));
  }
  return found;
}

function hasSameSchema(before: CompiledPolicySet, after: CompiledPolicySet): boolean {
  const textOfSchema = ({ schema, manifest }: CompiledPolicySet): string =>
    JSON.stringify([manifest.schemaRequests, schema], (_name, value: unknown) =>
      value instanceof Map ? [...value] : value,
    );
  return textOfSchema(before) === textOfSchema(after);
}

/** What of two sets cannot be compared question by question. */
function* incomparable(before: CompiledPolicySet | undefined, after: CompiledPolicySet | undefined): Generator<string> {
  if (before === undefined || after === undefined) return;
  if (!hasSameSchema(before, after)) {
    yield 'the schema changed: requests that one of the two refuses and the other does not were not compared';
  }
  if (before.manifest.precedence !== after.manifest.precedence) {
    yield 'entities.precedence changed: requests with other attributes than the stored ones were not compared';
  }
  if (deniedTypesOf(before) !== deniedTypesOf(after)) {
    yield 'entities.unknown changed: requests that are refused for the attributes they bring were not compared';
  }
  if (ownFunctionsOf(before) + ownFunctionsOf(after) > 0) {
    yield 'functions of the embedding program were taken for the same in both';
  }
}

/** Roles that are live data, in sets of which nobody knows the data: any name may come to have them. */
function* unknownHolders(
  before: CompiledPolicySet | undefined,
  after: CompiledPolicySet | undefined,
): Generator<string> {
  if (before?.versionOfFiles === after?.versionOfFiles) return;
  const names = new Set<string>();
  for (const set of [before, after]) {
    // With live data the version is another than that of the files.
    if (set === undefined || set.version !== set.versionOfFiles) continue;
    for (const name of set.manifest.data?.roles ?? []) names.add(name);
  }
  for (const name of names)
    yield `links of ${quote(name)} are live data: who holds the roles that changed was not asked`;
}

function deniedTypesOf({ manifest: { unknownDenied } }: CompiledPolicySet): string {
  return JSON.stringify(unknownDenied instanceof Set ? [...unknownDenied].sort() : (unknownDenied ?? null));
}

function ownFunctionsOf({ main }: CompiledPolicySet): number {
  return isCombination(main) ? main.environment.customFunctions.size : 0;
}

/** Whether a changed rule or link can concern no other questions than those that it matches. */
function concernsRulesAlone(before: CompiledPolicySet, after: CompiledPolicySet): boolean {
  return [before, after].every(
    ({ main }) => isCombination(main) && main.readsRules && main.rules.length > 0 && main.effect !== 'subject_priority',
  );
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
  const relations = relationsOfColumns(main, uses);
  const effectColumn = main.policy.tokens.indexOf('eft');
  for (const { rule } of rules) {
    const [ptype = '', ...fields] = rule;
    // A deny rule that errs counts as matching, perhaps before it comes to its pattern.
    const mayErr = main.effect !== 'allow_override' && fields[effectColumn] === 'deny';
    const select = (part: Part): readonly number[] =>
      values.select(part, (read) =>
        ptype === main.policy.key
          ? uses.every((use, column) => mayMatch(set, use, fields[column] ?? '', read, universe, mayErr))
          : mayReach([set, other], relations.has(ptype) ? uses : [], ptype, fields, read),
      );
    yield { subjects: select('subject'), resources: select('resource'), actions: select('action') };
  }
}

/** The value of a token for one candidate; undefined if the token does not depend on that part alone. */
type ReadToken = (token: string) => Json | undefined;

/** The role definitions that are asked in terms of their own alone, about a column of the rules. */
function relationsOfColumns(main: Combination, uses: readonly ColumnUse[]): ReadonlySet<string> {
  const asked = new Map<string, number>();
  const count = (part: Expression): void => {
    if (part.kind !== 'call') return;
    const relation = part.name === 'hasRole' ? 'g' : part.name;
    if (main.environment.roles.has(relation)) asked.set(relation, (asked.get(relation) ?? 0) + 1);
  };
  for (const expression of expressionsOf(main)) walk(expression, count);
  const inColumns = new Map<string, number>();
  for (const use of uses) {
    if (use.kind === 'role') inColumns.set(use.relation, (inColumns.get(use.relation) ?? 0) + 1);
  }
  return new Set(
    [...inColumns].filter(([relation, times]) => asked.get(relation) === times).map(([relation]) => relation),
  );
}

/** Whether a rule of the policy could match the candidate, as far as this column can tell. */
function mayMatch(
  set: CompiledPolicySet,
  use: ColumnUse,
  text: string,
  read: ReadToken,
  { groups }: Universe,
  mayErr: boolean,
): boolean {
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
        set.roles.get(use.relation)?.matchesNames === true ||
        set.roles.get(use.relation)?.reaches(value, text, undefined, 0) !== false
      );
    case 'pattern': {
      const definition = set.main.environment.functions.get(use.function);
      if (definition === undefined || mayErr) return true;
      // Of a pattern that cuts no regions, a witness does not tell whether it matches others that it stands for.
      const id = patternId(use.function, text);
      for (const { patterns, cut } of groups.values()) if (patterns.has(id) && !cut.has(id)) return true;
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
    if (sets.some(({ roles }) => roles.get(key)?.matchesNames === true)) return true;
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
  return roots.size === 1 && root !== 'attributes' && root !== 'token' ? root : undefined;
}
