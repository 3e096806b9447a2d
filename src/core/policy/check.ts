/** Strictness: what parses but cannot mean what its author meant. Nothing is skipped, everything is told at once. */

import type { CasbinModel, RoleDefinition } from '../casbin/casbin-model.js';
import type { ReportProblem } from '../casbin/document-problem.js';
import type { Definition } from '../casbin/model-document.js';
import { closest } from '../closest.js';
import type { DefinitionNames, Manifest } from '../manifest/manifest.js';
import type { NamedText } from '../manifest/yaml-document.js';
import { walk } from '../matcher/ast.js';
import type { Environment, Flaw } from '../matcher/environment.js';
import { functionHint } from '../matcher/function-hint.js';
import type { FunctionDefinition } from '../matcher/functions/function-definition.js';
import { isNumber } from '../matcher/number-expression.js';
import { plainForm } from '../matcher/operator-hints.js';
import { isAscii } from '../matcher/source-text.js';
import { cut, quote } from '../quote.js';
import { effectKindOf, effectSpellings } from '../rules/effect.js';
import { widthOf } from '../rules/misfits.js';
import type { RuleTable } from '../rules/rule-table.js';
import type { Semantics } from '../semantics.js';
import { ambiguousTokens, guessedBindings } from './binding.js';
import { checkTexts } from './check-texts.js';
import { inDefinition } from './check-types.js';
import {
  type Combination,
  type CombinationError,
  type CombinationParts,
  compileCombinationInSteps,
  conditionColumns,
  isCombination,
} from './combination.js';
import { parseConstraint, violationOf } from './constraints.js';

export interface Checked {
  readonly parts: CombinationParts;
  readonly manifest: Manifest;
  readonly table: RuleTable;
  /** Whether there are rules, those included that could not be read. */
  readonly hasRules: boolean;
  /** The files that the rules were read from, for places in them. */
  readonly rules: readonly NamedText[];
  readonly report: ReportProblem;
  readonly semantics: Semantics;
}

/** Checks a set as a whole and returns its main combination. */
export function* checkPolicySet(set: Checked): Generator<void, Combination | CombinationError> {
  const { parts, manifest } = set;
  const main = yield* checkCombination(set, manifest.definitions, () => true);
  yield;
  for (const names of otherDefinitions(set)) {
    // Which r, p and e a further matcher is used with is the caller's choice: only what is wrong with any is told.
    yield* checkCombination(set, names, ({ code }) => code === 'bad_pattern');
  }
  if (isCombination(main)) checkDefinitions(set, main);
  checkRoleMatching(set);
  checkLiveData(set);
  checkEffects(set);
  checkConstraints(set);
  if (isCombination(main)) {
    checkTokens(set, main);
    if (set.semantics !== 1) checkBindings(set, main);
    checkRoleCalls(set, main);
    if (main.readsRules && !set.hasRules && manifest.emptyPolicy === 'refused') reportEmpty(set);
    yield* checkConditions(set, main);
    yield* checkPatterns(set, main);
  }
  for (const definition of parts.model.matchers.values()) {
    if (!isAscii(definition.value)) reportNonAscii(set, definition);
  }
  return main;
}

/** `{ hint: 'did you mean "sub"?' }`, or nothing to add. */
function meantHint(name: string, names: Iterable<string>): { readonly hint?: string } {
  const meant = closest(name, names);
  return meant === undefined ? {} : { hint: `did you mean ${quote(meant)}?` };
}

function problem(set: Checked, definition: Definition, offset: number, code: string, message: string, hint?: string) {
  const place = { file: set.parts.model.file, ...definition.place(offset) };
  return { severity: 'error' as const, code, message, ...place, ...(hint !== undefined && { hint }) };
}

/** The flaws of one matcher. A flaw of a matcher is told once, however many combinations use it. */
function* checkCombination(
  set: Checked,
  names: DefinitionNames,
  matters: (flaw: Flaw) => boolean,
): Generator<void, Combination | CombinationError> {
  const definition = set.parts.model.matchers.get(names.m);
  const combination = yield* compileCombinationInSteps(set.parts, names, undefined, (flaw) => {
    if (definition === undefined || !matters(flaw)) return;
    set.report({ ...problem(set, definition, flaw.at, flaw.code, flaw.message, flaw.hint), follows: flaw.of });
  });
  if (isCombination(combination)) {
    if (definition !== undefined && isNumber(combination.program.expression, combination.environment)) {
      reportNumber(set, definition, combination.program.expression.at);
    }
    return combination;
  }
  if (combination.code === 'unknown_definition') {
    const message = `${combination.message}, which the manifest asks for`;
    const place = set.manifest.placeOf('definitions');
    // Without a manifest it is a required section that is missing, and reported as such.
    if (names.m !== 'm' || names.r !== 'r' || names.p !== 'p' || names.e !== 'e') {
      set.report({ severity: 'error', code: 'unknown_definition', message, ...place, refusedByReference: true });
    }
  } else if (definition !== undefined && isAscii(definition.value)) {
    // Of a matcher with other letters, which Casbin garbles, that alone is told.
    set.report({
      ...problem(set, definition, combination.at, combination.code, combination.message, combination.hint),
      follows: /^g\d*$/.test(combination.unknownName ?? '') ? 'g' : undefined,
    });
  }
  return combination;
}

