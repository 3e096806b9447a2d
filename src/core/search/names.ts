/** The names that a policy set speaks of: those of its entities, and those that its rules compare with the request. */
import { nameOfStep } from '../json-pointer.js';
import type { TokenBinding } from '../policy/binding.js';
import { changeOfToken, type MemberChange } from '../policy/binding-change.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { SymbolSet } from '../rules/symbols.js';
import { itemsPerStep } from '../steps.js';
import { type Comparisons, TokenComparisons } from './comparisons.js';
import { namesInPattern } from './names-in-pattern.js';

/** What a search can look for. */
export type SearchKind = 'subject' | 'resource' | 'action';

/** A request's parts by their names; parts that nothing names are undefined. */
export interface Named {
  readonly subject?: NamedEntity | undefined;
  readonly resource?: NamedEntity | undefined;
  readonly action?: string | undefined;
  /** The request's own attributes, such as `tenant`. */
  readonly attributes?: ReadonlyMap<string, string> | undefined;
}

export interface NamedEntity {
  readonly type?: string | undefined;
  readonly id?: string | undefined;
}

export interface NameSource {
  /**
   * `manifest` is its `search.actions`, `expression` a text in the matcher or in a condition, `rule` a column of the
   * policy definition, `role definition` its members or its domains.
   */
  readonly kind: 'manifest' | 'entity' | 'expression' | 'rule' | 'role definition';
  /** The column, `sub`, or the role definition, `g`; empty for other kinds. */
  readonly place: string;
  /**
   * True for a pattern that can match more names than it holds. It is visited beside those, with the parts that a
   * template splits it into: `production/*` may be the environment `production` and the id `*`. Without a template it
   * names nothing.
   */
  readonly isPattern: boolean;
}

/**
 * Takes one name. `isRole` is true for a subject or resource that stands as a role in the definition that it is looked
 * up in, unless an entity has its name: roles are held, they do not ask.
 */
export type NameVisitor = (named: Named, source: NameSource, isRole: boolean) => void;

const fromManifest: NameSource = { kind: 'manifest', place: '', isPattern: false };
const fromEntities: NameSource = { kind: 'entity', place: '', isPattern: false };

/**
 * Visits the names that a set speaks of: with a kind, those that can name such a part; without one, all, with the
 * request's own attributes. A name may be visited several times. An entity is visited as subject and as resource.
 */
export function* namesInSteps(
  set: CompiledPolicySet,
  kind: SearchKind | undefined,
  visit: NameVisitor,
): Generator<void> {
  if (kind === undefined || kind === 'action') {
    for (const action of set.manifest.searchActions) visit({ action }, fromManifest, false);
  }
  if (kind !== 'action') {
    let visited = 0;
    for (const entity of set.entities) {
      if (++visited % itemsPerStep === 0) yield;
      visit({ subject: entity, resource: entity }, fromEntities, false);
    }
  }
  if (!isCombination(set.main)) return;
  const reader = new NameReader(set, set.main, visit);
  const comparisons = new TokenComparisons(set, set.main);
  for (const token of set.main.tokens) {
    for (const member of membersOf(token)) {
      const found = comparisons.of(token.token, member);
      if (found === undefined || (kind !== undefined && !canName(token, member, kind))) continue;
      const isSplit = token.line?.kind === 'template' && member === undefined;
      yield* reader.read(found, readerBack(token, member), isSplit);
    }
  }
}

/** A member of a token's entity that is a name. */
type NameMember = 'id' | 'type' | 'name';

/** How expressions read a token: as a value (undefined), or by such a member. */
function membersOf({ role }: TokenBinding): readonly (NameMember | undefined)[] {
  if (role === 'subject' || role === 'resource') return [undefined, 'id', 'type'];
  return role === 'action' ? [undefined, 'name'] : [undefined];
}

function canName({ role, line }: TokenBinding, member: NameMember | undefined, kind: SearchKind): boolean {
  if (member !== undefined || line === undefined) return role === kind;
  const parts = line.kind === 'path' ? [line.path] : line.parts;
  return parts.some((part) => typeof part === 'object' && part.root === kind);
}

/** What a text names, compared with a token or with a member of it; undefined if no request makes that text. */
type ReadBack = (text: string) => Named | undefined;

function readerBack(token: TokenBinding, member: NameMember | undefined): ReadBack {
  const { role, line } = token;
  if (role === 'subject' && member !== undefined) return (text) => ({ subject: { [member]: text } });
  if (role === 'resource' && member !== undefined) return (text) => ({ resource: { [member]: text } });
  if (role === 'action' && (member !== undefined || line === undefined)) return (action) => ({ action });
  if (role === 'subject' && line === undefined) return (id) => ({ subject: { id } });
  if (role === 'resource' && line === undefined) return (id) => ({ resource: { id } });
  return (text) => {
    const changes = changeOfToken(token, text);
    return changes && namedBy(changes);
  };
}

