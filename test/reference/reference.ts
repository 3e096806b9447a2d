/**
 * A second engine for the tests, written from the specification of Casbin's semantics and sharing no code with the
 * first: it looks at every rule in order, searches roles anew for every call and parses whatever it needs when it
 * needs it. It is slow, and meant to be obviously right.
 */
import { evaluate, requireTexts, type Surroundings } from './evaluate.js';
import { type Expression, ParseError, parse, type Value } from './expression.js';
import { EvaluationError, getters, type Matching, matchings } from './functions.js';
import {
  checkConstraints,
  escapeColumns,
  LoadError,
  type Model,
  type Rules,
  readModel,
  readRules,
  withoutComment,
} from './model.js';
import { findCycle, hasRole, type RoleDefinition } from './roles.js';

export interface ReferenceOptions {
  readonly model: string;
  readonly rules: string;
  readonly roleMatching?: readonly { ptype: string; fn?: string; domainFn?: string }[];
  readonly fieldIndex?: readonly { ptype: string; field: 'priority' | 'dom'; index: number }[];
  readonly acceptJson?: boolean;
  /** Only which definitions have functions registered counts: all of them are taken for timeMatch. */
  readonly linkConditions?: readonly { ptype: string }[];
  readonly functions?: Readonly<Record<string, (...args: Value[]) => Value>>;
}

export type Context = string | { readonly r?: string; readonly p?: string; readonly e?: string; readonly m?: string };

export interface ReferenceAnswer {
  readonly decision: 'allow' | 'deny';
  /** The deciding rule without its type; null when no rule decided. */
  readonly rule: readonly string[] | null;
  /** What went wrong, one code for each rule that failed or for the whole. */
  readonly errors: readonly string[];
}

export interface Reference {
  enforce(args: readonly Value[], options?: { context?: Context; matcher?: string; now?: number }): ReferenceAnswer;
}

const allowOverride = 'some(where (p_eft == allow))';
const denyOverride = '!some(where (p_eft == deny))';
const allowAndDeny = 'some(where (p_eft == allow)) && !some(where (p_eft == deny))';
const priority = 'priority(p_eft) || deny';
const subjectPriority = 'subjectPriority(p_eft) || deny';
const effects: readonly string[] = [allowOverride, denyOverride, allowAndDeny, priority, subjectPriority];

/** Throws LoadError for a model or rules that must not be loaded. */
export function loadReference(options: ReferenceOptions): Reference {
  const model = readModel(options.model);
  const rules = readRules(options.rules, model);
  const roles = roleDefinitions(options, model, rules);
  for (const [name, role] of roles) {
    const cycle = findCycle(role);
    if (cycle !== undefined) throw new LoadError(`${name} has a cycle at ${cycle}`);
  }
  checkConstraints(model, rules.links.get('g') ?? []);
  const sorted = sortRules(options, model, rules);
  return {
    enforce: (args, { context, matcher, now = Date.now() } = {}) => {
      try {
        return decide({ options, model, rules: sorted, roles, now }, args, names(context), matcher ?? '');
      } catch (error) {
        return { decision: 'deny', rule: null, errors: [codeOf(error)] };
      }
    },
  };
}

function names(context: Context = ''): { r: string; p: string; e: string; m: string } {
  if (typeof context === 'string') return { r: `r${context}`, p: `p${context}`, e: `e${context}`, m: `m${context}` };
  return { r: 'r', p: 'p', e: 'e', m: 'm', ...context };
}

function codeOf(error: unknown): string {
  if (error instanceof EvaluationError) return error.code;
  if (error instanceof ParseError) return error.code;
  throw error;
}

interface Loaded {
  readonly options: ReferenceOptions;
  readonly model: Model;
  readonly rules: ReadonlyMap<string, readonly string[][]>;
  readonly roles: ReadonlyMap<string, RoleDefinition>;
  readonly now: number;
}

