/** Calls: built-in functions, role definitions, `has`, `hasRole`, `eval`, and functions of the embedding program. */
import type { Json } from '../request.js';
import { stepsForText, unmetered } from '../step-budget.js';
import { type Expression, walk } from './ast.js';
import type { CustomFunction, Environment } from './environment.js';
import { type FunctionDefinition, FunctionError, type Parameter } from './functions/function-definition.js';
import { isIn } from './operators.js';
import { hasPath } from './paths.js';
import { type Evaluator, fault, type Outcome, type RoleRelation, type Scope } from './scope.js';
import { describeValue } from './values.js';

type Call = Extract<Expression, { kind: 'call' }>;
type Compile = (expression: Expression) => Evaluator;

/** Conditions may call `eval` in turn; a condition that evaluates itself would never end. */
const maxEvalDepth = 16;

/** Steps for finding a prepared pattern. */
const stepsPerPattern = 12;
const stepsPerFunctionError = 200;
const stepsPerCondition = 2_000;
const stepsPerConditionCharacter = 100;

export function compileCall(call: Call, environment: Environment, compile: Compile): Evaluator {
  const { name } = call;
  if (name === 'eval' && environment.hasEval) return compileEval(call, environment, compile);
  const position = environment.roles.get(name);
  if (position !== undefined) return compileRoleCall(call, position, compile);
  const custom = environment.customFunctions.get(name);
  if (custom !== undefined) return compileCustomCall(call, custom, compile);
  const definition = environment.functions.get(name);
  if (definition !== undefined) return compileBuiltInCall(call, definition, environment, compile);
  if (name === 'has') return compileHas(call, environment);
  return compileHasRole(call, environment, compile);
}

/** `has(r.sub.department)`: whether the request has the path. */
function compileHas(call: Call, environment: Environment): Evaluator {
  const [path] = call.args;
  if (call.args.length !== 1 || path === undefined) return wrongCount(call, environment, '1 argument');
  if (path.kind === 'item') {
    const steps = path.path;
    return (scope) => hasPath(scope.item, steps);
  }
  if (path.kind === 'column' || path.kind === 'attribute') {
    const index = environment.requestColumns.get(path.name);
    const steps = path.kind === 'column' ? [] : path.path;
    if (index !== undefined) return (scope) => hasPath(scope.sources[index], steps);
    if (environment.policyColumns.has(path.name) && path.kind === 'column') return () => true;
  }
  environment.report({ code: 'unknown_column', message: 'has() takes a path such as r.sub.department', at: call.at });
  return (scope) => scope.fail('unknown_column', () => 'has() takes a path such as r.sub.department');
}

/**
 * `hasRole(roles, role[, domain])`: whether a text of the list is the role or reaches it over `g`, for roles that come
 * with the request. Other values in the list are ignored.
 */
function compileHasRole(call: Call, environment: Environment, compile: Compile): Evaluator {
  if (call.args.length < 2 || call.args.length > 3) return wrongCount(call, environment, '2 or 3 arguments');
  const position = environment.roles.get('g');
  const [rolesOf, roleOf, domainOf] = call.args.map(compile);
  return (scope) => {
    const roles = rolesOf?.(scope);
    if (roles === fault) return fault;
    const role = roleOf?.(scope);
    if (role === fault) return fault;
    const domain = domainOf?.(scope);
    if (domain === fault) return fault;
    if (!Array.isArray(roles)) return argumentError(scope, 'hasRole', 'roles', 'a list', roles);
    if (typeof role !== 'string') return argumentError(scope, 'hasRole', 'role', 'a text', role);
    if (domain !== undefined && typeof domain !== 'string') {
      return argumentError(scope, 'hasRole', 'domain', 'a text', domain);
    }
    if (position === undefined) return isIn(role, roles, scope);
    return (scope.roles[position] as RoleRelation).isRoleOfAny(roles, role, domain, scope);
  };
}

/** `g(name, role[, domain])`. Further arguments are ignored, as in the reference. */
function compileRoleCall(call: Call, position: number, compile: Compile): Evaluator {
  const args = call.args.map(compile);
  return (scope) => {
    const relation = scope.roles[position] as RoleRelation;
    const values = evaluateArguments(args, scope);
    if (values === fault) return fault;
    const [name, role, domain] = values;
    if (values.length < 2) return scope.fail('wrong_argument_count', () => `${call.name}() wants 2 or 3 arguments`);
    for (const value of values) {
      if (typeof value !== 'string') return argumentError(scope, call.name, 'each argument', 'a text', value);
    }
    if (relation.isRole(name as string, role as string, domain as string | undefined, scope)) return true;
    const assumed = scope.assumedLink;
    if (assumed === undefined || assumed.definition !== call.name || assumed.domain !== domain) return false;
    // The assumed role brings the roles above it, too: a deny for one of those must be found.
    return (
      relation.isRole(name as string, assumed.name, domain, scope) &&
      relation.isRole(assumed.role, role as string, domain, scope)
    );
  };
}

