/** Finds names in rules, and tenants of stored entities, with control characters: no request can name them. */

import type { CasbinModel } from '../casbin/casbin-model.js';
import type { ReportProblem } from '../casbin/document-problem.js';
import type { EntityStore, StoredEntity } from '../manifest/entities.js';
import type { NamedText } from '../manifest/yaml-document.js';
import { faultInName } from '../names.js';
import type { RuleTable } from '../rules/rule-table.js';
import { entityNodes } from '../rules/stored-values.js';
import { checkTexts, type TextFlaw } from './check-texts.js';
import { type Combination, conditionColumns } from './combination.js';

export interface CheckedNames {
  readonly model: CasbinModel;
  readonly main: Combination;
  readonly table: RuleTable;
  readonly entities: EntityStore;
  readonly rules: readonly NamedText[];
  readonly entitiesText: NamedText | undefined;
  readonly report: ReportProblem;
}

export function* checkNames(set: CheckedNames): Generator<void> {
  const { model, main, table } = set;
  const { policy, rules } = main;
  const { reason, obligations, advice } = rules.answerColumns ?? {};
  // Conditions and columns of the answer may hold any character.
  const texts = new Set([...conditionColumns(main.program.expression, policy), reason, obligations, advice]);
  for (const column of policy.tokens.keys()) if (!texts.has(column)) yield* checkTexts(set, rules, column, flawsOf);
  for (const [key, links] of table.groupings) {
    const columns = model.roles.get(key)?.hasDomain === true ? 3 : 2;
    for (let column = 0; column < columns; column++) yield* checkTexts(set, links, column, flawsOf);
  }
  yield* checkTenants(set);
}

function flawsOf(text: string): readonly TextFlaw[] {
  const fault = faultInName(text);
  return fault === undefined ? [] : [{ code: 'control_character', message: `the name holds ${fault}`, at: 0 }];
}

/** Checks tenants if a token of the model is the tenant by its name. */
function* checkTenants({ main, entities, entitiesText, report }: CheckedNames): Generator<void> {
  if (entitiesText === undefined || !main.tokens.some(({ role, line }) => role === 'domain' && line === undefined))
    return;
  const faultOf = ({ attributes: { tenant } }: StoredEntity) =>
    typeof tenant === 'string' ? faultInName(tenant) : undefined;
  const faulty = [...entities].filter((entity) => faultOf(entity) !== undefined);
  if (faulty.length === 0) return;
  const nodeOf = yield* entityNodes(entitiesText);
  for (const entity of faulty) {
    const place = nodeOf(entity)?.placeOfKey(['attributes', 'tenant']) ?? {
      file: entitiesText.file,
      line: 1,
      column: 1,
    };
    report({ severity: 'error', code: 'control_character', message: `the tenant holds ${faultOf(entity)}`, ...place });
  }
}
