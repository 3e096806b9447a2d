/** One choice of r, p, e and m, compiled: what an evaluation runs on. Casbin calls the choice an EnforceContext. */

import type { CasbinModel, ColumnsDefinition } from '../casbin/casbin-model.js';
import { trimSpace } from '../casbin/white-space.js';
import type { Binding } from '../manifest/binding-text.js';
import type { DefinitionNames } from '../manifest/manifest.js';
import { type Expression, walk } from '../matcher/ast.js';
import { compileExpression } from '../matcher/compile.js';
import { type DefinedAs, Definitions, textsWith } from '../matcher/definitions.js';
import {
  type CompiledCondition,
  type Conditions,
  type Environment,
  type Flaw,
  namesOf,
} from '../matcher/environment.js';
import { expressionSteps } from '../matcher/expression-steps.js';
import { functionHint } from '../matcher/function-hint.js';
import { parseExpression } from '../matcher/parser.js';
import { compileProgram, type Program } from '../matcher/program.js';
import { conditionSource, matcherSource } from '../matcher/source-text.js';
import { MatcherSyntaxError } from '../matcher/syntax-error.js';
import { quote } from '../quote.js';
import { prepareRoles } from '../roles/prepare-roles.js';
import type { RoleGraph } from '../roles/roles.js';
import { type EffectKind, effectKindOf } from '../rules/effect.js';
import type { RuleStore } from '../rules/rule-store.js';
import { SymbolSet } from '../rules/symbols.js';
import { finish } from '../steps.js';
import { type TokenBinding, tokenOfClaims, tokenRole } from './binding.js';
import { type Plan, planRules } from './plan.js';

export interface Combination {
  /** The request definition; in a set that declares tokens, with `token` behind the others where it does not name it. */
  readonly request: ColumnsDefinition;
  /** Number of values of a question as Casbin asks it: the columns that the model itself defines. */
  readonly width: number;
  readonly policy: ColumnsDefinition;
  readonly rules: RuleStore;
  /** The links of the role definitions, in the order of the model. */
  readonly roles: readonly RoleGraph[];
  /** Undefined if Casbin does not support the effect: an error when the first rule is merged. */
  readonly effect: EffectKind | undefined;
  readonly effectText: string;
  readonly program: Program;
  /** How the rules are found that a request can match. */
  readonly plan: Plan;
  /** True if the matcher reads rules, by its text as in the reference. */
  readonly readsRules: boolean;
  readonly callsEval: boolean;
  readonly tokens: readonly TokenBinding[];
  readonly conditions: Conditions;
  readonly environment: Environment;
}

/** Why a combination cannot be evaluated: each request is an error. `at` is an offset into the matcher's text. */
export interface CombinationError {
  readonly code: 'unknown_definition' | 'matcher_syntax' | 'unknown_function';
  readonly message: string;
  readonly hint?: string | undefined;
  readonly at: number;
  /** The unknown function. */
  readonly unknownName?: string | undefined;
}

export interface CombinationParts {
  readonly model: CasbinModel;
  readonly policies: ReadonlyMap<string, RuleStore>;
  readonly bindings: ReadonlyMap<string, Binding>;
  /** Whether the manifest declares tokens, so that `r.token` is the claims in them. */
  readonly declaresTokens: boolean;
  /** What the manifest defines. */
  readonly defined: ReadonlyMap<string, DefinedAs>;
  readonly language: Pick<Environment, 'functions' | 'customFunctions' | 'patterns'>;
  readonly roles: ReadonlyMap<string, RoleGraph>;
}

/** Compiles a combination. `matcher` replaces the model's own (Casbin's EnforceWithMatcher). */
export function* compileCombinationInSteps(
  parts: CombinationParts,
  names: DefinitionNames,
  matcher: string | undefined,
  report: (flaw: Flaw) => void,
): Generator<void, Combination | CombinationError> {
  const { model } = parts;
  const defined = model.requests.get(names.r);
  const policy = model.policies.get(names.p);
  const effectText = model.effects.get(names.e);
  const text = matcher ?? model.matchers.get(names.m)?.value;
  if (defined === undefined) return unknownDefinition(names.r);
  if (policy === undefined) return unknownDefinition(names.p);
  if (effectText === undefined) return unknownDefinition(names.e);
  if (text === undefined) return unknownDefinition(names.m);
  const request = parts.declaresTokens ? withClaims(defined) : defined;
  const source = matcherSource(text, { fromModel: matcher === undefined });
  const texts = textsWith(source.text, parts.defined);
  const callsEval = texts.some((each) => /\beval\([^)]*\)/.test(each));
  const { roles } = parts;
  const environment: Environment = {
    ...parts.language,
    roles: new Map([...roles.keys()].map((key, position) => [key, position])),
    requestColumns: request.columns,
    policyColumns: policy.columns,
    hasEval: callsEval,
    conditions: { find: (condition) => conditions.find(condition) },
    definitions: new Definitions(parts.defined, () => namesOf(environment)),
    report,
  };
  const conditions = new ConditionLibrary(environment);
  try {
    const program = compileProgram(source, environment);
    const rules = parts.policies.get(names.p) as RuleStore;
    const ofRules = callsEval ? yield* conditions.compileAll(program.expression, rules, policy) : [];
    yield* prepareRoles([program.expression, ...ofRules], roles, rules, policy);
    return {
      request,
      width: defined.tokens.length,
      policy,
      rules,
      roles: [...roles.values()],
      effect: effectKindOf(effectText),
      effectText,
      program,
      plan: yield* planRules(program, environment, roles, rules),
      readsRules: texts.some((each) => each.includes(`${names.p}_`)),
      callsEval,
      tokens: bindTokens(request, parts, [program.expression, ...ofRules]),
      conditions,
      environment,
    };
  } catch (error) {
    if (!(error instanceof MatcherSyntaxError)) throw error;
    const hint = error.hint ?? functionHint(environment, error.unknownName);
    return { code: error.code, message: error.message, hint, at: error.at, unknownName: error.unknownName };
  }
}

