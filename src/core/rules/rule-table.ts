/** The rules of a set, checked against the model's definitions and sorted in the order of evaluation. */

import type { CasbinModel, ColumnsDefinition } from '../casbin/casbin-model.js';
import type { ReportProblem } from '../casbin/document-problem.js';
import type { RuleLine } from '../casbin/rules-document.js';
import { quote } from '../quote.js';
import { type EffectKind, effectKindOf, ruleEffectOf } from './effect.js';
import { Misfits, widthOf } from './misfits.js';
import { parseInteger, sortByPriority, sortBySubjectDepth, subjectDepths } from './rule-order.js';
import { type RuleStore, RuleStoreBuilder } from './rule-store.js';
import type { SymbolTable } from './symbols.js';

export interface RuleTable {
  /** Rules by policy definition, in the order of evaluation. */
  readonly policies: ReadonlyMap<string, RuleStore>;
  /** Grouping rules by role definition, in the order of the files. */
  readonly groupings: ReadonlyMap<string, RuleStore>;
  /** Number of lines that were read, with those that were refused. */
  readonly lineCount: number;
}

/**
 * Names of columns that have a built-in meaning under another name, as with Casbin's SetFieldIndex: `priority` or
 * `dom`.
 */
export type FieldIndex = (
  ptype: string,
  field: 'priority' | 'dom',
  definition: ColumnsDefinition,
) => number | undefined;

/** Rules that are read between two pauses of a load in steps. */
const rulesPerStep = 500;

export function* buildRuleTable(
  model: CasbinModel,
  lines: Iterable<RuleLine>,
  symbols: SymbolTable,
  fieldIndex: FieldIndex,
  report: ReportProblem,
): Generator<void, RuleTable> {
  const policies = new Map<string, RuleStoreBuilder>();
  const groupings = new Map<string, RuleStoreBuilder>();
  for (const [key, policy] of model.policies) {
    policies.set(key, new RuleStoreBuilder(key, policy.tokens.length, symbols, policy));
  }
  for (const [key, role] of model.roles) {
    groupings.set(key, new RuleStoreBuilder(key, widthOf(role), symbols, undefined));
  }
  let lineCount = 0;
  const misfits = new Misfits(model);
  for (const line of lines) {
    if (++lineCount % rulesPerStep === 0) yield;
    if (!misfits.fits(line)) continue;
    const builder = (policies.get(line.ptype) ?? groupings.get(line.ptype)) as RuleStoreBuilder;
    const repeated = builder.add(line);
    if (repeated !== undefined) reportRepeated(line, builder, repeated, report);
    else checkColumns(line, model, fieldIndex, report);
  }
  misfits.tell(report);
  yield;
  const stored = {
    policies: new Map([...policies].map(([key, builder]) => [key, builder.build()])),
    groupings: new Map([...groupings].map(([key, builder]) => [key, builder.build()])),
  };
  yield;
  return { ...stored, policies: sortRules(model, stored, fieldIndex, report), lineCount };
}

/**
 * Reports a repeated rule, which the reference drops. It compares joined texts, so `"a,b",c` and `a,"b,c"` are equal.
 */
function reportRepeated(line: RuleLine, builder: RuleStoreBuilder, repeated: number, report: ReportProblem): void {
  const first = builder.fieldsAt(repeated);
  const same = first.length === line.fields.length && first.every((field, at) => field === line.fields[at]);
  const place = { file: line.file, line: line.line, column: line.columns[0] ?? 1 };
  const where = builder.placeAt(repeated);
  if (same) {
    report({ ...place, severity: 'warning', code: 'duplicate_rule', message: `the same rule stands in ${where}` });
  } else {
    const message = `Casbin takes this rule for the one in ${where} and drops it`;
    report({ ...place, severity: 'error', code: 'ambiguous_duplicate', message, hint: 'avoid commas inside fields' });
  }
}

/** Checks the columns whose texts are restricted: the effect and the priority. */
function checkColumns(line: RuleLine, model: CasbinModel, fieldIndex: FieldIndex, report: ReportProblem): void {
  const policy = model.policies.get(line.ptype);
  if (policy === undefined) return;
  const effectColumn = policy.columns.get(`${policy.key}_eft`);
  if (effectColumn !== undefined && ruleEffectOf(line.fields, effectColumn) === 'indeterminate') {
    report({
      severity: 'error',
      code: 'unknown_effect',
      message: `the effect must be allow or deny, not ${quote(line.fields[effectColumn])}`,
      file: line.file,
      line: line.line,
      column: line.columns[effectColumn + 1] ?? 1,
      hint: 'Casbin lets such a rule decide nothing',
    });
  }
  for (const name of ['obligations', 'advice', 'reason']) {
    const column = policy.columns.get(`${policy.key}_${name}`);
    if (column === undefined || isTextOrJson(line.fields[column] ?? '')) continue;
    report({
      severity: 'warning',
      code: 'not_json',
      message: `${name} begins as JSON and is none; it is answered as a text`,
      file: line.file,
      line: line.line,
      column: line.columns[column + 1] ?? 1,
    });
  }
  const priority = fieldIndex(line.ptype, 'priority', policy);
  if (priority !== undefined && parseInteger(line.fields[priority] ?? '') === undefined) {
    report({
      severity: 'error',
      code: 'wrong_priority',
      message: `the priority must be a whole number, not ${quote(line.fields[priority])}`,
      file: line.file,
      line: line.line,
      column: line.columns[priority + 1] ?? 1,
      hint: 'Casbin sorts such rules into no certain order',
      refusedByReference: true,
    });
  }
}

function isTextOrJson(text: string): boolean {
  if (!/^[[{]/.test(text)) return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function sortRules(
  model: CasbinModel,
  { policies, groupings }: Pick<RuleTable, 'policies' | 'groupings'>,
  fieldIndex: FieldIndex,
  report: ReportProblem,
): ReadonlyMap<string, RuleStore> {
  const effect: EffectKind | undefined = effectKindOf(model.effects.get('e') ?? '');
  const depths = effect === 'subject_priority' ? readDepths(model, groupings, report) : undefined;
  const sorted = new Map<string, RuleStore>();
  for (const [ptype, rules] of policies) {
    const definition = model.policies.get(ptype) as ColumnsDefinition;
    let ordered = rules;
    if (depths !== undefined) ordered = sortBySubjectDepth(ordered, depths, fieldIndex(ptype, 'dom', definition));
    const priority = fieldIndex(ptype, 'priority', definition);
    if (priority !== undefined) ordered = sortByPriority(ordered, priority);
    sorted.set(ptype, ordered);
  }
  return sorted;
}

function readDepths(
  model: CasbinModel,
  groupings: ReadonlyMap<string, RuleStore>,
  report: ReportProblem,
): ReadonlyMap<string, number> | undefined {
  const [definition] = model.policies.values();
  const place = { severity: 'error', line: 1, column: 1, refusedByReference: true } as const;
  const rules = groupings.get('g');
  if (rules === undefined) {
    const message = 'subjectPriority needs a role definition g';
    const at = definition?.definition.place(0);
    report({ ...place, ...at, file: model.file, code: 'missing_definition', follows: 'g', message });
    return undefined;
  }
  const depths = subjectDepths(rules);
  if (depths === undefined) {
    const { file, line } = rules.at(0);
    const message = 'the roles have a cycle, so that subjects have no depth to be sorted by';
    report({ ...place, file, line, code: 'role_cycle', message });
  }
  return depths;
}
