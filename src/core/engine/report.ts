/** Turns the result of an evaluation into the parts of an answer. */
import type { Diagnostic } from '../decision.js';
import type { ExplainedRule } from '../explanation.js';
import type { Rule } from '../rules/rule-store.js';
import type { EvaluationError } from './evaluate.js';

/** `['p', 'manager', 'invoice', 'approve', 'allow']`: the rule as in its line. */
export function ruleLine(rule: Rule): readonly string[] {
  return [rule.ptype, ...rule.fields];
}

/** The same for a rule that failed, with empty texts in the columns of the answer. */
export function failedRuleLine(rule: Rule): readonly string[] {
  return [rule.ptype, ...fieldsWithoutAnswers(rule)];
}

export function describeRule(rule: Rule): ExplainedRule {
  const { file, line } = rule;
  return { rule: ruleLine(rule), effect: rule.effect, file, line };
}

function fieldsWithoutAnswers({ fields, answerColumns }: Rule): readonly string[] {
  if (answerColumns === undefined) return fields;
  const { reason, obligations, advice } = answerColumns;
  return fields.map((field, column) => (column === reason || column === obligations || column === advice ? '' : field));
}

/** `withType`: rules begin with their type, as lines of the file do; otherwise they are Casbin's columns only. */
export function diagnosticsOf(
  errors: readonly EvaluationError[],
  { withType }: { readonly withType: boolean },
): readonly Diagnostic[] {
  if (errors.length === 0) return noDiagnostics;
  return errors.map(({ code, message, rule }) => {
    if (rule === undefined) return { code, message };
    const { file, line } = rule;
    return { code, message, rule: withType ? failedRuleLine(rule) : rule.fields, file, line };
  });
}

const noDiagnostics: readonly Diagnostic[] = Object.freeze([]);
