/** The engine answers Casbin's own cases (`test/cases/casbin`) as Casbin does: decision, error and explained rule. */
import { describe, expect, it } from 'vitest';
import { compilePolicySet, PolicyError } from '../../src/engine.js';
import { type CasbinCase, casbinCases, functionsOf } from './corpus.js';

/** Every condition in the cases is about years long gone or far away. */
const now = Date.UTC(2024, 5, 1);

function compile(example: CasbinCase, rules = example.policy) {
  return compilePolicySet({
    model: example.model,
    rules,
    roleMatching: example.roleMatchers,
    linkConditions: example.linkConditions,
    fieldIndex: example.fieldIndex,
    acceptJson: example.acceptJson,
    functions: functionsOf(example),
  });
}

describe('P6: the engine answers as Casbin does', () => {
  it.each(casbinCases())('$name', (example) => {
    if (example.load_error !== undefined) {
      expect(() => compile(example)).toThrow(PolicyError);
      return;
    }
    const set = compile(example);
    for (const { args, matcher, allow, matched, error, verdict } of example.requests) {
      const answer = set.enforce(args, { context: example.context, matcher, now });
      const question = `${JSON.stringify(args)} ${matcher ?? ''}`;
      expect(answer.decision, question).toBe((verdict?.allow ?? allow) ? 'allow' : 'deny');
      if (verdict !== undefined) continue;
      if (error !== undefined) expect(answer.errors, question).not.toEqual([]);
      else expect(answer.rule ?? [], question).toEqual(matched?.[0] ?? []);
    }
  });

  it.each(casbinCases().filter(({ steps }) => steps !== undefined))('$name: each addition on its own', (example) => {
    const taken: string[] = [];
    for (const { add, allow } of example.steps ?? []) {
      const rules = [...taken, add.join(', ')].join('\n');
      if (allow === true) {
        expect(() => compile(example, rules)).not.toThrow();
        taken.push(add.join(', '));
      } else {
        const set = () => compilePolicySet({ model: example.model, rules, strict: true });
        expect(set).toThrow(PolicyError);
      }
    }
  });
});

describe('the same cases as decision requests', () => {
  const expressible = casbinCases().filter(isExpressible);

  it('are many', () => {
    expect(expressible.length).toBeGreaterThan(60);
  });

  it.each(expressible)('$name', (example) => {
    const set = compile(example);
    for (const { args, allow, error, verdict, matched } of example.requests) {
      if (!args.every((arg) => typeof arg === 'string') || args.length !== requestColumns(example).length) continue;
      const values = Object.fromEntries(requestColumns(example).map((column, i) => [column, args[i] as string]));
      const answer = set.decide(
        {
          subject: values.sub ?? '',
          action: values.act ?? '',
          resource: values.obj ?? '',
          ...(values.dom !== undefined && { attributes: { tenant: values.dom } }),
        },
        { now },
      );
      const question = JSON.stringify(args);
      expect(answer.decision, question).toBe((verdict?.allow ?? allow) ? 'allow' : 'deny');
      if (error !== undefined && verdict === undefined) expect(answer.errors, question).not.toEqual([]);
      const rule = matched?.[0];
      if (rule !== undefined && answer.reason.rule !== undefined) {
        expect(answer.reason.rule.slice(1), question).toEqual(rule);
      }
    }
  });
});

/** Requests of plain names, columns that go by name, no options that a decision request does not have. */
function isExpressible({ requests, context, model, roleMatchers, linkConditions, acceptJson }: CasbinCase): boolean {
  const columns = requestColumns({ model });
  return (
    requests.some(({ matcher }) => matcher === undefined) &&
    requests.every(({ matcher }) => matcher === undefined) &&
    context === undefined &&
    roleMatchers === undefined &&
    linkConditions === undefined &&
    acceptJson !== true &&
    columns.includes('sub') &&
    columns.every((column) => ['sub', 'obj', 'act', 'dom'].includes(column))
  );
}

function requestColumns({ model }: Pick<CasbinCase, 'model'>): string[] {
  const line = /^r\s*=\s*(.*)$/m.exec(model)?.[1]?.split(/[#;]/)[0] ?? '';
  return line.split(',').map((column) => column.trim());
}
