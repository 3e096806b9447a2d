/** The rules of a set, checked against the model's definitions and put in the order in which they are asked. */
import type { ReportProblem } from '../casbin/document-problem.js';
import type { RuleLine } from '../casbin/rules-document.js';
import { closest } from '../closest.js';
import type { CasbinModel, ColumnsDefinition } from './casbin-model.js';
import { type EffectKind, effectKindOf, type RuleEffect, ruleEffectOf } from './effect.js';
import { parseInteger, sortByPriority, sortBySubjectDepth, subjectDepths } from './rule-order.js';

export interface Rule {
  readonly ptype: string;
  readonly fields: readonly string[];
  readonly effect: RuleEffect;
  readonly source: RuleLine;
  /** Where the rule says something to the caller; undefined when its definition has no such columns. */
  readonly answerColumns: AnswerColumns | undefined;
}

export interface AnswerColumns {
  readonly reason?: number | undefined;
  readonly obligations?: number | undefined;
  readonly advice?: number | undefined;
}

export interface RuleTable {
  /** By policy definition, in the order in which they are asked. */
  readonly policies: ReadonlyMap<string, readonly Rule[]>;
  /** By role definition, in the order of the files. */
  readonly groupings: ReadonlyMap<string, readonly RuleLine[]>;
  /** Lines read, those included that were refused. */
  readonly lineCount: number;
}

/** A column that plays a built-in part under another name, as with Casbin's SetFieldIndex: `priority` or `dom`. */
export type FieldIndex = (
  ptype: string,
  field: 'priority' | 'dom',
  definition: ColumnsDefinition,
) => number | undefined;

/** How many rules are looked at between two pauses of a load in steps. */
const rulesPerStep = 2_000;

export function* buildRuleTable(
  model: CasbinModel,
  lines: Iterable<RuleLine>,
  fieldIndex: FieldIndex,
  report: ReportProblem,
): Generator<void, RuleTable> {
  const policies = new Map<string, Rule[]>([...model.policies.keys()].map((key) => [key, []]));
  const groupings = new Map<string, RuleLine[]>([...model.roles.keys()].map((key) => [key, []]));
  const seen = new Map<string, RuleLine>();
  let count = 0;
  for (const line of lines) {
    if (++count % rulesPerStep === 0) yield;
    if (!isWellFormed(line, model, report) || isRepeated(line, seen, report)) continue;
    const policy = model.policies.get(line.ptype);
    if (policy === undefined) groupings.get(line.ptype)?.push(line);
    else policies.get(line.ptype)?.push(readRule(line, policy, report));
  }
  yield;
  return { policies: sortRules(model, policies, groupings, fieldIndex, report), groupings, lineCount: count };
}

function isWellFormed(line: RuleLine, model: CasbinModel, report: ReportProblem): boolean {
  const { ptype, fields, file } = line;
  const place = { severity: 'error', file, line: line.line } as const;
  const policy = model.policies.get(ptype);
  const role = model.roles.get(ptype);
  if (policy === undefined && role === undefined) {
    const known = [...model.policies.keys(), ...model.roles.keys()];
    const meant = closest(ptype, known);
    report({
      ...place,
      code: 'unknown_ptype',
      message: `the model defines no "${ptype}"`,
      column: line.columns[0] ?? 1,
      hint: meant === undefined ? `it defines ${known.join(', ')}` : `did you mean "${meant}"?`,
      refusedByReference: true,
    });
    return false;
  }
  const wanted = policy?.tokens.length ?? Math.max(role?.width ?? 0, role?.leastColumns ?? 0);
  if (fields.length === wanted || (role !== undefined && fields.length > wanted)) return true;
  report({
    ...place,
    code: 'wrong_field_count',
    message: `${ptype} has ${wanted} fields${policy ? ` (${policy.tokens.join(', ')})` : ''}, this rule has ${fields.length}`,
    column: line.columns[Math.min(wanted, fields.length) + (fields.length > wanted ? 1 : 0)] ?? 1,
    hint:
      fields.length > wanted ? 'a field that contains a comma must be put in double quotes' : 'a field may be missing',
    refusedByReference: true,
  });
  return false;
}

/**
 * Whether the reference drops the rule as a repeat of an earlier one: it compares the texts joined by commas, and so
 * takes `"a,b",c` and `a,"b,c"` for the same.
 */