function compileCustomCall(call: Call, custom: CustomFunction, compile: Compile): Evaluator {
  const args = call.args.map(compile);
  return (scope) => {
    const values = evaluateArguments(args, scope);
    if (values === fault) return fault;
    scope.spend(values.length + 1);
    try {
      const result = custom(...values);
      return result === undefined ? null : (result as Json);
    } catch (error) {
      return scope.fail('function_error', () => `${call.name}(): ${error instanceof Error ? error.message : error}`);
    }
  };
}

function compileBuiltInCall(
  call: Call,
  definition: FunctionDefinition,
  environment: Environment,
  compile: Compile,
): Evaluator {
  const required = definition.parameters.filter((parameter) => parameter.optional !== true).length;
  if (call.args.length > definition.parameters.length || (call.args.length < required && call.args.length !== 1)) {
    return wrongCount(call, environment, countOf(definition, required));
  }
  if (call.args.length < required) {
    environment.report({
      code: 'wrong_argument_count',
      message: `${call.name}() wants ${countOf(definition, required)}`,
      at: call.at,
    });
  }
  reportBadLiterals(call, definition, environment);
  const args = call.args.map(compile);
  const pattern = call.args[1];
  if (
    definition.prepare !== undefined &&
    args.length === 2 &&
    pattern !== undefined &&
    isPolicyText(pattern, environment)
  ) {
    return compilePatternCall(call, definition, environment, compile);
  }
  return (scope) => {
    const values = evaluateArguments(args, scope);
    if (values === fault) return fault;
    if (values.length < required || values.length > definition.parameters.length) {
      return scope.fail('wrong_argument_count', () => `${call.name}() wants ${countOf(definition, required)}`);
    }
    for (let index = 0; index < values.length; index++) {
      const parameter = definition.parameters[index] as Parameter;
      const value = values[index] as Json;
      if (!hasType(value, parameter)) return argumentError(scope, call.name, parameter.name, parameter.type, value);
    }
    try {
      return definition.call(values, scope.now, scope);
    } catch (error) {
      return functionFault(scope, call.name, error);
    }
  };
}

/** Reports a call of literals only that fails: `weekday("Mars/Base")` is wrong for every request. */
function reportBadLiterals(call: Call, definition: FunctionDefinition, environment: Environment): void {
  const values = call.args.map((argument) => (argument.kind === 'literal' ? argument.value : undefined));
  const literals = values.filter((value) => value !== undefined);
  if (literals.length === 0 || literals.length < values.length) return;
  const wrong = literals.findIndex((value, index) => !hasType(value, definition.parameters[index] as Parameter));
  try {
    if (wrong < 0) definition.call(literals, 0, unmetered);
    else throw new FunctionError(`its argument ${wrong + 1} must be a ${definition.parameters[wrong]?.type}`);
  } catch (error) {
    if (!(error instanceof FunctionError)) throw error;
    environment.report({ code: 'bad_argument', message: `${call.name}(): ${error.message}`, at: call.at });
  }
}

/** A call whose pattern is policy text: each pattern is prepared once, when the set loads or when it is first met. */
function compilePatternCall(
  call: Call,
  definition: FunctionDefinition,
  environment: Environment,
  compile: Compile,
): Evaluator {
  const [nameOf, patternOf] = call.args.map(compile) as [Evaluator, Evaluator];
  const literal = call.args[1];
  if (literal?.kind === 'literal' && typeof literal.value === 'string') {
    const prepared = environment.patterns.find(definition, literal.value);
    if (prepared.matches === undefined) {
      environment.report({ code: 'bad_pattern', message: prepared.message, at: literal.at });
    }
  }
  const isJoined = literal?.kind !== 'literal' && literal?.kind !== 'column';
  return (scope) => {
    const name = nameOf(scope);
    if (name === fault) return fault;
    const pattern = patternOf(scope);
    if (pattern === fault) return fault;
    if (typeof name !== 'string') return argumentError(scope, call.name, 'the first argument', 'a text', name);
    if (typeof pattern !== 'string') return argumentError(scope, call.name, 'the pattern', 'a text', pattern);
    scope.spend(stepsPerPattern + 4 * stepsForText(pattern.length));
    // A pattern that is joined from several texts is prepared when it is first used.
    if (isJoined && scope.isFirst(definition, pattern)) scope.spend(definition.stepsToPrepare?.(pattern) ?? 0);
    const prepared = environment.patterns.find(definition, pattern);
    try {
      // A broken glob may match in the reference, which stops reading early.
      if (prepared.matches === undefined) return definition.call([name, pattern], scope.now, scope);
      return prepared.matches(name, scope);
    } catch (error) {
      const code = prepared.matches === undefined ? 'bad_pattern' : 'function_error';
      return functionFault(scope, call.name, error, code);
    }
  };
}