function otherDefinitions({ parts, manifest }: Checked): DefinitionNames[] {
  const { model } = parts;
  const others = [...model.matchers.keys()].filter((key) => key !== manifest.definitions.m);
  return others.map((m) => {
    const suffix = m.slice(1);
    const own = (letter: string, known: ReadonlyMap<string, unknown>): string =>
      known.has(letter + suffix) ? letter + suffix : letter;
    return { r: own('r', model.requests), p: own('p', model.policies), e: own('e', model.effects), m };
  });
}

function checkDefinitions({ manifest, report }: Checked, { environment }: Combination): void {
  for (const { name, error } of environment.definitions.faults()) {
    const hint = error.hint ?? functionHint(environment, error.unknownName);
    const place = manifest.placeOf('define', name);
    const code = error.code === 'unknown_function' ? error.code : 'definition_syntax';
    report({
      severity: 'error',
      code,
      ...inDefinition(name, error.at, error.message),
      ...place,
      refusedByReference: true,
      ...(hint !== undefined && { hint }),
    });
  }
}

function checkRoleMatching({ manifest, parts, report }: Checked): void {
  const known = parts.model.roles;
  for (const key of manifest.roleMatching.keys()) {
    if (known.has(key)) continue;
    const message = `roleMatching: the model defines no ${quote(key)}`;
    const place = manifest.placeOf('roleMatching', key);
    report({ severity: 'error', code: 'unknown_definition', message, ...place, ...meantHint(key, known.keys()) });
  }
}

function checkLiveData({ manifest, parts, report }: Checked): void {
  const known = parts.model.roles;
  for (const [at, key] of [...(manifest.data?.roles ?? [])].entries()) {
    const definition = known.get(key);
    const place = { severity: 'error' as const, ...manifest.placeOf('data', 'roles', String(at)) };
    if (definition === undefined) {
      const message = `data.roles: the model defines no ${quote(key)}`;
      report({ ...place, code: 'unknown_definition', message, ...meantHint(key, known.keys()) });
      continue;
    }
    const reason = whyNotLive(definition, parts.model);
    if (reason === undefined) continue;
    const message = `data.roles: the links of ${cut(key)} cannot be live data: ${reason}`;
    report({ ...place, code: 'unsupported_live_data', message, refusedByReference: true });
  }
}

function whyNotLive(definition: RoleDefinition, { effects }: CasbinModel): string | undefined {
  if (definition.conditionColumns > 0) return 'they have conditions';
  if (widthOf(definition) > 3) return 'they have more columns than a name, its role and a domain';
  const isSorted = definition.key === 'g' && effectKindOf(effects.get('e') ?? '') === 'subject_priority';
  return isSorted ? 'the order of the rules follows from them' : undefined;
}

function checkEffects(set: Checked): void {
  const { model } = set.parts;
  const text = model.effects.get(set.manifest.definitions.e);
  const definition = model.effectDefinitions.get(set.manifest.definitions.e);
  if (text === undefined || definition === undefined || effectKindOf(text) !== undefined) return;
  const hint = `Casbin compares the text exactly; it knows ${effectSpellings.join('  and  ')}`;
  set.report(problem(set, definition, 0, 'unsupported_effect', `${quote(definition.value)} is not an effect`, hint));
}

function checkConstraints(set: Checked): void {
  const { model } = set.parts;
  const groupings = set.table.groupings.get('g');
  for (const definition of model.constraints.values()) {
    if (groupings === undefined) {
      const message = 'a constraint needs a role definition g';
      set.report({
        ...problem(set, definition, 0, 'constraint_without_roles', message),
        refusedByReference: true,
        follows: 'g',
      });
      continue;
    }
    const constraint = parseConstraint(definition.value.trim());
    if (constraint === undefined) {
      const hint = 'it may be sod("a", "b"), sodMax(["a", "b"], 1), roleMax("a", 1) or rolePre("a", "b")';
      const message = `${quote(definition.value)} is not a constraint`;
      set.report({ ...problem(set, definition, 0, 'constraint_syntax', message, hint), refusedByReference: true });
      continue;
    }
    const violation = violationOf(
      constraint,
      [...groupings].map(({ fields }) => fields),
    );
    if (violation !== undefined) {
      set.report(problem(set, definition, 0, 'constraint_violation', `${definition.key}: ${violation.message}`));
    }
  }
}

function checkTokens(set: Checked, main: Combination): void {
  for (const { token, role, line, readAsValue } of main.tokens) {
    if (role !== 'attribute' || line !== undefined || !readAsValue) continue;
    const message = `r.${cut(token)} is bound by its name to attributes.${cut(token)}`;
    const hint = `say so in policy-set.yaml: request: { ${cut(token)}: attributes.${cut(token)} }`;
    set.report({ ...problem(set, main.request.definition, 0, 'unnamed_binding', message, hint), severity: 'warning' });
  }
  for (const token of set.manifest.request.keys()) {
    if (main.request.tokens.includes(token)) continue;
    const message = `the manifest binds ${quote(token)}, which is no column of ${main.request.key}`;
    const hint = meantHint(token, main.request.tokens);
    const place = set.manifest.placeOf('request', token);
    set.report({ severity: 'error', code: 'unknown_token', follows: 'r', message, ...place, ...hint });
  }
}