function decide(
  loaded: Loaded,
  args: readonly Value[],
  name: ReturnType<typeof names>,
  given: string,
): ReferenceAnswer {
  const { model } = loaded;
  const written = given === '' ? model.matchers.get(name.m) : withoutComment(escapeColumns(given));
  const matcher = written === undefined ? undefined : escapeLiterals(written);
  const requestColumns = model.requests.get(name.r);
  const policyColumns = model.policies.get(name.p);
  const effect = model.effects.get(name.e);
  if (matcher === undefined || !requestColumns || !policyColumns || effect === undefined) {
    throw new EvaluationError('unknown_definition', 'the context names a definition that the model does not have');
  }
  const hasEval = /\beval\([^)]*\)/.test(matcher);
  const functions = new Set([...Object.keys(matchings), ...Object.keys(getters), ...model.roles.keys()]);
  for (const own of Object.keys(loaded.options.functions ?? {})) functions.add(own);
  if (hasEval) functions.add('eval');
  const expression = parse(matcher, functions);
  if (args.length !== requestColumns.length) {
    throw new EvaluationError('wrong_request_size', `expected ${requestColumns.length} values, got ${args.length}`);
  }
  const request = loaded.options.acceptJson ? args.map(parseJsonArgument) : args;

  const around = (rule: readonly string[]): Surroundings => ({
    column: (column) => {
      const [columns, values] = column.startsWith('p') ? [policyColumns, rule] : [requestColumns, request];
      const index = columns.lastIndexOf(column);
      if (index < 0) throw new EvaluationError('unknown_column', `no column ${column}`);
      return values[index]!;
    },
    call: (called, values) => callFunction(loaded, functions, called, values, around(rule)),
  });

  const rules = loaded.rules.get(name.p) ?? [];
  if (rules.length === 0 || !matcher.includes(`${name.p}_`)) {
    if (hasEval && rules.length === 0) throw new EvaluationError('eval_without_rules', 'eval() needs a rule to read');
    const result = evaluate(expression, around(policyColumns.map(() => '')));
    if (typeof result !== 'boolean') throw new EvaluationError('wrong_result', 'the matcher must give a boolean');
    requireEffect(effect);
    // Under deny-override nothing explains an allow; otherwise the first rule does, though it had no part in it.
    if (effect === denyOverride) return { decision: 'allow', rule: null, errors: [] };
    return { decision: result ? 'allow' : 'deny', rule: result ? (rules[0] ?? null) : null, errors: [] };
  }

  const eft = policyColumns.lastIndexOf(`${name.p}_eft`);
  const errors: string[] = [];
  let firstAllow: readonly string[] | undefined;
  for (const rule of rules) {
    const says = eft < 0 ? 'allow' : rule[eft];
    const outcome = matchRule(expression, around(rule), errors);
    if (outcome === 'bad result') return { decision: 'deny', rule: null, errors };
    requireEffect(effect);
    const matches = outcome ?? (says === 'deny' && effect !== allowOverride);
    if (!matches) continue;
    if (says === 'deny' && effect !== allowOverride) return { decision: 'deny', rule, errors };
    if (says === 'allow' && effect !== denyOverride) {
      if (effect !== allowAndDeny) return { decision: 'allow', rule, errors };
      firstAllow ??= rule;
    }
  }
  if (effect === denyOverride) return { decision: 'allow', rule: null, errors };
  return { decision: firstAllow ? 'allow' : 'deny', rule: firstAllow ?? null, errors };
}

function requireEffect(effect: string): void {
  if (!effects.includes(effect)) throw new EvaluationError('unsupported_effect', effect);
}

/**
 * Whether one rule matches; undefined when it fails, with a code in `errors`. What picks candidates is looked at first,
 * so that a rule about someone else cannot fail; a term of that kind that fails is left for its turn.
 */
function matchRule(expression: Expression, around: Surroundings, errors: string[]): boolean | 'bad result' | undefined {
  const terms = conjuncts(expression);
  const pending = terms.filter((term) => !picksCandidates(term) || attempt(term, around) !== true);
  if (pending.some((term) => picksCandidates(term) && attempt(term, around) === false)) return false;
  try {
    for (const term of pending) {
      const result = evaluate(term, around);
      if (result === false) return false;
      if (result !== true && terms.length > 1) throw new EvaluationError('type_mismatch', '&& takes booleans');
      if (typeof result !== 'boolean') return isMatch(result);
    }
    return true;
  } catch (error) {
    errors.push(codeOf(error));
    return error instanceof EvaluationError && error.code === 'wrong_result' ? 'bad result' : undefined;
  }
}

