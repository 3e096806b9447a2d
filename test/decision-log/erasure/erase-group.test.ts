import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quote } from '../../../src/core/quote.js';
import { DecisionIds, idMilliseconds } from '../../../src/decision-log/decision-ids.js';
import type { DecisionRecord, NewDecisionRecord } from '../../../src/decision-log/decision-record.js';
import { eraseFromGroup, type GroupEraser } from '../../../src/decision-log/erasure/erase-group.js';
import { erasedValue } from '../../../src/decision-log/erasure/erase-record.js';
import {
  digestOfPerson,
  type ErasureOrder,
  StandingOrders,
} from '../../../src/decision-log/erasure/standing-orders.js';
import { commonMembers, groupText, recordsOf } from '../../../src/decision-log/group-text.js';
import { groupOfText } from '../../../src/decision-log/journal-group.js';
import { commonTexts, recordTexts } from '../../../src/decision-log/record-texts.js';
import { asRead, exampleRecord, noon } from '../example-records.js';

const key = Buffer.alloc(32, 7);
const ids = new DecisionIds(7, 0);
const name = 'd\u00e1na "the name" \\ planted';
const orderAbout = (id: string, time = noon): ErasureOrder => ({
  id: `order of ${time}`,
  time,
  digest: digestOfPerson(key, id),
});
const eraser = (...orders: ErasureOrder[]): GroupEraser => ({ standing: new StandingOrders(key, orders) });
const mark = (time = noon) => ({ erasures: [{ id: `order of ${time}`, time: new Date(time).toISOString() }] });

const example = (changes: Partial<NewDecisionRecord> = {}): NewDecisionRecord => {
  return { ...exampleRecord({ nextId: (now) => ids.next(now) }), ...changes };
};

function written(records: readonly NewDecisionRecord[]): string {
  const common = commonMembers(records[0]!);
  const texts = commonTexts(common);
  return groupText(
    common,
    7,
    records.map((record) => recordTexts(record, texts, idMilliseconds(record.id) === record.time).line),
  );
}

const read = (text: string, first = 1): DecisionRecord[] => [...recordsOf({ first, records: text })].reverse();

/** A record that is about the person, or names it somewhere. */
const aboutPerson: readonly (readonly [string, Partial<NewDecisionRecord>])[] = [
  ['the subject', { request: { subject: { type: 'user', id: name }, action: { name: 'a' }, resource: { id: '1' } } }],
  [
    'the resource',
    { request: { subject: { id: 'ann' }, action: { name: 'a' }, resource: { type: 'person', id: name } } },
  ],
];
const namingPerson: readonly (readonly [string, Partial<NewDecisionRecord>])[] = [
  ['the caller', { caller: name }],
  ['a result of a search', { search: { kind: 'subject', examined: 2, complete: true, results: ['ann', name] } }],
  [
    'an attribute',
    {
      request: {
        subject: { id: 'ann', attributes: { reports: { to: [name, 'eve'] }, [name]: 1 } },
        action: { name: 'a', attributes: { by: name } },
        resource: { id: '1', attributes: { owner: name } },
        attributes: { 'a/b': name },
      },
      errors: [{ code: 'type_error', message: `"${name}" is no number`, pointer: `/subject/attributes/${name}` }],
    },
  ],
  [
    'in a claim of a token',
    {
      request: {
        subject: { id: 'ann' },
        action: { name: 'a' },
        resource: { id: '1' },
        tokens: { user: { sub: 'ann', manager: name, [name]: 1 } },
      },
    },
  ],
  [
    'whom a token is about',
    {
      request: {
        subject: { id: 'ann' },
        action: { name: 'a' },
        resource: { id: '1' },
        tokens: { user: { sub: name, email: 'planted@shop.example' }, service: { sub: 'crm' } },
      },
    },
  ],
  ['an obligation', { obligations: [{ notify: name }, name] }],
  ['a rule', { reason: { code: 'rule_allowed', rule: ['p', name, '*'], file: 'rules.csv', line: 2, message: name } }],
  ['quoted by a message', { errors: [{ code: 'type_error', message: `r.sub.manager is ${quote(name)}, no number` }] }],
  ['in the rule of an error', { errors: [{ code: 'type_error', message: 'planted is none', rule: ['p', name] }] }],
  ['in the pointer of an error', { errors: [{ code: 'x', message: 'planted is none', pointer: `/entities/${name}` }] }],
  ['the request id', { requestId: name, traceId: name }],
];

