import { validateSync } from 'class-validator';
import { describe, expect, it } from 'vitest';
import { EntityStore } from '../../src/core/manifest/entities.js';
import { RequestEntities } from '../../src/core/policy/request-entities.js';
import { DecisionIds } from '../../src/decision-log/decision-ids.js';
import { DecisionQuery } from '../../src/decision-log/decision-query.js';
import type { DecisionRecord } from '../../src/decision-log/decision-record.js';
import { compileMask } from '../../src/decision-log/mask.js';
import { compileCondition, longestCondition } from '../../src/decision-log/record-condition.js';
import { MaskedEntities } from '../../src/decision-log/recorded-entities.js';
import { asRead, exampleRecord } from './example-records.js';

const ids = new DecisionIds(7, 0);

function record(changes: Partial<DecisionRecord> = {}): DecisionRecord {
  const made = asRead(exampleRecord({ nextId: (now) => ids.next(now) }));
  return { ...made, writer: 7, sequence: 1, instance: 'pdp-1', ...changes };
}

const people = EntityStore.of([{ type: 'user', id: 'alice', attributes: { department: 'finance', name: 'Zoë' } }]);
const entities = new MaskedEntities(new RequestEntities(people, 'stored'), [compileMask({ mask: [], drop: [] })]);

const outcome = (text: string, changes?: Partial<DecisionRecord>) =>
  compileCondition(text).outcome(record(changes), entities);

it.each([
  ["subject == 'alice' && subject.type == 'user' && subject.id == 'alice'", 'met'],
  ["subject.department == 'finance' && subject.attributes.department == subject.properties.department", 'met'],
  ["action == 'approve' && action.name == 'approve'", 'met'],
  ["resource.type == 'invoice' && resource.amount > 899.5 && resource.amount < 901", 'met'],
  ["attributes.tenant == 'acme'", 'met'],
  ["decision == 'deny'", 'not_met'],
  ["reason == 'rule_allowed' && reason.code == reason && reason.line == 7 && reason.file == 'rules.csv'", 'met'],
  ["'manager' in reason.rule", 'met'],
  ["policySet == 'invoices' && caller == 'billing' && authentication == 'api_key' && via == 'decide'", 'met'],
  ["requestId == 'r-alice-42' && instance == 'pdp-1' && durationUs == 12 && semantics == 2 && !masked", 'met'],
  // As everywhere in matchers, a literal that looks like a time is one.
  ["time >= '2026-11-21T12:00:00Z' && time < '2026-11-22' && clock == time", 'met'],
  ['has(subject.department) && !has(subject.room) && !has(traceId)', 'met'],
  ['subject.room == 1', 'erred'],
  ['traceId == 1', 'erred'],
  ['resource.amount > decision', 'erred'],
  ['resource.amount', 'erred'],
  ['subject.department.name == 1', 'erred'],
  ["subject.name == 'Zoë'", 'met'],
  ["weekday('UTC') == 'Saturday' || weekday('UTC') == 'saturday' || weekday('UTC') == 6", 'met'],
] as const)('%s is %s', (text, wanted) => {
  expect(outcome(text)).toBe(wanted);
});

it('a record is not met, and errs, whatever stops the evaluation of it', () => {
  const long = 'a'.repeat(1_000);
  const dear = Array.from({ length: 40 }, (_, i) => `regexMatch(attributes.text, '(a|b)${'a?'.repeat(i)}c')`).join(
    ' || ',
  );
  expect(outcome(dear, { request: { ...record().request, attributes: { text: long } } })).toBe('erred');
  const nested = { list: Array.from({ length: 200_000 }, () => 1) };
  expect(outcome('attributes.nested == 1', { request: { ...record().request, attributes: { nested } } })).toBe('erred');
});

