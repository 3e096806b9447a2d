/**
 * Searches backwards: from the rules that the known part of the question can match, through their columns and the role
 * links, to the ids that could be allowed. It may find too many ids, never too few; the engine decides each.
 */
import { BoundedCache } from '../bounded-cache.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { RoleHolders } from '../roles/role-holders.js';
import { BackwardSearch, type RulePlaces } from './backward-search.js';
import { candidatesInSteps } from './candidates.js';
import { type KnownPart, readKnownPart } from './known-part.js';
import type { SearchQuery } from './search-query.js';

/** Data that searches of one set share. */
interface Made {
  readonly holders: Map<string, RoleHolders>;
  readonly places: BoundedCache<{ readonly found: RulePlaces }>;
}

const madeBySet = new WeakMap<CompiledPolicySet, Made>();
const rememberedSearches = 16;
const maxKeyLength = 10_000;

/** Finds the candidates that could be allowed, and keeps them for the next page of the search. */
export function* findPlaces(set: CompiledPolicySet, query: SearchQuery): Generator<void, RulePlaces> {
  const known = readKnownPart(set, query);
  if (known === undefined) return undefined;
  const { places, holders } = madeFor(set);
  const key = keyOf(query, known);
  const remembered = key === undefined ? undefined : places.get(key);
  if (remembered !== undefined) return remembered.found;
  const { ids: candidates } = yield* candidatesInSteps(set, query.kind, query.type);
  const found = yield* new BackwardSearch(set, known, candidates, holders).run();
  if (key !== undefined) places.set(key, { found });
  return found;
}

/** The key that a search is kept by; undefined if it has lists, objects or long texts. */
function keyOf({ kind, type }: SearchQuery, { values, open }: KnownPart): string | undefined {
  if (values.some((value) => typeof value === 'object' && value !== null)) return undefined;
  // A value that is missing is not null.
  const given = values.map((value) => (value === undefined ? [] : [value]));
  const key = JSON.stringify([kind, type, given, [...open]]);
  return key.length <= maxKeyLength ? key : undefined;
}

/**
 * As `findPlaces`, among the caller's ids, sorted by code units.
 *
 * @param notGiven columns of which the question does not say the value
 */
export function* findPlacesAmong(
  ids: readonly string[],
  set: CompiledPolicySet,
  query: SearchQuery,
  notGiven?: ReadonlySet<number>,
): Generator<void, RulePlaces> {
  const known = readKnownPart(set, query, notGiven);
  return known === undefined ? undefined : yield* new BackwardSearch(set, known, ids, madeFor(set).holders).run();
}

function madeFor(set: CompiledPolicySet): Made {
  let shared = madeBySet.get(set);
  if (shared === undefined) {
    shared = { holders: new Map(), places: new BoundedCache(rememberedSearches) };
    madeBySet.set(set, shared);
  }
  return shared;
}
