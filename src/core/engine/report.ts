/** From what an evaluation found to what an answer says. */
import type { Diagnostic } from '../decision.js';
import type { Rule } from '../policy/rule-store.js';
import type { EvaluationError } from './evaluate.js';

/** `['p', 'manager', 'invoice', 'approve', 'allow']`: the rule as its line says it. */
export function ruleLine(rule: Rule): readonly string[] {
  return [rule.ptype, ...rule.fields];
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
    return { code, message, rule: withType ? ruleLine(rule) : rule.fields, file, line };
  });
}

const noDiagnostics: readonly Diagnostic[] = Object.freeze([]);