export function compileCombination(
  ...args: Parameters<typeof compileCombinationInSteps>
): Combination | CombinationError {
  return finish(compileCombinationInSteps(...args));
}

export function isCombination(value: Combination | CombinationError): value is Combination {
  return 'program' in value;
}

function unknownDefinition(name: string): CombinationError {
  return { code: 'unknown_definition', message: `the model defines no ${quote(name)}`, at: 0 };
}

function withClaims(request: ColumnsDefinition): ColumnsDefinition {
  if (request.tokens.includes(tokenOfClaims)) return request;
  const tokens = [...request.tokens, tokenOfClaims];
  const columns = new Map([...request.columns, [`${request.key}_${tokenOfClaims}`, request.tokens.length]]);
  return { ...request, tokens, columns };
}

function bindTokens(
  request: ColumnsDefinition,
  { bindings, declaresTokens }: CombinationParts,
  expressions: readonly Expression[],
): readonly TokenBinding[] {
  const readAsValues = new Set<string>();
  for (const expression of expressions) {
    walk(expression, (part) => {
      if (part.kind === 'column') readAsValues.add(part.name);
    });
  }
  return request.tokens.map((token) => ({
    token,
    role: declaresTokens && token === tokenOfClaims ? ('token' as const) : tokenRole(token),
    line: bindings.get(token),
    readAsValue: readAsValues.has(`${request.key}_${token}`),
  }));
}

/** The policy columns that `eval()` is given as they are: their texts are conditions. */
export function conditionColumns(expression: Expression, policy: ColumnsDefinition): readonly number[] {
  const columns = new Set<number>();
  walk(expression, (part) => {
    const [text] = part.kind === 'call' && part.name === 'eval' ? part.args : [];
    const column = text?.kind === 'column' ? policy.columns.get(text.name) : undefined;
    if (column !== undefined) columns.add(column);
  });
  return [...columns];
}

const conditionsPerStep = 200;

const emptyCondition: CompiledCondition = Object.freeze({
  run: undefined,
  code: 'matcher_syntax',
  message: 'the condition is empty',
  hint: 'a rule without a condition says true',
  at: 0,
});

/** Steps for each condition: conditions lie far apart in memory and have closures of their own. */
const stepsPerCondition = 10;
const stepsPerConditionStep = 3;

/** Conditions are texts of the policy, so their number is bounded. Each is compiled once. */
class ConditionLibrary implements Conditions {
  private readonly compiled = new Map<string, CompiledCondition>();

  constructor(private readonly environment: Environment) {}

  find(text: string): CompiledCondition {
    let condition = this.compiled.get(text);
    if (condition === undefined) {
      condition = this.compile(text);
      this.compiled.set(text, condition);
    }
    return condition;
  }

  /** Compiles the conditions of all rules now, and those that they evaluate in turn; returns those that parse. */
  *compileAll(
    expression: Expression,
    rules: RuleStore,
    policy: ColumnsDefinition,
  ): Generator<void, readonly Expression[]> {
    const expressions: Expression[] = [];
    for (const column of conditionColumns(expression, policy)) {
      const looked = new SymbolSet([], rules.symbols.size);
      for (const symbol of rules.columns[column] ?? []) {
        if (!looked.add(symbol)) continue;
        if (expressions.length % conditionsPerStep === 0) yield;
        const condition = this.find(rules.symbols.text(symbol));
        if (condition.run !== undefined) expressions.push(condition.expression);
      }
    }
    return expressions;
  }

  private compile(text: string): CompiledCondition {
    if (trimSpace(text) === '') return emptyCondition;
    try {
      const expression = parseExpression(conditionSource(text), namesOf(this.environment));
      const flaws: Flaw[] = [];
      const environment = { ...this.environment, report: (flaw: Flaw) => void flaws.push(flaw) };
      return {
        expression,
        run: compileExpression(expression, environment),
        steps: stepsPerCondition + stepsPerConditionStep * expressionSteps(expression),
        flaws,
      };
    } catch (error) {
      if (!(error instanceof MatcherSyntaxError)) throw error;
      const hint = error.hint ?? functionHint(this.environment, error.unknownName);
      return { run: undefined, code: error.code, message: error.message, hint, at: error.at };
    }
  }
}
