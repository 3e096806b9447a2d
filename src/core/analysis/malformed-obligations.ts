/** Obligations with a type of AuthZEN's draft that nobody could fulfil: their properties are not those of the type. */
import { faultInObligation } from '../engine/obligations.js';
import { obligationsIn } from '../engine/rule-answers.js';
import { type Check, type LintedSet, rulesPerStep } from './linted-set.js';

export function* findMalformedObligations(set: LintedSet): Check {
  const column = set.main.rules.answerColumns?.obligations;
  if (column === undefined) return;
  const faults = new Map<string, string | undefined>();
  for (const [index, rule] of set.rules.entries()) {
    if (index % rulesPerStep === 0) yield undefined;
    const text = rule.fields[column] ?? '';
    if (!faults.has(text)) {
      faults.set(
        text,
        obligationsIn(text)
          .map(faultInObligation)
          .find((found) => found !== undefined),
      );
    }
    const fault = faults.get(text);
    if (fault === undefined) continue;
    yield {
      severity: 'warning',
      code: 'malformed_obligation',
      message: `an obligation has a type of AuthZEN's draft, and ${fault}`,
      hint: 'docs/obligations.md lists the types and their properties',
      ...set.places.ofField(rule, column),
    };
  }
}
