/** The part of an answer that the deciding rule holds: its columns `reason`, `obligations` and `advice`. */

import type { Json } from '../request.js';
import type { Rule } from '../rules/rule-store.js';

export interface RuleAnswers {
  readonly message: Json | undefined;
  readonly obligations: readonly Json[];
  readonly advice: readonly Json[];
}

const nothing: RuleAnswers = Object.freeze({ message: undefined, obligations: Object.freeze([]), advice: [] });

export function answersOf(rule: Rule): RuleAnswers {
  if (rule.answerColumns === undefined) return nothing;
  const { reason, obligations, advice } = rule.answerColumns;
  return {
    message: readValue(rule, reason),
    obligations: asList(readValue(rule, obligations)),
    advice: asList(readValue(rule, advice)),
  };
}

/** The obligations that a column says. */
export function obligationsIn(text: string): readonly Json[] {
  return asList(columnValue(text));
}

function readValue({ fields }: Rule, column: number | undefined): Json | undefined {
  return columnValue(column === undefined ? '' : (fields[column] ?? ''));
}

/** A column is JSON if it looks like JSON and parses, else text. An empty column is left out. */
function columnValue(text: string): Json | undefined {
  if (text === '') return undefined;
  if (!/^[[{"]/.test(text)) return text;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

function asList(value: Json | undefined): readonly Json[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}