describe('the erasure of a person from a group', () => {
  for (const [what, changes] of [...aboutPerson, ...namingPerson]) {
    it(`leaves nothing of a name that is ${what}, alone, first, last, and between records of others`, () => {
      for (const group of [
        [example(changes)],
        [example(changes), example()],
        [example(), example(changes)],
        [example(), example(changes), example({ caller: 'crm' })],
      ]) {
        const text = written(group);
        const erased = eraseFromGroup(1, text, eraser(orderAbout(name)));
        expect(erased.text).not.toContain(JSON.stringify(name).slice(1, -1));
        expect(erased.text).not.toContain('planted');
        const at = group.findIndex((record) => JSON.stringify(record).includes('planted'));
        expect(erased.places).toEqual([at]);
        const before = read(text);
        const after = read(erased.text);
        expect(after).toHaveLength(before.length);
        for (const [i, record] of after.entries()) {
          if (i === at) expect(record.erased).toEqual(mark());
          else expect(record).toEqual(before[i]);
        }
      }
    });
  }

  it('takes from a record about the person all attributes, values of rules, messages and obligations, and leaves the answer', () => {
    const record = example({
      request: {
        subject: { type: 'user', id: 'dana', attributes: { department: 'finance' } },
        action: { name: 'approve', attributes: { reason: 'x' } },
        resource: { type: 'invoice', id: 'F-1', attributes: { amount: 18_200 } },
        attributes: { ip: '10.0.0.7' },
      },
      reason: { code: 'rule_denied', rule: ['p', 'dana'], file: 'rules.csv', line: 2, message: 'as Dana is away' },
      errors: [{ code: 'missing_attribute', message: 'm', pointer: '/subject/attributes/age', rule: ['p'], line: 3 }],
      obligations: ['log'],
      decision: 'deny',
    });
    const { text, counts } = eraseFromGroup(1, written([record]), eraser(orderAbout('dana')));
    const [after] = read(text);
    expect(counts.of(`order of ${noon}`)).toEqual({ about: 1, named: 0, held: 0 });
    expect(after).toEqual({
      ...asRead(record),
      writer: 7,
      sequence: 1,
      request: {
        subject: { type: 'user', id: erasedValue },
        action: { name: 'approve' },
        resource: { type: 'invoice', id: 'F-1' },
      },
      reason: { code: 'rule_denied', file: 'rules.csv', line: 2 },
      errors: [{ code: 'missing_attribute', message: erasedValue, line: 3 }],
      obligations: [],
      erased: mark(),
    });
  });

  it('covers what was decided up to the order, and not what comes after it', () => {
    const early = example({ caller: 'dana' });
    const late = example({ caller: 'dana', id: ids.next(noon + 1), time: noon + 1 });
    const { text, places } = eraseFromGroup(1, written([early, late]), eraser(orderAbout('dana')));
    expect(places).toEqual([0]);
    expect(read(text).map(({ caller }) => caller)).toEqual([erasedValue, 'dana']);
  });

  it('changes nothing when it is done again, nor in records that are held', () => {
    const text = written([example({ caller: 'dana' }), example()]);
    const once = eraseFromGroup(1, text, eraser(orderAbout('dana')));
    expect(eraseFromGroup(1, once.text, eraser(orderAbout('dana')))).toMatchObject({ text: once.text, places: [] });
    const held = eraseFromGroup(1, text, { ...eraser(orderAbout('dana')), isHeld: () => true });
    expect(held).toMatchObject({ text, places: [] });
    expect(held.counts.of(`order of ${noon}`)).toEqual({ about: 0, named: 0, held: 1 });
  });

  it('leaves a message of a record that names the person when what it quotes is somebody else', () => {
    const errors = [{ code: 'type_error', message: `"eve" and ${quote('dana\u200e')} are no numbers` }];
    const { text } = eraseFromGroup(1, written([example({ caller: 'ann', errors })]), eraser(orderAbout('dana')));
    expect(read(text)[0]!.errors).toEqual(errors);
    const gone = eraseFromGroup(1, text, eraser(orderAbout('dana\u200e')));
    expect(read(gone.text)[0]!.errors).toEqual([{ code: 'type_error', message: erasedValue }]);
  });

  it('names both erasures of a record that was about two', () => {
    const record = example({ caller: 'eve', requestId: 'dana' });
    const orders = [orderAbout('dana', noon + 1), orderAbout('eve', noon + 2)] as const;
    const first = eraseFromGroup(1, written([record]), eraser(orders[0]));
    const second = eraseFromGroup(1, first.text, eraser(...orders));
    expect(read(second.text)[0]!.erased).toEqual({
      erasures: [...mark(noon + 1).erasures, ...mark(noon + 2).erasures],
    });
  });

  it('finds records of 0.1, which are whole in their lines', () => {
    const old = ({ id, caller }: NewDecisionRecord) =>
      JSON.stringify({ ...asRead(example({ id, caller })), writer: 7, revision: undefined });
    const text = [old(example({ caller: 'dana' })), old(example())].join('\n');
    const { places, text: after } = eraseFromGroup(1, text, eraser(orderAbout('dana')));
    expect(places).toEqual([0]);
    expect(after).not.toContain('dana');
    expect(after.split('\n')[1]).toBe(text.split('\n')[1]);
    expect(read(after)[0]).toMatchObject({ caller: erasedValue, erased: mark() });
  });

  it('counts lines that cannot be read, and erases beside them', () => {
    const lines = written([example(), example({ requestId: 'dana' }), example()]).split('\n');
    const damaged = [lines[0], lines[1]!.slice(0, -9), lines[2], lines[3]].join('\n');
    const { places, counts, text } = eraseFromGroup(1, damaged, eraser(orderAbout('dana')));
    expect(places).toEqual([1]);
    expect(counts.of(`order of ${noon}`)).toEqual({ about: 0, named: 1, held: 0 });
    expect(counts.unreadable).toBe(1);
    expect(text).not.toContain('dana');
  });

  it('counts a record that cannot be written anew as unreadable, and not as erased', () => {
    const lines = written([example({ requestId: 'dana' }), example({ requestId: 'dana' })]).split('\n');
    const text = [lines[0], lines[1]!.replace('"decision"', '"clock":"at noon","decision"'), lines[2]].join('\n');
    const { places, counts } = eraseFromGroup(1, text, eraser(orderAbout('dana')));
    expect(places).toEqual([1]);
    expect(counts.of(`order of ${noon}`)).toEqual({ about: 0, named: 1, held: 0 });
    expect(counts.unreadable).toBe(1);
  });

  it('leaves nothing of a name and everything else, whatever the records are and however groups lie side by side', () => {
    const word = fc.oneof({ weight: 3, arbitrary: fc.constant(name) }, fc.constantFrom('ann', 'a\nb', '', 'billing'));
    const json = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value)));
    const attributes = fc.dictionary(word, fc.oneof(word, json, fc.array(word)), { maxKeys: 3, noNullPrototype: true });
    const entity = fc.record({ id: word, type: word, attributes }, { requiredKeys: ['id'] });
    const changes = fc.record(
      {
        request: fc.record(
          { subject: entity, action: fc.record({ name: word }), resource: entity, attributes },
          { requiredKeys: ['subject', 'action', 'resource'] },
        ),
        caller: word,
        requestId: word,
        traceId: word,
        obligations: fc.array(fc.oneof(word, attributes), { maxLength: 2 }),
        errors: fc.array(fc.record({ code: fc.constant('type_error'), message: word }), { maxLength: 2 }),
        search: fc.record({
          kind: fc.constantFrom('subject' as const, 'action' as const),
          examined: fc.nat(9),
          complete: fc.boolean(),
          results: fc.array(word, { maxLength: 3 }),
        }),
        revision: fc.nat(3),
      },
      { requiredKeys: [] },
    );
    const groups = fc.array(fc.array(changes, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(groups, (drawn) => {
        const text = drawn
          .map((group) => written(group.map((each) => example(each as Partial<NewDecisionRecord>))))
          .join('\n');
        const erased = eraseFromGroup(5, text, eraser(orderAbout(name)));
        expect(erased.text).not.toContain('planted');
        const before = read(text, 5);
        const after = read(erased.text, 5);
        expect(after).toHaveLength(before.length);
        for (const [i, record] of before.entries()) {
          const isNamed = JSON.stringify(record).includes('planted');
          expect(erased.places.includes(i)).toBe(isNamed);
          const { erased: marked, ...rest } = after[i]!;
          if (!isNamed) expect(after[i]).toEqual(record);
          else {
            expect(marked).toEqual(mark());
            const { id, time, policySet, decision, sequence } = record;
            expect(rest).toMatchObject({ id, time, policySet, decision, sequence });
          }
        }
        // It is still shipped and counted.
        const group = groupOfText(5, erased.text);
        expect(group.count).toBe(before.length);
        expect(group.tally.reduce((sum, { count }) => sum + count, 0)).toBe(before.length);
      }),
      { numRuns: 300 },
    );
  });
});