function namedBy(changes: readonly MemberChange[]): Named {
  let subject: NamedEntity | undefined;
  let resource: NamedEntity | undefined;
  let action: string | undefined;
  let attributes: Map<string, string> | undefined;
  for (const { path, to } of changes) {
    if (typeof to !== 'string') continue;
    if (path === '/subject/id') subject = { ...subject, id: to };
    else if (path === '/subject/type') subject = { ...subject, type: to };
    else if (path === '/resource/id') resource = { ...resource, id: to };
    else if (path === '/resource/type') resource = { ...resource, type: to };
    else if (path === '/action/name') action = to;
    else if (path.startsWith(ownAttributes) && !path.includes('/', ownAttributes.length)) {
      attributes = (attributes ?? new Map()).set(nameOfStep(path.slice(ownAttributes.length)), to);
    }
  }
  return { subject, resource, action, attributes };
}

const ownAttributes = '/attributes/';

class NameReader {
  private readonly rolesOf = new Map<string, RoleNames>();

  constructor(
    private readonly set: CompiledPolicySet,
    private readonly main: Combination,
    private readonly visit: NameVisitor,
  ) {}

  *read({ texts, columns, relations }: Comparisons, readBack: ReadBack, isSplit: boolean): Generator<void> {
    const { symbols } = this.main.rules;
    const roles: RoleNames[] = [];
    for (const relation of relations) roles.push(yield* this.roleNames(relation));
    const say = (text: string, symbol: number | undefined, source: NameSource): void => {
      const named = readBack(text);
      if (named === undefined) return;
      const standsAsRole = ({ ofFiles, live }: RoleNames): boolean =>
        (symbol !== undefined && ofFiles.has(symbol)) || live.has(text);
      const isRole = roles.some(standsAsRole) && this.hasNoEntity(named);
      this.visit(named, source, isRole);
    };
    const sayPattern = (text: string, source: NameSource, pattern: string): void => {
      const { names, matchesMore } = namesInPattern(pattern, text);
      for (const name of names) say(name, symbols.find(name), source);
      if (!matchesMore) return;
      const parts = isSplit ? readBack(text) : undefined;
      this.visit(parts ?? {}, { ...source, isPattern: true }, false);
    };
    const inExpression: NameSource = { kind: 'expression', place: '', isPattern: false };
    for (const [text, pattern] of texts) {
      if (pattern === undefined) say(text, symbols.find(text), inExpression);
      else sayPattern(text, inExpression, pattern);
    }
    // A text that is a pattern in one comparison and a name in another is a pattern.
    const seen = new SymbolSet([], symbols.size);
    const seenLive = new Set<string>();
    const patternsFirst = [...columns.values()].sort((a, b) => Number(!a.pattern) - Number(!b.pattern));
    for (const { symbols: column, live, kind, place, pattern, always } of patternsFirst) {
      const source: NameSource = { kind, place, isPattern: false };
      // Each place with patterns is told of.
      const seenHere = pattern === undefined ? seen : new SymbolSet([], symbols.size);
      for (const [at, symbol] of column.entries()) {
        if (at % itemsPerStep === 0) yield;
        if (symbol < 0 || seenHere.has(symbol)) continue;
        const text = symbols.text(symbol);
        if (always.has(text)) continue;
        seenHere.add(symbol);
        seen.add(symbol);
        if (pattern === undefined) say(text, symbol, source);
        else sayPattern(text, source, pattern);
      }
      const seenLiveHere = pattern === undefined ? seenLive : new Set<string>();
      let visited = 0;
      for (const text of live === undefined ? [] : live.links.names(live.column)) {
        if (++visited % itemsPerStep === 0) yield;
        const symbol = symbols.find(text);
        if (seenLiveHere.has(text) || (symbol !== undefined && seenHere.has(symbol))) continue;
        seenLiveHere.add(text);
        seenLive.add(text);
        if (pattern === undefined) say(text, symbol, source);
        else sayPattern(text, source, pattern);
      }
    }
  }

  private hasNoEntity({ subject, resource }: Named): boolean {
    const entity = subject ?? resource;
    if (entity === undefined) return false;
    return entity.id === undefined || this.set.entities.find(entity.type, entity.id) === undefined;
  }

  /** The names that stand as a role in the rules of one definition. */
  private *roleNames(relation: string): Generator<void, RoleNames> {
    let names = this.rolesOf.get(relation);
    if (names === undefined) {
      const ofFiles = new SymbolSet([], this.main.rules.symbols.size);
      for (const [at, symbol] of (this.set.table.groupings.get(relation)?.columns[1] ?? []).entries()) {
        if (at % itemsPerStep === 0) yield;
        if (symbol >= 0) ofFiles.add(symbol);
      }
      const live = new Set<string>();
      let visited = 0;
      for (const role of this.set.roles.get(relation)?.liveLinks.names('parent') ?? []) {
        if (++visited % itemsPerStep === 0) yield;
        live.add(role);
      }
      names = { ofFiles, live };
      this.rolesOf.set(relation, names);
    }
    return names;
  }
}

interface RoleNames {
  readonly ofFiles: SymbolSet;
  readonly live: ReadonlySet<string>;
}