function isMatch(result: Value): boolean {
  if (typeof result === 'number') return result !== 0;
  throw new EvaluationError('wrong_result', 'the matcher must give a boolean or a number');
}

function attempt(term: Expression, around: Surroundings): Value | undefined {
  try {
    return evaluate(term, around);
  } catch {
    return undefined;
  }
}

function conjuncts(node: Expression): Expression[] {
  if (node.kind === 'group') return conjuncts(node.inner);
  if (node.kind === 'binary' && node.operator === '&&') return [...conjuncts(node.left), ...conjuncts(node.right)];
  return [node];
}

/** Equalities and role calls on whole columns and literals, `in` a list of literals, joined by `&&` and `||`. */
function picksCandidates(node: Expression): boolean {
  if (node.kind === 'group') return picksCandidates(node.inner);
  if (node.kind === 'call') {
    const args = node.argument === null ? [] : listItems(node.argument);
    return /^g[0-9]*$/.test(node.name) && (args.length === 2 || args.length === 3) && args.every(isPlain);
  }
  if (node.kind !== 'binary') return false;
  switch (node.operator) {
    case '&&':
    case '||':
      return picksCandidates(node.left) && picksCandidates(node.right);
    case '==':
      return isPlain(node.left) && isPlain(node.right);
    case 'in':
      return isPlain(node.left) && node.right.kind === 'group' && listItems(node.right.inner).every(isLiteral);
    default:
      return false;
  }
}

function listItems(node: Expression): Expression[] {
  return node.kind === 'binary' && node.operator === ',' ? [...listItems(node.left), node.right] : [node];
}

const isLiteral = (node: Expression): boolean =>
  node.kind === 'group' ? isLiteral(node.inner) : node.kind === 'literal';

function isPlain(node: Expression): boolean {
  if (node.kind === 'group') return isPlain(node.inner);
  return isLiteral(node) || (node.kind === 'variable' && node.path.length === 0);
}

function callFunction(
  { roles, options, now }: Loaded,
  functions: ReadonlySet<string>,
  name: string,
  args: readonly Value[],
  around: Surroundings,
): Value {
  const own = options.functions;
  if (own !== undefined && Object.hasOwn(own, name)) return own[name]!(...args);
  const role = roles.get(name);
  if (role !== undefined) {
    const [user, parent, domain = ''] = requireTexts(name, args);
    if (user === undefined || parent === undefined) throw new EvaluationError('wrong_argument_count', name);
    return hasRole(role, user, parent, domain, now);
  }
  const [condition = ''] = requireTexts(name, args, 1);
  return evaluate(parseCondition(condition, functions), around);
}

function parseCondition(condition: string, functions: ReadonlySet<string>): Expression {
  try {
    return parse(escapeColumns(condition), functions);
  } catch (error) {
    throw error instanceof ParseError ? new EvaluationError('condition_syntax', error.message) : error;
  }
}

/**
 * Doubles backslashes in literals, so that they stand for themselves. Casbin copies the matcher byte by byte for this, and
 * each byte of a character beyond ASCII becomes a character of its own.
 */
function escapeLiterals(matcher: string): string {
  let quote: string | undefined;
  return Buffer.from(matcher, 'utf8')
    .toString('latin1')
    .replace(/['"\\]/g, (character) => {
      if (character === '\\') return quote === undefined ? '\\' : '\\\\';
      if (quote === undefined) quote = character;
      else if (character === quote) quote = undefined;
      return character;
    });
}

