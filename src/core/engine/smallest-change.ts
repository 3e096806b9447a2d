/** The smallest changes that would allow: found in near misses, verified by deciding again. */

import type { Change, SmallestChange } from '../explanation.js';
import type { Expression } from '../matcher/ast.js';
import { type AssumedLink, fault, type Scope } from '../matcher/scope.js';
import { sameValue } from '../matcher/values.js';
import {
  applyChanges,
  changeOfAttribute,
  changeOfToken,
  type MemberChange,
  readPointer,
} from '../policy/binding-change.js';
import type { Combination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { DecisionRequest, Json } from '../request.js';
import { isAllowedWithin } from './ask.js';
import { describeRule } from './report.js';
import type { Miss, TermReader } from './term-reader.js';

/** Most changes in an explanation, and most near misses that are tried. */
const maxChanges = 3;
const maxTried = 50;

/** The change that would make one term hold. */
type Remedy = { readonly changes: readonly MemberChange[] } | { readonly link: AssumedLink };

/**
 * Finds changes that would make the nearest rules allow, the fewest changes first. Each is verified by deciding again,
 * within a bound of steps, so a change that a deny overrides is left out. Yields each change that it found, and
 * undefined for a pause.
 *
 * @throws StepBudgetExceeded
 */
export function* findSmallestChanges(
  set: CompiledPolicySet,
  combination: Combination,
  request: DecisionRequest,
  scope: Scope,
  misses: readonly Miss[],
  terms: TermReader,
  steps: number,
): Generator<SmallestChange | undefined, void> {
  const budget = { left: steps };
  let found = 0;
  const told = new Set<string>();
  let fewest: number | undefined;
  for (const miss of misses.filter(({ rule }) => rule.effect === 'allow').slice(0, maxTried)) {
    if (found === maxChanges || (fewest !== undefined && miss.terms.length > fewest)) break;
    const remedies = remediesOf(miss, combination, scope, terms);
    if (remedies === undefined) continue;
    const changes = remedies.flatMap((remedy) => ('link' in remedy ? [] : remedy.changes));
    const links = remedies.flatMap((remedy) => ('link' in remedy ? [remedy.link] : []));
    // One link can be assumed at a time; two missing roles would not be a small change.
    if (links.length > 1) continue;
    const isEnough = isAllowedWithin(budget, set, applyChanges(request, changes), scope.now, links[0]);
    if (!isEnough) {
      yield undefined;
      continue;
    }
    const described = [...changes.map((change) => describeChange(request, change)), ...links.map(describeLink)];
    const key = JSON.stringify(described);
    if (told.has(key)) continue;
    told.add(key);
    fewest ??= miss.terms.length;
    found++;
    yield { ...describeRule(miss.rule), changes: described };
  }
}

function remediesOf(
  miss: Miss,
  combination: Combination,
  scope: Scope,
  terms: TermReader,
): readonly Remedy[] | undefined {
  scope.rule = miss.rule.index;
  const remedies: Remedy[] = [];
  for (const term of miss.terms) {
    const remedy = remedyOf(term, combination, scope, terms);
    if (remedy === undefined) return undefined;
    remedies.push(remedy);
  }
  return remedies;
}

function remedyOf(term: Expression, combination: Combination, scope: Scope, terms: TermReader): Remedy | undefined {
  switch (term.kind) {
    case 'binary': {
      return (
        remedyOfComparison(term.left, term.operator, term.right, combination, scope, terms) ??
        remedyOfComparison(term.right, mirrored[term.operator] ?? '', term.left, combination, scope, terms)
      );
    }
    case 'in': {
      const list = terms.evaluate(term.right, scope);
      const [first] = Array.isArray(list) ? list : [];
      return first === undefined ? undefined : assign(term.left, first, combination);
    }
    case 'or':
      return remedyOf(term.left, combination, scope, terms) ?? remedyOf(term.right, combination, scope, terms);
    case 'attribute':
    case 'column':
      return assign(term, true, combination);
    case 'unary':
      return term.operator === '!' ? assign(term.operand, false, combination) : undefined;
    case 'call':
      return combination.environment.roles.has(term.name) ? assumeLink(term, scope, terms) : undefined;
    default:
      return undefined;
  }
}

const mirrored: Readonly<Partial<Record<string, string>>> = { '==': '==', '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

/** A value on the left that would make the comparison hold, if the left is something a request can say. */
function remedyOfComparison(
  left: Expression,
  operator: string,
  right: Expression,
  combination: Combination,
  scope: Scope,
  terms: TermReader,
): Remedy | undefined {
  const bound = terms.evaluate(right, scope);
  if (bound === fault) return undefined;
  switch (operator) {
    case '==':
    case '<=':
    case '>=':
      return assign(left, bound, combination);
    case '<':
      return typeof bound === 'number' ? assign(left, bound - 1, combination) : undefined;
    case '>':
      return typeof bound === 'number' ? assign(left, bound + 1, combination) : undefined;
    default:
      return undefined;
  }
}

function assign(target: Expression, value: Json, combination: Combination): Remedy | undefined {
  if (target.kind !== 'column' && target.kind !== 'attribute') return undefined;
  const index = combination.request.columns.get(target.name);
  const token = index === undefined ? undefined : combination.tokens[index];
  if (token === undefined) return undefined;
  if (target.kind === 'column') {
    const changes = changeOfToken(token, value);
    return changes === undefined ? undefined : { changes };
  }
  const change = changeOfAttribute(token, target.path, value);
  return change === undefined ? undefined : { changes: [change] };
}

function assumeLink(call: Extract<Expression, { kind: 'call' }>, scope: Scope, terms: TermReader): Remedy | undefined {
  const [name, role, domain] = call.args.map((argument) => terms.evaluate(argument, scope));
  if (typeof name !== 'string' || typeof role !== 'string') return undefined;
  if (domain !== undefined && typeof domain !== 'string') return undefined;
  return { link: { definition: call.name, name, role, domain } };
}

function describeChange(request: DecisionRequest, { path, to }: MemberChange): Change {
  const from = readPointer(request, path);
  return from === undefined || sameValue(from, to)
    ? { kind: 'request', path, to }
    : { kind: 'request', path, from, to };
}

function describeLink({ definition, name, role, domain }: AssumedLink): Change {
  return { kind: 'role', definition, name, role, ...(domain !== undefined && { domain }) };
}