it.each([
  ['', 'character 1: the expression ends too early'],
  ['subject.level >', 'character 16: the expression ends too early'],
  ["subjekt == 'a'", 'character 1: there is no column subjekt (a record has subject, action, resource'],
  ["subject == 'a' && r.sub == 'b'", 'character 19: there is no column r'],
  ["eval('true')", 'character 1: unknown function eval'],
  ["g(subject, 'admin')", 'character 1: unknown function g'],
  ["hasRole(subject.roles, 'admin')", 'character 1: unknown function hasRole'],
  ["regexMatch(subject, '[')", 'character 21: '],
  ['regexMatch(subject)', 'character 1: regexMatch() wants 2 arguments'],
  ["subject == 'a'; DROP TABLE journal", 'character 15: '],
  ['process.exit(1)', 'character 1: "process.exit" is an attribute, not a function'],
  ['constructor.constructor', 'character 1: there is no column constructor'],
  ['(((', 'character 4: an opening parenthesis is not closed'],
])('%s is refused, by its place', (text, message) => {
  expect(() => compileCondition(text)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  expect(() => compileCondition(text)).toThrow(`filter is no condition: ${message}`);
});

it('names of prototypes are no attributes', () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    expect(outcome(`subject.${name} == 1`), name).toBe('erred');
    expect(outcome(`has(attributes.${name})`), name).toBe('not_met');
  }
});

it(`a condition has ${longestCondition} characters at most`, () => {
  const faults = (filter: string) => validateSync(Object.assign(new DecisionQuery(), { filter })).length;
  expect(faults('a'.repeat(longestCondition))).toBe(0);
  expect(faults('a'.repeat(longestCondition + 1))).toBe(1);
});

it('an entity whose name is masked has no stored attributes, since the name that is left is another one', () => {
  for (const rules of [
    { mask: ['/subject/id'], drop: [] },
    { mask: [], drop: ['/subject/type'] },
    { mask: ['/subject'], drop: [] },
  ]) {
    const masked = new MaskedEntities(new RequestEntities(people, 'stored'), [compileMask(rules)]);
    const { part, unresolved } = masked.subjectOf(record().request);
    expect(unresolved).toBe('masked');
    expect(part).not.toHaveProperty('attributes');
    expect(masked.resourceOf(record().request).unresolved).toBeUndefined();
  }
});

it('masks of several versions apply together, also to what is at the top level and of the action', () => {
  const masks = [
    compileMask({ mask: ['/attributes/a'], drop: [] }),
    compileMask({ mask: [], drop: ['/attributes/b'] }),
  ];
  const both = new MaskedEntities(new RequestEntities(people, 'stored'), masks);
  const request = {
    ...record().request,
    action: { name: 'approve', attributes: { pin: 1, password: 'x' } },
    attributes: { a: 1, b: 2, c: 3 },
  };
  expect(both.attributesOf(request)).toEqual({ a: '[masked]', c: 3 });
  expect(both.actionOf(request)).toEqual({ name: 'approve', attributes: { pin: 1, password: '[masked]' } });
  expect(
    both.attributesOf(record({ request: { ...request, attributes: undefined as never } }).request),
  ).toBeUndefined();
});

describe('what the first terms of a condition say of single fields', () => {
  it.each<[string, object[]]>([
    [
      "decision == 'deny' && via == 'batch' && subject.level > 5",
      [
        { field: 'decision', value: 'deny' },
        { field: 'via', value: 'batch' },
      ],
    ],
    [
      "'crm' == caller && reason == 'no_matching_rule'",
      [
        { field: 'caller', value: 'crm' },
        { field: 'reason', value: 'no_matching_rule' },
      ],
    ],
    // It can err before the second term is evaluated.
    ["subject.level > 5 && decision == 'deny'", []],
    ["decision == 'deny' || via == 'batch'", []],
    ["decision != 'deny'", []],
    ["!(decision == 'deny')", []],
    // A mask can hide an id, and not every record has a trace.
    ["subject == 'ann' && decision == 'deny'", []],
    ["traceId == 'a' && decision == 'deny'", []],
    // A time is a number to matchers.
    ["requestId == '2026-03-03T00:00:00Z'", []],
    ["reason.rule == 'p'", []],
  ])('%s', (text, implied) => {
    expect(compileCondition(text).implied).toEqual(implied);
  });
});