function isRepeated(line: RuleLine, seen: Map<string, RuleLine>, report: ReportProblem): boolean {
  const key = `${line.ptype},${line.fields.join(',')}`;
  const first = seen.get(key);
  if (first === undefined) {
    seen.set(key, line);
    return false;
  }
  const same =
    first.fields.length === line.fields.length && first.fields.every((field, at) => field === line.fields[at]);
  const place = { file: line.file, line: line.line, column: line.columns[0] ?? 1 };
  const where = `${first.file}:${first.line}`;
  if (same) {
    report({ ...place, severity: 'warning', code: 'duplicate_rule', message: `the same rule stands in ${where}` });
  } else {
    const message = `Casbin takes this rule for the one in ${where} and drops it`;
    report({ ...place, severity: 'error', code: 'ambiguous_duplicate', message, hint: 'avoid commas inside fields' });
  }
  return true;
}

function readRule(line: RuleLine, policy: ColumnsDefinition, report: ReportProblem): Rule {
  const effectColumn = policy.columns.get(`${policy.key}_eft`);
  const effect = ruleEffectOf(line.fields, effectColumn);
  if (effect === 'indeterminate' && effectColumn !== undefined) {
    report({
      severity: 'error',
      code: 'unknown_effect',
      message: `the effect must be allow or deny, not "${line.fields[effectColumn]}"`,
      file: line.file,
      line: line.line,
      column: line.columns[effectColumn + 1] ?? 1,
      hint: 'Casbin lets such a rule decide nothing',
    });
  }
  return { ptype: line.ptype, fields: line.fields, effect, source: line, answerColumns: answerColumnsOf(policy) };
}

const answerColumns = new WeakMap<ColumnsDefinition, AnswerColumns>();

function answerColumnsOf(policy: ColumnsDefinition): AnswerColumns | undefined {
  const [reason, obligations, advice] = ['reason', 'obligations', 'advice'].map((name) =>
    policy.columns.get(`${policy.key}_${name}`),
  );
  if (reason === undefined && obligations === undefined && advice === undefined) return undefined;
  let columns = answerColumns.get(policy);
  if (columns === undefined) {
    columns = { reason, obligations, advice };
    answerColumns.set(policy, columns);
  }
  return columns;
}

function sortRules(
  model: CasbinModel,
  policies: ReadonlyMap<string, readonly Rule[]>,
  groupings: ReadonlyMap<string, readonly RuleLine[]>,
  fieldIndex: FieldIndex,
  report: ReportProblem,
): ReadonlyMap<string, readonly Rule[]> {
  const effect: EffectKind | undefined = effectKindOf(model.effects.get('e') ?? '');
  const depths = effect === 'subject_priority' ? readDepths(model, groupings, report) : undefined;
  const sorted = new Map<string, readonly Rule[]>();
  for (const [ptype, rules] of policies) {
    const definition = model.policies.get(ptype) as ColumnsDefinition;
    let ordered = rules;
    if (depths !== undefined) ordered = sortBySubjectDepth(ordered, depths, fieldIndex(ptype, 'dom', definition));
    const priority = fieldIndex(ptype, 'priority', definition);
    if (priority !== undefined && areIntegers(rules, priority, report)) ordered = sortByPriority(ordered, priority);
    sorted.set(ptype, ordered);
  }
  return sorted;
}

function readDepths(
  model: CasbinModel,
  groupings: ReadonlyMap<string, readonly RuleLine[]>,
  report: ReportProblem,
): ReadonlyMap<string, number> | undefined {
  const [definition] = model.policies.values();
  const place = { severity: 'error', line: 1, column: 1, refusedByReference: true } as const;
  const rules = groupings.get('g');
  if (rules === undefined) {
    const message = 'subjectPriority needs a role definition g';
    const at = definition?.definition.place(0);
    report({ ...place, ...at, file: model.file, code: 'missing_definition', message });
    return undefined;
  }
  const depths = subjectDepths(rules);
  if (depths === undefined) {
    const first = rules[0];
    const message = 'the roles have a cycle, so that subjects have no depth to be sorted by';
    report({ ...place, file: first?.file ?? '', line: first?.line ?? 1, code: 'role_cycle', message });
  }
  return depths;
}

function areIntegers(rules: readonly Rule[], column: number, report: ReportProblem): boolean {
  const wrong = rules.filter(({ fields }) => parseInteger(fields[column] ?? '') === undefined);
  for (const { fields, source } of wrong) {
    report({
      severity: 'error',
      code: 'wrong_priority',
      message: `the priority must be a whole number, not "${fields[column]}"`,
      file: source.file,
      line: source.line,
      column: source.columns[column + 1] ?? 1,
      hint: 'Casbin sorts such rules into no certain order',
      refusedByReference: true,
    });
  }
  return wrong.length === 0;
}
