/** `has()` on an attribute that may be null: it is true for null, and the terms behind it expect a value. */

import { mayBeNull } from '../manifest/schema.js';
import { type Expression, walk } from '../matcher/ast.js';
import { namesAllAttributes } from '../matcher/entity-attributes.js';
import { isObject, ownMember } from '../matcher/values.js';
import type { TokenBinding } from '../policy/binding.js';
import { type Combination, conditionColumns } from '../policy/combination.js';
import type { PolicyProblem } from '../problem.js';
import { cut } from '../quote.js';
import type { Json } from '../request.js';
import { type Check, type LintedSet, rulesPerStep } from './linted-set.js';

export function* findNullAttributes(set: LintedSet): Check {
  const { main, compiled } = set;
  const definition = compiled.model.matchers.get(compiled.manifest.definitions.m);
  for (const { path, at } of nullPaths(main.program.expression, set)) {
    if (definition === undefined) break;
    yield { ...warning(path), file: compiled.model.file, ...definition.place(at) };
  }
  const columns = main.callsEval ? conditionColumns(main.program.expression, main.policy) : [];
  const known = new Map<string, readonly Found[]>();
  for (const [index, rule] of (columns.length === 0 ? [] : set.rules).entries()) {
    if (index % rulesPerStep === rulesPerStep - 1) yield undefined;
    for (const column of columns) {
      const text = rule.fields[column] ?? '';
      if (!text.includes('has')) continue;
      let found = known.get(text);
      if (found === undefined) {
        const condition = main.conditions.find(text);
        found = condition.run === undefined ? [] : nullPaths(condition.expression, set);
        known.set(text, found);
      }
      for (const { path } of found) yield { ...warning(path), ...set.places.ofField(rule, column) };
    }
  }
}

function warning(path: string): Pick<PolicyProblem, 'severity' | 'code' | 'message' | 'hint'> {
  return {
    severity: 'warning',
    code: 'has_null',
    message: `has(${cut(path)}) is true where the attribute is null, and it may be null`,
    hint: `where null counts as missing, say has(${cut(path)}) && ${cut(path)} != ()`,
  };
}

interface Found {
  /** As its author wrote it. */
  readonly path: string;
  readonly at: number;
}

/** Paths that `has()` asks for, may be null, and are not compared with a value in the same expression. */
function nullPaths(expression: Expression, set: LintedSet): readonly Found[] {
  const asked: { readonly argument: Attribute; readonly at: number }[] = [];
  const compared = new Set<string>();
  walk(expression, (part) => {
    if (part.kind === 'call' && part.name === 'has') {
      const [argument] = part.args;
      if (argument?.kind === 'attribute') asked.push({ argument, at: part.at });
    } else {
      for (const operand of operandsOf(part)) if (operand.kind === 'attribute') compared.add(keyOf(operand));
    }
  });
  return asked
    .filter(({ argument }) => !compared.has(keyOf(argument)) && isNullable(argument, set))
    .map(({ argument, at }) => ({
      path: [`r.${argument.name.slice(argument.name.indexOf('_') + 1)}`, ...argument.path].join('.'),
      at,
    }));
}

type Attribute = Extract<Expression, { kind: 'attribute' }>;

/** Operands for which null makes the term false or an error: all but those of `!=` with a value other than null. */
function operandsOf(part: Expression): readonly Expression[] {
  switch (part.kind) {
    case 'binary': {
      const isNull = [part.left, part.right].some((side) => side.kind === 'literal' && side.value === null);
      return part.operator === '!=' && !isNull ? [] : [part.left, part.right];
    }
    case 'in':
      return [part.left, part.right];
    case 'call':
      return part.args;
    default:
      return [];
  }
}

function keyOf({ name, path }: Attribute): string {
  return JSON.stringify([name, path]);
}

/** The schema says so, or a stored entity has it. */
function isNullable({ name, path }: Attribute, { main, compiled }: LintedSet): boolean {
  const token = tokenOf(name, main);
  if (token === undefined) return false;
  const { role } = token;
  if (role === 'subject' || role === 'resource' || role === 'action') {
    const own = namesAllAttributes(path[0]) ? path.slice(1) : path;
    if (own.length === 0) return false;
    if (mayBeNull(compiled.schema, role, own)) return true;
    return role !== 'action' && [...compiled.entities].some(({ attributes }) => isNullAt(attributes, own));
  }
  if (role === 'token') return mayBeNull(compiled.schema, 'token', path);
  return mayBeNull(compiled.schema, 'environment', role === 'environment' ? path : [token.token, ...path]);
}

function isNullAt(value: Json, path: readonly string[]): boolean {
  let at: Json | undefined = value;
  for (const step of path) at = isObject(at) ? ownMember(at, step) : undefined;
  return at === null;
}

function tokenOf(name: string, { request, tokens }: Combination): TokenBinding | undefined {
  return tokens[request.columns.get(name) ?? -1];
}