/**
 * `eval(p.condition)`: runs a text of the policy as an expression of its own. Texts of the request are never parsed
 * (docs/casbin-differences.md, `eval_of_request`), so an argument that reads the request is an error.
 */
function compileEval(call: Call, environment: Environment, compile: Compile): Evaluator {
  const [text] = call.args;
  if (call.args.length !== 1 || text === undefined) return wrongCount(call, environment, '1 argument');
  if (!isPolicyText(text, environment)) {
    const message = 'eval() takes texts of the policy, never of the request';
    environment.report({ code: 'eval_of_request', message, at: call.at });
    return (scope) => scope.fail('eval_of_request', () => message);
  }
  const textOf = compile(text);
  // A condition that is joined from several texts is compiled when it is first used.
  const isJoined = text.kind !== 'literal' && text.kind !== 'column';
  const stepsToCompile = (source: string): number => stepsPerCondition + stepsPerConditionCharacter * source.length;
  return (scope) => {
    const source = textOf(scope);
    if (source === fault) return fault;
    if (typeof source !== 'string') return argumentError(scope, 'eval', 'the condition', 'a text', source);
    if (isJoined) {
      const steps = stepsForText(source.length) + (scope.isFirst(environment, source) ? stepsToCompile(source) : 0);
      scope.spend(steps);
    }
    const condition = environment.conditions.find(source);
    if (condition.run === undefined) return scope.fail('condition_syntax', () => condition.message);
    if (scope.evalDepth >= maxEvalDepth) {
      return scope.fail('eval_too_deep', () => `conditions call eval() more than ${maxEvalDepth} deep`);
    }
    scope.spend(condition.steps);
    scope.evalDepth++;
    const outcome = condition.run(scope);
    scope.evalDepth--;
    return outcome;
  };
}

/** Whether a value can only come from rules and literals. */
function isPolicyText(expression: Expression, { requestColumns }: Environment): boolean {
  let fromPolicy = true;
  walk(expression, (part) => {
    if (part.kind === 'attribute' || part.kind === 'call') fromPolicy = false;
    if (part.kind === 'quantified' || part.kind === 'item') fromPolicy = false;
    if (part.kind === 'column' && (requestColumns.has(part.name) || !part.name.startsWith('p'))) fromPolicy = false;
  });
  return fromPolicy;
}

/**
 * The values of the arguments. The reference treats a list in the first place as the argument list itself:
 * `g(r.sub.role, p.sub)` holds for every role once a caller sends the same text twice as its role.
 */
function evaluateArguments(args: readonly Evaluator[], scope: Scope): Json[] | typeof fault {
  const values: Json[] = [];
  for (const argument of args) {
    const value = argument(scope);
    if (value === fault) return fault;
    values.push(value);
  }
  return values;
}

function functionFault(scope: Scope, name: string, error: unknown, code = 'function_error'): Outcome {
  if (!(error instanceof FunctionError)) throw error;
  scope.spend(stepsPerFunctionError);
  return scope.fail(code, () => `${name}(): ${error.message}`);
}

function wrongCount(call: Call, environment: Environment, wanted: string): Evaluator {
  const message = `${call.name}() wants ${wanted}, not ${call.args.length}`;
  environment.report({ code: 'wrong_argument_count', message, at: call.at });
  return (scope) => scope.fail('wrong_argument_count', () => message);
}

function countOf(definition: FunctionDefinition, required: number): string {
  const most = definition.parameters.length;
  const count = required === most ? String(most) : `${required} to ${most}`;
  return `${count} argument${count === '1' ? '' : 's'}`;
}

function hasType(value: Json, parameter: Parameter): boolean {
  switch (parameter.type) {
    case 'any':
      return true;
    case 'list':
      return Array.isArray(value);
    default:
      return typeof value === parameter.type;
  }
}

function argumentError(
  scope: Scope,
  name: string,
  parameter: string,
  wanted: string,
  value: Json | undefined,
): Outcome {
  return scope.fail(
    'type_mismatch',
    () => `${name}(): ${parameter} must be ${wanted}, not ${value === undefined ? 'missing' : describeValue(value)}`,
  );
}
