/** Which names a set compares: by the part of the request that they name, or by the template that puts them together. */
import { type Expression, walk } from '../matcher/ast.js';
import type { TokenBinding } from '../policy/binding.js';
import type { Combination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { expressionsOf } from '../policy/expressions.js';
import { SymbolSet } from '../rules/symbols.js';
import { type Comparisons, TokenComparisons } from '../search/comparisons.js';
import { itemsPerStep } from '../steps.js';

/** What one member of the request is compared with, or the text that a template makes of several. */
export class NameGroup {
  /** Texts that it is compared with as they are. */
  readonly texts = new Set<string>();
  /** Patterns, by their function and their text, as `patternId` writes them. */
  readonly patterns = new Map<string, { readonly function: string; readonly text: string }>();
  /** Those that cut regions of which each has a name: they can be asked about a witness. */
  readonly cut = new Set<string>();
  /** `g.0` if its names are members of `g`, `g.2` if they are domains of it. */
  readonly columns = new Set<string>();

  /** Whether a rule holds a text that stands for every name, and which is not listed as a name. */
  hasUnlisted = false;

  constructor(
    readonly key: string,
    /** The members that its text is made of: `subject.id`, `attributes.tenant`. */
    readonly members: readonly string[],
    /** A token with such a text; of a member alone undefined. */
    readonly template: TokenBinding | undefined,
  ) {}
}

/** The groups of one or two sets, by their keys. */
export type NameGroups = ReadonlyMap<string, NameGroup>;

export function patternId(name: string, text: string): string {
  return `${name}\0${text}`;
}

/** The member that an own attribute of a token is: `subject.id` for `r.sub.id`. */
export function memberOfToken({ role }: TokenBinding, name: string | undefined): string | undefined {
  if (role === 'subject' || role === 'resource')
    return name === 'id' || name === 'type' ? `${role}.${name}` : undefined;
  return role === 'action' && name === 'name' ? 'action.name' : undefined;
}

/** The group of a token as a value; undefined if it does not name anything: the whole of `env`, an attribute of an entity. */
export function keyOfToken({ role, token, line }: TokenBinding): string | undefined {
  if (line === undefined) {
    if (role === 'subject' || role === 'resource') return `${role}.id`;
    if (role === 'action') return 'action.name';
    if (role === 'domain') return 'attributes.tenant';
    return role === 'attribute' ? `attributes.${token}` : undefined;
  }
  const paths = line.kind === 'path' ? [line.path] : line.parts.filter((part) => typeof part !== 'string');
  if (!paths.every(({ root, steps }) => steps.length === 1 && isNamed(root, steps[0]))) return undefined;
  const [path] = paths;
  if (line.kind === 'path' && path !== undefined) return `${path.root}.${path.steps[0]}`;
  return JSON.stringify(line.kind === 'path' ? [] : line.parts);
}

function isNamed(root: string, name: string | undefined): boolean {
  return (
    root === 'attributes' || name === (root === 'action' ? 'name' : 'id') || (root !== 'action' && name === 'type')
  );
}

function membersOf({ line }: TokenBinding, key: string): readonly string[] {
  if (line === undefined || line.kind === 'path') return [key];
  return line.parts.flatMap((part) => (typeof part === 'string' ? [] : [`${part.root}.${part.steps[0]}`]));
}

/** Adds what a set compares to the groups. */
export function* collectNames(
  set: CompiledPolicySet,
  main: Combination,
  groups: Map<string, NameGroup>,
): Generator<void> {
  const comparisons = new TokenComparisons(set, main);
  const groupOf = (key: string, token: TokenBinding | undefined): NameGroup => {
    let group = groups.get(key);
    if (group === undefined) {
      const members = token === undefined ? [key] : membersOf(token, key);
      group = new NameGroup(key, members, token?.line?.kind === 'template' ? token : undefined);
      groups.set(key, group);
    }
    return group;
  };
  const reads = ownMembersRead(main);
  for (const token of main.tokens) {
    const key = token.readAsValue ? keyOfToken(token) : undefined;
    if (key !== undefined) yield* addComparisons(groupOf(key, token), main, comparisons.of(token.token));
    for (const name of ['id', 'type', 'name']) {
      const member = memberOfToken(token, name);
      if (member === undefined || !reads.has(`${main.request.key}_${token.token}.${name}`)) continue;
      yield* addComparisons(groupOf(member, undefined), main, comparisons.of(token.token, name));
    }
  }
}

/** `r_sub.type`, for each own member that an expression reads. */
function ownMembersRead(main: Combination): ReadonlySet<string> {
  const read = new Set<string>();
  const look = (part: Expression): void => {
    if (part.kind === 'attribute') read.add(`${part.name}.${part.path[0]}`);
  };
  for (const expression of expressionsOf(main)) walk(expression, look);
  return read;
}

function* addComparisons(group: NameGroup, main: Combination, found: Comparisons | undefined): Generator<void> {
  if (found === undefined) return;
  const { symbols } = main.rules;
  const add = (text: string, pattern: string | undefined): void => {
    if (pattern === undefined) group.texts.add(text);
    else group.patterns.set(patternId(pattern, text), { function: pattern, text });
  };
  for (const [text, pattern] of found.texts) add(text, pattern);
  for (const [key, { symbols: column, live, pattern, kind, always }] of found.columns) {
    if (kind === 'role definition') group.columns.add(key);
    const seen = new SymbolSet([], symbols.size);
    for (const [at, symbol] of column.entries()) {
      if (at % itemsPerStep === 0) yield;
      if (symbol < 0 || !seen.add(symbol)) continue;
      const text = symbols.text(symbol);
      // A text that every request matches is not listed as a name.
      if (pattern === undefined && always.has(text)) group.hasUnlisted = true;
      else add(text, pattern);
    }
    let visited = 0;
    for (const text of live === undefined ? [] : live.links.names(live.column)) {
      if (++visited % itemsPerStep === 0) yield;
      add(text, pattern);
    }
  }
}

/** Whether the matcher or a condition reads more than names. */
export function asksForAttributes(main: Combination): boolean {
  const byToken = new Map(main.tokens.map((token) => [`${main.request.key}_${token.token}`, token]));
  const isMore = (part: Expression): boolean => {
    if (part.kind !== 'column' && part.kind !== 'attribute') return false;
    const token = byToken.get(part.name);
    if (token === undefined) return false;
    if (part.kind === 'attribute') return part.path.length > 1 || memberOfToken(token, part.path[0]) === undefined;
    return keyOfToken(token) === undefined;
  };
  for (const expression of expressionsOf(main)) {
    let isFound = false;
    walk(expression, (part) => {
      isFound ||= isMore(part);
    });
    if (isFound) return true;
  }
  return false;
}
