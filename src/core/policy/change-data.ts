/** From a compiled set to one with other live data. Both share matchers, rules, and what the change leaves alone. */

import { LiveData, type LiveDataChange } from '../data/live-data.js';
import type { DefinitionNames } from '../manifest/manifest.js';
import { quoteList } from '../quote.js';
import { LiveLinks } from '../roles/live-links.js';
import { findCycleFrom } from '../roles/role-cycles.js';
import type { RoleGraph } from '../roles/roles.js';
import { itemsPerStep } from '../steps.js';
import { type Combination, type CombinationError, isCombination } from './combination.js';
import type { CompiledPolicySet } from './compile.js';
import { type Constraint, parseConstraint, violationOf } from './constraints.js';
import {
  type DataChange,
  DataError,
  type DataProblem,
  type LiveEntries,
  type ReadChange,
  readChange,
} from './data-change.js';

/** A set with other live data, and how much the change changed. */
export interface ChangedSet {
  readonly compiled: CompiledPolicySet;
  /** Number of links and entities that are new, and that are gone. */
  readonly added: number;
  readonly removed: number;
  /** What the change does: what it adds was not there, what it removes was. */
  readonly effect: LiveDataChange;
}

export interface ChangeOptions {
  /**
   * True for a change that was checked where it was made, on the same files and data: cycles, constraints, the schema
   * and what files have are not looked at again. False by default.
   */
  readonly isTrusted?: boolean;
}

/**
 * Makes the set that a change leads to; the set itself stays as it is.
 *
 * @throws DataError with every problem, if one of them stops the change
 */
export function* changeDataInSteps(
  set: CompiledPolicySet,
  change: DataChange,
  { isTrusted = false }: ChangeOptions = {},
): Generator<void, ChangedSet> {
  const { data } = set;
  if (data === undefined) throw noLiveData();
  const read = yield* readSoundly(set, change, isTrusted);
  const { added, removed } = read;
  if (added === 0 && removed === 0) return { compiled: set, added, removed, effect: read };
  const compiled = yield* withData(set, yield* data.changed(read), read);
  if (!isTrusted) yield* checkLinks(compiled, read);
  return { compiled, added, removed, effect: read };
}

/**
 * Gives a set that was compiled from files its live data: a list of entries, or the data of another set, whose digests
 * are not computed again.
 *
 * @throws DataError with every problem; its pointers lead into `data`
 */
export function* addDataInSteps(
  set: CompiledPolicySet,
  data: LiveEntries | LiveData,
): Generator<void, CompiledPolicySet> {
  const isMade = data instanceof LiveData;
  if (isMade && data.size === 0) return set;
  if (set.data === undefined) throw noLiveData();
  const add = isMade ? { roles: data.roles(), entities: data.entities() } : data;
  try {
    const read = yield* readSoundly(set, { add }, false);
    const compiled = yield* withData(set, isMade ? data : yield* set.data.changed(read), read);
    yield* checkLinks(compiled, read);
    return compiled;
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(
      error.problems.map((problem) => ({ ...problem, pointer: problem.pointer.replace('/add', '') })),
    );
  }
}

function noLiveData(): DataError {
  const message = 'the set has no live data: policy-set.yaml does not say what may be changed under data';
  return new DataError([{ code: 'not_live_data', message, pointer: '' }]);
}

function* readSoundly(set: CompiledPolicySet, change: DataChange, isTrusted: boolean): Generator<void, ReadChange> {
  const problems: DataProblem[] = [];
  const read = yield* readChange(set, change, (problem) => problems.push(problem), isTrusted);
  if (problems.length > 0) throw new DataError(problems);
  return read;
}

/** The set with other live data: those to which the change leads from the data that it has. */
function* withData(set: CompiledPolicySet, data: LiveData, change: LiveDataChange): Generator<void, CompiledPolicySet> {
  const roles = new Map<string, RoleGraph>(set.roles);
  for (const [definition, { hasDomain, changes }] of change.links) {
    const graph = set.roles.get(definition) as RoleGraph;
    const links = data.linksOf(definition) ?? LiveLinks.none(hasDomain);
    roles.set(definition, yield* graph.withLive(links, changes));
  }
  const graphs = [...roles.values()];
  const combine = combining(set, graphs);
  return Object.freeze({
    ...set,
    version: data.versionWith(set.versionOfFiles),
    data,
    roles,
    entities: set.entities.withLive(data.stored),
    main: withRoles(set.main, graphs),
    combine,
  });
}