function parseJsonArgument(value: Value): Value {
  if (typeof value !== 'string' || !/^[{[]/.test(value)) return value;
  let parsed: Value;
  try {
    parsed = JSON.parse(value);
  } catch {
    throw new EvaluationError('bad_json_argument', 'an argument that begins like JSON is none');
  }
  if (Array.isArray(parsed)) throw new EvaluationError('bad_json_argument', 'a JSON argument must be an object');
  return parsed;
}

function roleDefinitions(options: ReferenceOptions, model: Model, rules: Rules): Map<string, RoleDefinition> {
  const roles = new Map<string, RoleDefinition>();
  for (const [name, columns] of model.roles) {
    const wanted = options.roleMatching?.filter(({ ptype }) => ptype === name) ?? [];
    const nameFunction = wanted.findLast(({ fn }) => fn)?.fn;
    const domainFunction = wanted.findLast(({ domainFn }) => domainFn)?.domainFn;
    const matchDomain = domainFunction ? named(domainFunction) : domainPatternOf(model);
    // Casbin takes no name patterns for conditional definitions.
    const matchName: Matching | undefined = nameFunction && !columns.conditions ? named(nameFunction) : undefined;
    // Of functions that are registered in domains, Casbin asks that of the first link only.
    const registered = options.linkConditions?.some(({ ptype }) => ptype === name) === true;
    const firstLinkOnly = registered && columns.columns >= 3;
    roles.set(name, { ...columns, links: rules.links.get(name) ?? [], matchName, matchDomain, firstLinkOnly });
  }
  return roles;
}

/** A name that does not compile as a pattern is a name and no more. */
function named(matching: string): Matching {
  return (name, pattern) => {
    try {
      return matchings[matching]!(name, pattern);
    } catch {
      return false;
    }
  };
}

/** A matcher that says exactly `keyMatch(r.<second column>, p.<second column>)` makes domains patterns. */
function domainPatternOf(model: Model): Matching | undefined {
  const [, requestDomain] = model.requests.get('r') ?? [];
  const [, policyDomain] = model.policies.get('p') ?? [];
  if (!requestDomain || !policyDomain) return undefined;
  return model.matchers.get('m')?.includes(`keyMatch(${requestDomain}, ${policyDomain})`)
    ? matchings.keyMatch
    : undefined;
}

function sortRules(options: ReferenceOptions, model: Model, rules: Rules): Map<string, string[][]> {
  const sorted = new Map([...rules.policies].map(([key, list]) => [key, [...list]]));
  const indexOf = (ptype: string, field: string) =>
    options.fieldIndex?.findLast((entry) => entry.ptype === ptype && entry.field === field)?.index ??
    model.policies.get(ptype)!.indexOf(`${ptype}_${field}`);
  if (model.effects.get('e') === subjectPriority) {
    if (!model.roles.has('g')) throw new LoadError('subjectPriority needs a role definition');
    const depths = subjectDepths(rules.links.get('g') ?? []);
    for (const [ptype, list] of sorted) {
      const domain = indexOf(ptype, 'dom');
      const depth = (rule: string[]) => depths.get(nodeName(domain < 0 ? '' : rule[domain]!, rule[0]!)) ?? 0;
      list.sort((a, b) => depth(b) - depth(a));
    }
  }
  for (const [ptype, list] of sorted) {
    const column = indexOf(ptype, 'priority');
    if (column < 0) continue;
    for (const rule of list) {
      if (!/^[+-]?\d+$/.test(rule[column]!) || !Number.isSafeInteger(Number(rule[column]))) {
        throw new LoadError(`a priority must be an integer: ${rule.join(', ')}`);
      }
    }
    list.sort((a, b) => Number(a[column]) - Number(b[column]));
  }
  return sorted;
}

const nodeName = (domain: string, name: string) => `${domain}::${name}`;

/** How deep each name stands below a root, the deepest way; a name on a cycle that no root reaches stands at 1. */
function subjectDepths(links: readonly (readonly string[])[]): Map<string, number> {
  const children = new Map<string, string[]>();
  const depths = new Map<string, number>();
  for (const [user = '', role = '', domain = ''] of links) {
    const child = nodeName(domain, user);
    const parent = nodeName(domain, role);
    children.set(parent, [...(children.get(parent) ?? []), child]);
    depths.set(child, 1);
    if (!depths.has(parent)) depths.set(parent, 0);
  }
  const visit = (node: string, depth: number, path: ReadonlySet<string>) => {
    if (path.has(node)) throw new LoadError(`a cycle at ${node}`);
    depths.set(node, Math.max(depths.get(node)!, depth));
    for (const child of children.get(node) ?? []) visit(child, depth + 1, new Set([...path, node]));
  };
  for (const root of [...depths].filter(([, depth]) => depth === 0).map(([node]) => node)) visit(root, 0, new Set());
  return depths;
}
