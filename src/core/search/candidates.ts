/** Candidates of a search (docs/authzen.md): stored entities, and names in rules. */
import { type Expression, walk } from '../matcher/ast.js';
import { isExactPattern, prefixFunctions } from '../matcher/pattern-key.js';
import type { TokenBinding } from '../policy/binding.js';
import { changesOfLine } from '../policy/binding-change.js';
import { type Combination, conditionColumns, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { SymbolSet, type SymbolTable } from '../rules/symbols.js';
import { itemsPerStep, sortInSteps } from '../steps.js';

export type SearchKind = 'subject' | 'resource' | 'action';

/** What a search tries. */
export interface Candidates {
  readonly ids: readonly string[];
  /** How many names were left out since they are names of roles. */
  readonly rolesLeftOut: number;
}

const remembered = new WeakMap<CompiledPolicySet, Map<string, Candidates>>();

/**
 * The ids (of actions: the names) that a search tries, each once, in the order of their code units: an order that
 * stays the same as long as the version does, so that a page can go on where the last one ended.
 */
export function* candidatesInSteps(
  set: CompiledPolicySet,
  kind: SearchKind,
  type: string | undefined,
): Generator<void, Candidates> {
  let lists = remembered.get(set);
  if (lists === undefined) {
    lists = new Map();
    remembered.set(set, lists);
  }
  // A type that nobody has heard of has the same candidates as any other such type, and is not worth remembering.
  const key = kind === 'action' ? kind : `${kind}:${type}`;
  let list = lists.get(key);
  if (list === undefined) {
    const { ids, rolesLeftOut } = yield* findCandidates(set, kind, type);
    list = { ids: yield* sortInSteps([...ids]), rolesLeftOut };
    if (lists.size < maxLists) lists.set(key, list);
  }
  return list;
}

const maxLists = 100;

function* findCandidates(
  set: CompiledPolicySet,
  kind: SearchKind,
  type: string | undefined,
): Generator<void, { readonly ids: ReadonlySet<string>; readonly rolesLeftOut: number }> {
  const ids = new Set<string>();
  const leftOut = new Set<string>();
  if (kind === 'action') for (const name of set.manifest.searchActions) ids.add(name);
  else for (const entity of set.entities.all) if (entity.type === type) ids.add(entity.id);
  if (!isCombination(set.main)) return { ids, rolesLeftOut: 0 };
  const { symbols } = set.main.rules;
  const expressions = expressionsOf(set.main);
  const rolesOf = new Map<string, SymbolSet>();
  for (const token of set.main.tokens) {
    const { texts, columns, relations } = constantsOf(set, set.main, expressions, token, kind);
    for (const name of relations) if (!rolesOf.has(name)) rolesOf.set(name, yield* roleNames(set, name, symbols));
    const roles = [...relations].map((name) => rolesOf.get(name) as SymbolSet);
    const add = (text: string, symbol: number | undefined): void => {
      const read = idOf(token, kind, type, text);
      if (read === undefined) return;
      const isRole = kind !== 'action' && symbol !== undefined && roles.some((names) => names.has(symbol));
      // Somebody, or something, may have the name of a role.
      if (isRole && set.entities.find(read.type, read.id) === undefined) leftOut.add(read.id);
      else ids.add(read.id);
    };
    for (const text of texts) add(text, symbols.find(text));
    const added = new SymbolSet([], symbols.size);
    for (const { column, accepts } of columns.values()) {
      for (const [at, symbol] of column.entries()) {
        if (at % itemsPerStep === 0) yield;
        if (symbol < 0 || added.has(symbol)) continue;
        const text = symbols.text(symbol);
        if (!accepts(text)) continue;
        added.add(symbol);
        add(text, symbol);
      }
    }
  }
  for (const id of ids) leftOut.delete(id);
  return { ids, rolesLeftOut: leftOut.size };
}

/** Names that stand as a role in the rules of one definition: they are held, not searched for. */
function* roleNames(set: CompiledPolicySet, definition: string, { size }: SymbolTable): Generator<void, SymbolSet> {
  const names = new SymbolSet([], size);
  for (const [at, symbol] of (set.table.groupings.get(definition)?.columns[1] ?? []).entries()) {
    if (at % itemsPerStep === 0) yield;
    if (symbol >= 0) names.add(symbol);
  }
  return names;
}

/** The id that a constant stands for: itself, or what it reads back to through the line that binds the token. */
function idOf(
  token: TokenBinding,
  kind: SearchKind,
  type: string | undefined,
  constant: string,
): { readonly id: string; readonly type?: string } | undefined {
  if (token.line === undefined) return token.role === kind ? { id: constant } : undefined;
  const changes = changesOfLine(token.line, constant) ?? [];
  const valueAt = (member: string): unknown => changes.find(({ path }) => path === `/${kind}/${member}`)?.to;
  const id = valueAt(kind === 'action' ? 'name' : 'id');
  const givenType = valueAt('type');
  if (typeof id !== 'string' || (givenType !== undefined && givenType !== type)) return undefined;
  return typeof givenType === 'string' ? { id, type: givenType } : { id };
}

/** What the matcher and the conditions compare with a token as a value: texts of their own, and columns of rules. */
interface Constants {
  readonly texts: ReadonlySet<string>;
  /** By what names them: conditions by the thousand may speak of the same column. */
  readonly columns: ReadonlyMap<string, { readonly column: Int32Array; readonly accepts: Accepts }>;
  /** The role definitions that the token is the first argument of. */
  readonly relations: ReadonlySet<string>;
}

type Accepts = (text: string) => boolean;
const anyText: Accepts = () => true;

function constantsOf(
  set: CompiledPolicySet,
  combination: Combination,
  expressions: readonly Expression[],
  token: TokenBinding,
  kind: SearchKind,
): Constants {
  const name = `${combination.request.key}_${token.token}`;
  const texts = new Set<string>();
  const columns = new Map<string, { column: Int32Array; accepts: Accepts }>();
  const relations = new Set<string>();
  const isToken = (part: Expression | undefined): boolean => {
    if (part?.kind === 'column') return part.name === name;
    if (part?.kind !== 'attribute' || part.name !== name || token.role !== kind) return false;
    return part.path.length === 1 && part.path[0] === (kind === 'action' ? 'name' : 'id');
  };
  const take = (part: Expression | undefined, acceptedBy = '', accepts = anyText): void => {
    if (part?.kind === 'literal' && typeof part.value === 'string' && accepts(part.value)) texts.add(part.value);
    if (part?.kind === 'list') for (const item of part.items) take(item);
    const index = part?.kind === 'column' ? combination.policy.columns.get(part.name) : undefined;
    const column = index === undefined ? undefined : combination.rules.columns[index];
    if (column !== undefined) columns.set(`${acceptedBy}(${index})`, { column, accepts });
  };
  for (const expression of expressions) {
    walk(expression, (part) => {
      if (part.kind === 'binary' && part.operator === '==') {
        if (isToken(part.left)) take(part.right);
        if (isToken(part.right)) take(part.left);
      } else if (part.kind === 'in') {
        if (isToken(part.left)) take(part.right);
      } else if (part.kind === 'call' && isToken(part.args[0])) {
        const roles = set.table.groupings.get(part.name);
        if (roles !== undefined) {
          relations.add(part.name);
          take(part.args[1]);
          const [column] = roles.columns;
          if (column !== undefined) columns.set(part.name, { column, accepts: anyText });
        } else if (prefixFunctions.has(part.name)) {
          take(part.args[1], part.name, (text) => isExactPattern(part.name, text));
        }
      }
    });
  }
  return { texts, columns, relations };
}

function textsOf({ rules }: Combination, column: number): Set<string> {
  const texts = new Set<string>();
  for (const symbol of new Set(rules.columns[column])) texts.add(rules.symbols.text(symbol));
  return texts;
}

function expressionsOf(combination: Combination): readonly Expression[] {
  const { program, policy, conditions, callsEval } = combination;
  const expressions = [program.expression];
  if (!callsEval) return expressions;
  for (const column of conditionColumns(program.expression, policy)) {
    for (const text of textsOf(combination, column)) {
      const condition = conditions.find(text);
      if (condition.run !== undefined) expressions.push(condition.expression);
    }
  }
  return expressions;
}
