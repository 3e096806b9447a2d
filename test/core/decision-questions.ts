/** Casbin's cases as decision requests, where they can be expressed as such. */
import type { DecisionRequestInput } from '../../src/engine.js';
import type { CasbinCase } from './corpus.js';

export interface DecisionQuestion {
  readonly request: DecisionRequestInput;
  readonly decision: 'allow' | 'deny';
  /** The deciding rule without its type; undefined when none decided, or when the case does not say. */
  readonly rule: readonly string[] | undefined;
  /** Whether the answer must report an error. */
  readonly errs: boolean;
}

/** Requests of plain texts whose columns go by name, of a policy without options that a folder does not have. */
export function decisionQuestions(example: CasbinCase): DecisionQuestion[] {
  const columns = requestColumns(example.model);
  const { context, roleMatchers, linkConditions, acceptJson, needs_function } = example;
  const options = [context, roleMatchers, linkConditions, acceptJson, needs_function];
  if (options.some((option) => option !== undefined) || !columns.every((column) => column in places)) return [];
  if (!columns.includes('sub')) return [];
  return example.requests.flatMap(({ args, matcher, allow, error, verdict, matched }) => {
    if (matcher !== undefined || args.length !== columns.length) return [];
    if (!args.every((arg) => typeof arg === 'string')) return [];
    const value = (column: string) => args[columns.indexOf(column)] ?? '';
    return [
      {
        request: {
          subject: value('sub'),
          action: value('act'),
          resource: value('obj'),
          ...(columns.includes('dom') && { attributes: { tenant: value('dom') } }),
        },
        decision: (verdict?.allow ?? allow) ? 'allow' : 'deny',
        rule: matched?.[0],
        errs: error !== undefined && verdict === undefined,
      },
    ];
  });
}

/** The columns of Casbin's examples, which the binding by name knows. */
const places = { sub: 'subject', obj: 'resource', act: 'action', dom: 'tenant' };

function requestColumns(model: string): string[] {
  const line = /^r\s*=\s*(.*)$/m.exec(model)?.[1]?.split(/[#;]/)[0] ?? '';
  return line.split(',').map((column) => column.trim());
}
