/** What a search knows of the requests that it stands for: all but the id. */
import type { BindingPath } from '../manifest/binding-text.js';
import { EntityAttributes } from '../matcher/entity-attributes.js';
import { BindingError, type BoundRequest, bindRequest, type TokenBinding, tokenValue } from '../policy/binding.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { Json } from '../request.js';
import { questionAbout, type SearchQuery } from './search-query.js';

/** True if only a matching rule can allow. */
function onlyRulesAllow({ readsRules, rules, effect }: Combination): boolean {
  return readsRules && rules.length > 0 && effect !== undefined && effect !== 'deny_override';
}

/** Text around the id in the value of a token: for `${subject.type}:${subject.id}`, `user:` and nothing. */
export interface Around {
  readonly before: string;
  readonly after: string;
}

/** The known part of the question, without the id: values by column of the request. */
export interface KnownPart {
  readonly main: Combination;
  readonly values: readonly (Json | undefined)[];
  /** The columns whose value is the id, or a text around it. */
  readonly open: ReadonlyMap<number, Around>;
  /** Columns with an unknown value: the open ones, and those that depend on the id's stored attributes. */
  readonly unknown: ReadonlySet<number>;
}

const nothing: ReadonlySet<number> = new Set();

/**
 * Returns undefined if the rules do not tell who could be allowed, or the question does not fit the set.
 *
 * @param notGiven columns of which the question does not say the value: they may have any
 */
export function readKnownPart(
  set: CompiledPolicySet,
  query: SearchQuery,
  notGiven: ReadonlySet<number> = nothing,
): KnownPart | undefined {
  const { main } = set;
  if (!isCombination(main) || !onlyRulesAllow(main)) return undefined;
  const bound = bindRequest(questionAbout(query, ''), set.entities, set.manifest.precedence);
  if (bound instanceof BindingError) return undefined;
  const { kind, type } = query;
  const own = kind === 'action' ? { name: '' } : { type, id: '' };
  const nameless = { own, requested: undefined, stored: undefined, precedence: set.manifest.precedence };
  const probe: BoundRequest = { ...bound, [kind]: new EntityAttributes(nameless) };
  const values: (Json | undefined)[] = [];
  const open = new Map<number, Around>();
  const unknown = new Set<number>();
  for (const [column, token] of main.tokens.entries()) {
    const follows = token.readAsValue && !notGiven.has(column) ? followsFromId(token, query, probe) : 'unknown';
    const value = follows === 'not' ? tokenValue(token, probe) : undefined;
    if (value instanceof BindingError) return undefined;
    values.push(value);
    if (follows !== 'not') unknown.add(column);
    if (typeof follows === 'object') open.set(column, follows);
  }
  return { main, values, open, unknown };
}

/** How the value of a token follows from the id searched for. */
function followsFromId(token: TokenBinding, query: SearchQuery, probe: BoundRequest): 'not' | 'unknown' | Around {
  const { line, role } = token;
  if (line === undefined) {
    if (role === query.kind) return { before: '', after: '' };
    // Where the request names a tenant, a resource of another one is refused before any rule is asked.
    const ofResource = role === 'domain' && query.kind === 'resource' && query.attributes?.tenant === undefined;
    return ofResource ? 'unknown' : 'not';
  }
  const parts = line.kind === 'path' ? [line.path] : line.parts;
  const follow = parts.map((part) => (typeof part === 'string' ? 'not' : pathFollows(part, query)));
  if (follow.every((part) => part === 'not')) return 'not';
  const at = follow.indexOf('is');
  if (at < 0 || follow.some((part, index) => part !== 'not' && index !== at)) return 'unknown';
  const textOf = (some: typeof parts): string | undefined => {
    const text = tokenValue({ ...token, line: { kind: 'template', parts: some, last: -1, takes: 'anything' } }, probe);
    return typeof text === 'string' ? text : undefined;
  };
  const [before, after] = [textOf(parts.slice(0, at)), textOf(parts.slice(at + 1))];
  return before === undefined || after === undefined ? 'unknown' : { before, after };
}

/** Whether a path leads to the id, to what depends on it, or not to it. */
function pathFollows({ root, steps }: BindingPath, { kind, type }: SearchQuery): 'not' | 'is' | 'unknown' {
  if (root !== kind) return 'not';
  if (steps.length > 1) return 'unknown';
  if (steps[0] === (kind === 'action' ? 'name' : 'id')) return 'is';
  return steps[0] === 'type' && kind !== 'action' && type !== undefined ? 'not' : 'unknown';
}
