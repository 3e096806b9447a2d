/**
 * Known differences between stock Casbin and Casbin's Go implementation, which Verdict follows
 * (docs/casbin-differences.md). A difference that one of these explains is not a defect of the engine.
 */
import type { EngineDecision } from '../core/decision.js';
import { type Expression, walk } from '../core/matcher/ast.js';
import type { Json } from '../core/request.js';
import type { StockAnswer } from './stock-casbin.js';
import type { StockView } from './stock-view.js';

/** One question, with both answers. */
export interface Comparison {
  readonly view: StockView;
  readonly values: readonly (Json | undefined)[];
  readonly ours: EngineDecision;
  readonly theirs: StockAnswer;
  /** Whether the decisions are the same, and only the rules that explain them differ. */
  readonly sameDecision: boolean;
}

export interface KnownDifference {
  readonly code: string;
  /** Whether it may be why the answers differ. */
  explains(comparison: Comparison): boolean;
}

/** In the order in which they are tried: the surest first. */
export const knownDifferences: readonly KnownDifference[] = [
  {
    // A missing attribute is undefined there, types convert, anything is a truth value; here each errs in its rule.
    code: 'evaluation_error',
    explains: ({ ours }) => ours.errors.length > 0,
  },
  {
    // One rule's error fails the whole request there, also that of a rule which could not have matched.
    code: 'stock_error',
    explains: ({ theirs }) => theirs.kind === 'failure',
  },
  {
    // Of several allows it names the last under allow-and-deny; and the first rule where none was read.
    code: 'explained_rule',
    explains: ({ sameDecision, view: { combination } }) =>
      sameDecision && (combination?.effect === 'allow_and_deny' || combination?.readsRules === false),
  },
  {
    // `in` binds as loosely as `||` there, and lists are found by rewriting brackets.
    code: 'in_operator',
    explains: ({ view }) => some(view, (part) => part.kind === 'in' || part.kind === 'list'),
  },
  {
    // JavaScript's `==` converts.
    code: 'typed_equality',
    explains: ({ view, values }) =>
      some(view, isEquality) && (values.some(holdsOtherThanText) || some(view, isOtherThanText)),
  },
  {
    // Patterns match in one direction only, and keyMatch is not registered for domains by itself.
    code: 'role_patterns',
    explains: ({ view }) =>
      view.compiled.manifest.roleMatching.size > 0 ||
      ([...view.compiled.model.roles.values()].some(({ hasDomain }) => hasDomain) &&
        some(view, (part) => part.kind === 'call' && part.name === 'keyMatch')),
  },
  {
    // A role definition asked with another number of arguments than it has columns finds nothing there.
    code: 'role_arguments',
    explains: ({ view }) =>
      some(view, (part) => {
        const role = part.kind === 'call' ? view.compiled.model.roles.get(part.name) : undefined;
        return role !== undefined && part.kind === 'call' && part.args.length !== (role.hasDomain ? 3 : 2);
      }),
  },
  {
    // keyMatch4 compares repeated names all together, keyGet2 counts segments, ipMatch takes `/33`, globMatch is
    // minimatch, for which a leading dot is special.
    code: 'pattern_functions',
    explains: ({ view }) => some(view, (part) => part.kind === 'call' && differingFunctions.has(part.name)),
  },
  {
    // Fields are trimmed there, quoted ones too, and joined until their parentheses balance.
    code: 'rule_fields',
    explains: ({ view }) => traitsOf(view).unusualFields,
  },
  {
    // A backslash in a matcher's literal escapes there and is itself here.
    code: 'matcher_backslash',
    explains: ({ view: { compiled } }) =>
      [...compiled.model.matchers.values()].some(({ value }) => value.includes('\\')),
  },
  {
    // The text of a condition is put into the matcher's text with String.replace, for which `$` is special.
    code: 'eval_substitution',
    explains: ({ view }) => view.combination?.callsEval === true && traitsOf(view).dollars,
  },
];

const differingFunctions: ReadonlySet<string> = new Set(['globMatch', 'ipMatch', 'keyGet2', 'keyMatch4']);

function some({ expressions }: StockView, holds: (part: Expression) => boolean): boolean {
  let found = false;
  for (const expression of expressions) {
    walk(expression, (part) => {
      found ||= holds(part);
    });
    if (found) return true;
  }
  return false;
}

interface RuleTraits {
  /** Some field begins or ends with white space, or has parentheses that do not balance. */
  readonly unusualFields: boolean;
  readonly dollars: boolean;
}

const ruleTraits = new WeakMap<StockView, RuleTraits>();

/** Traits of a version's rules, computed once. */
function traitsOf(view: StockView): RuleTraits {
  let traits = ruleTraits.get(view);
  if (traits === undefined) {
    let [unusualFields, dollars] = [false, false];
    for (const { fields } of view.combination?.rules ?? []) {
      for (const field of fields) {
        unusualFields ||= field !== field.trim() || isUnbalanced(field);
        dollars ||= field.includes('$');
      }
    }
    traits = { unusualFields, dollars };
    ruleTraits.set(view, traits);
  }
  return traits;
}

function isEquality(part: Expression): boolean {
  return part.kind === 'binary' && (part.operator === '==' || part.operator === '!=');
}

function isOtherThanText(part: Expression): boolean {
  return part.kind === 'literal' && typeof part.value !== 'string';
}

function holdsOtherThanText(value: Json | undefined): boolean {
  if (typeof value === 'string' || value === undefined) return false;
  if (value === null || typeof value !== 'object') return true;
  return Array.isArray(value) || Object.values(value).some(holdsOtherThanText);
}

function isUnbalanced(field: string): boolean {
  return field.split('(').length !== field.split(')').length;
}