/** Two tokens that are the same by their names: `sub` and `user`. One of them is meant otherwise, or is not needed. */
function checkBindings(set: Checked, main: Combination): void {
  for (const [role, names] of ambiguousTokens(main.tokens)) {
    const message = `${names.map((name) => `r.${name}`).join(' and ')} all name the ${role}`;
    const lines = guessedBindings(names).map(([token, line]) => `${token}: ${line}`);
    const hint = `say in policy-set.yaml what each of them is, for example request: { ${lines.join(', ')} }`;
    set.report(problem(set, main.request.definition, 0, 'ambiguous_binding', message, hint));
  }
}

/** `g(a, b)` on a definition with domains sees no domain's links, `g(a, b, d)` on one without ignores the third. */
function checkRoleCalls(set: Checked, main: Combination): void {
  const definition = set.parts.model.matchers.get(set.manifest.definitions.m);
  if (definition === undefined) return;
  walk(main.program.expression, (part) => {
    if (part.kind !== 'call') return;
    const role = set.parts.model.roles.get(part.name);
    if (role === undefined) return;
    const wanted = role.hasDomain ? 3 : 2;
    if (part.args.length === wanted) return;
    const message = `${part.name} = ${cut(role.definition.value)} wants ${wanted} arguments, not ${part.args.length}`;
    set.report(problem(set, definition, part.at, 'role_arity', message));
  });
}

function reportEmpty(set: Checked): void {
  const definition = set.parts.model.matchers.get(set.manifest.definitions.m);
  if (definition === undefined) return;
  const message = 'there are no rules, and the matcher reads rules';
  // Not `emptyPolicy`: under an effect that reads deny rules alone, a set without rules allows everything.
  const hint = 'write the rules into a file that ends in .csv, beside model.conf';
  set.report(problem(set, definition, 0, 'empty_policy', message, hint));
}

function reportNonAscii(set: Checked, definition: Definition): void {
  const offset = [...definition.value].findIndex((character) => !isAscii(character));
  const character = String.fromCodePoint(definition.value.codePointAt(offset) as number);
  const plain = plainForm(character);
  const message = `the matcher has ${quote(character)}, a character beyond ASCII, which Casbin garbles`;
  const hint =
    plain === undefined
      ? 'put the text into a column of the rules, or into a condition'
      : `write ${plain} for ${cut(character)}`;
  set.report(problem(set, definition, offset, 'non_ascii_matcher', message, hint));
}

function reportNumber(set: Checked, definition: Definition, at: number): void {
  const message = 'the matcher is a number, neither true nor false';
  const hint = 'compare it, as in r.sub.level >= 3; Casbin takes every number but 0 for a match';
  set.report(problem(set, definition, at, 'number_as_condition', message, hint));
}

/** Each condition by itself, so that `true) || (true` cannot escape. */
function* checkConditions(set: Checked, main: Combination): Generator<void> {
  const columns = main.callsEval ? conditionColumns(main.program.expression, main.policy) : [];
  for (const column of columns) {
    yield* checkTexts(set, main.rules, column, (text) => {
      const condition = main.conditions.find(text);
      if (condition.run !== undefined) return condition.flaws;
      const code = condition.code === 'unknown_function' ? 'unknown_function' : 'condition_syntax';
      const { message, hint, at } = condition;
      return [{ code, message, at, ...(hint !== undefined && { hint }) }];
    });
  }
}

/** Patterns that stand in columns: `keyMatch2(r.obj, p.obj)` makes each `obj` of the rules one. */
function* checkPatterns(set: Checked, main: Combination): Generator<void> {
  const { environment, policy } = main;
  const wanted: { definition: FunctionDefinition; column: number }[] = [];
  walk(main.program.expression, (part) => {
    if (part.kind !== 'call' || !isPatternFunction(part.name, environment)) return;
    const pattern = part.args[1];
    const column = pattern?.kind === 'column' ? policy.columns.get(pattern.name) : undefined;
    const definition = environment.functions.get(part.name);
    if (column !== undefined && definition !== undefined) wanted.push({ definition, column });
  });
  for (const { definition, column } of wanted) {
    yield* checkTexts(set, main.rules, column, (text) => {
      const prepared = environment.patterns.find(definition, text);
      if (prepared.matches !== undefined) return [];
      return [{ code: 'bad_pattern', message: `${definition.name}: ${prepared.message}`, at: 0 }];
    });
  }
}

function isPatternFunction(name: string, { functions, customFunctions, roles }: Environment): boolean {
  return functions.get(name)?.prepare !== undefined && !customFunctions.has(name) && !roles.has(name);
}