/** As `combine` of the set, with other links. */
function combining({ combinations }: CompiledPolicySet, roles: readonly RoleGraph[]): CompiledPolicySet['combine'] {
  const known = new Map<Combination, Combination>();
  return (names: DefinitionNames, matcher: string | undefined) => {
    const shared = combinations.find(names, matcher);
    if (!isCombination(shared) || matcher !== undefined) return withRoles(shared, roles);
    const combination = known.get(shared) ?? { ...shared, roles };
    known.set(shared, combination);
    return combination;
  };
}

function withRoles(
  combination: Combination | CombinationError,
  roles: readonly RoleGraph[],
): Combination | CombinationError {
  return isCombination(combination) ? { ...combination, roles } : combination;
}

/**
 * Checks what several links mean together: cycles and constraints, as they are checked when a set loads.
 *
 * @throws DataError
 */
function* checkLinks(set: CompiledPolicySet, change: ReadChange): Generator<void> {
  const problems: DataProblem[] = [];
  for (const [definition, { hasDomain, changes }] of change.links) {
    const graph = set.roles.get(definition) as RoleGraph;
    if (!hasDomain) {
      const names = changes.flatMap(({ child, added }) => (added.length > 0 ? [child] : []));
      const suspects = names.length > fewNames ? yield* namesWithHolders(names, graph) : names;
      const cycle = yield* findCycleFrom(suspects, (name) => graph.parentsIn('', name));
      if (cycle !== undefined) {
        const isNew = (name: string, at: number): boolean =>
          changes.some(({ child, added }) => child === name && added.includes(cycle[at + 1] ?? ''));
        const at = cycle.findIndex(isNew);
        const pointer = change.pointerOf(definition, cycle[at], cycle[at + 1]);
        const message = `the roles of ${definition} would have a cycle: ${quoteList(cycle, ' -> ')}`;
        problems.push({ code: 'conflict', message, pointer, hint: 'roles that include each other are one role' });
      }
    }
    if (definition === 'g') yield* checkConstraints(set, change, problems);
  }
  if (problems.length > 0) throw new DataError(problems);
}

/** For more names than this it is worth knowing first which of them can be on a cycle. */
const fewNames = 1_000;

/** Those of the names that are roles of others: of many links most are of users, whom nobody can reach. */
function* namesWithHolders(names: readonly string[], graph: RoleGraph): Generator<void, readonly string[]> {
  const roles = new Set<string>();
  let looked = 0;
  for (const role of graph.rolesIn('')) {
    if (++looked % itemsPerStep === 0) yield;
    roles.add(role);
  }
  return names.filter((name) => roles.has(name));
}

/** The constraints of the model look at the links of `g`; only names that the change gives or takes links can break one. */
function* checkConstraints(set: CompiledPolicySet, change: ReadChange, problems: DataProblem[]): Generator<void> {
  if (set.manifest.downgraded.has('constraint_violation')) return;
  for (const definition of set.model.constraints.values()) {
    const constraint = parseConstraint(definition.value.trim());
    if (constraint === undefined) continue;
    const violation = violationOf(constraint, yield* linksConcerned(set, change, constraint));
    if (violation === undefined) continue;
    const { message, user } = violation;
    const pointer = change.pointerOf('g', user, constraint.kind === 'roleMax' ? constraint.role : undefined);
    problems.push({ code: 'constraint_violation', message: `${definition.key}: ${message}`, pointer });
  }
}

/** Links of `g` without their definition: all of the names that the change concerns, or all to a role of limited number. */
function* linksConcerned(
  set: CompiledPolicySet,
  change: ReadChange,
  constraint: Constraint,
): Generator<void, readonly (readonly string[])[]> {
  const changes = change.links.get('g')?.changes ?? [];
  const isCounted = constraint.kind === 'roleMax';
  if (isCounted && !changes.some(({ added }) => added.includes(constraint.role))) return [];
  const names = new Set(changes.map(({ child }) => child));
  const isConcerned = (child: string, parent: string): boolean =>
    isCounted ? parent === constraint.role : names.has(child);
  const concerned: (readonly string[])[] = [];
  let looked = 0;
  for (const { fields } of set.table.groupings.get('g') ?? []) {
    if (++looked % itemsPerStep === 0) yield;
    if (isConcerned(fields[0] ?? '', fields[1] ?? '')) concerned.push(fields);
  }
  const graph = set.roles.get('g');
  for (const { domain, child, added } of graph?.liveLinks.asChanges() ?? []) {
    if (++looked % itemsPerStep === 0) yield;
    for (const parent of added) {
      // What a file has, too, is one link.
      if (isConcerned(child, parent) && graph?.isInFiles(domain, child, parent) !== true)
        concerned.push([child, parent]);
    }
  }
  return concerned;
}
