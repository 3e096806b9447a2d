import { expect, it } from 'vitest';
import { DecisionIds } from '../../src/decision-log/decision-ids.js';
import type { NewDecisionRecord } from '../../src/decision-log/decision-record.js';
import { commonMembers, groupText, recordsOf } from '../../src/decision-log/group-text.js';
import { commonTexts, recordTexts } from '../../src/decision-log/record-texts.js';
import { asRead, exampleRecord, noon } from './example-records.js';

const ids = new DecisionIds(7, 0);
const example = (changes: Partial<NewDecisionRecord> = {}): NewDecisionRecord => {
  return { ...exampleRecord({ nextId: (now) => ids.next(now) }), ...changes };
};

function written(records: readonly NewDecisionRecord[]): string {
  const common = commonMembers(records[0]!);
  const lines = records.map((record) => {
    // As the log does it: all examples are made at noon, by their ids.
    return recordTexts(record, commonTexts(common), record.time === noon).line;
  });
  return groupText(common, 7, lines);
}

const unlike: readonly (readonly [string, Partial<NewDecisionRecord>])[] = [
  ['is like the first', {}],
  ['names another set and version', { policySet: 'orders', policyVersion: 'sha256:00' }],
  ['was computed from a revision', { revision: 7 }],
  ['was answered by another engine', { engineVersion: '0.2.0' }],
  ['was answered under other defaults', { semantics: 1 }],
  ['came from another caller through another door', { caller: 'crm', authentication: 'jwt', via: 'batch' }],
  ['was decided before the millisecond of its id, by a clock that went back', { time: noon - 1_000 }],
  ['saw another clock than the service', { clock: Date.UTC(2026, 2, 1, 7) }],
  ['has errors and obligations', { errors: [{ code: 'missing_attribute', message: 'm' }], obligations: ['log\nit'] }],
  ['was masked, and traced', { masked: true, traceId: '4bf92f3577b34da6a3ce929d0e0e4736' }],
  ['is a search', { search: { kind: 'subject', examined: 3, complete: true, results: ['alice'] } }],
  ['has line feeds in its ids', { requestId: 'a\nb', caller: 'c\r\nd' }],
];

for (const [what, changes] of unlike) {
  it(`a record that ${what} comes back as it went in, beside others`, () => {
    const records = [example(), example(changes), example()];
    const read = [...recordsOf({ first: 41, records: written(records) })].reverse();
    expect(read).toEqual(records.map((record, i) => ({ ...asRead(record), writer: 7, sequence: 41 + i })));
  });
  it(`a record that ${what} comes back as it went in when the others are compared with it`, () => {
    const records = [example(changes), example()];
    const read = [...recordsOf({ first: 1, records: written(records) })].reverse();
    expect(read).toEqual(records.map((record, i) => ({ ...asRead(record), writer: 7, sequence: 1 + i })));
  });
}

it('the members of a record are in the order in which they were given, wherever they were written', () => {
  const record = example();
  const [read] = recordsOf({ first: 1, records: written([record]) });
  expect(Object.keys(read!)).toEqual([...Object.keys(record), 'writer', 'sequence']);
});

it('a test that the common members pass is passed by every record, and each other test by each record itself', () => {
  const records = written([
    example({ requestId: 'r-1' }),
    example({ requestId: 'r-2', caller: 'crm' }),
    example({ requestId: 'r-3' }),
  ]);
  const found = (...texts: string[]) =>
    [
      ...recordsOf(
        { first: 1, records },
        texts.map((text) => (line) => line.includes(text)),
      ),
    ].map(({ requestId }) => requestId);
  expect(found('"billing"')).toEqual(['r-3', 'r-2', 'r-1']);
  expect(found('"crm"')).toEqual(['r-2']);
  expect(found('"billing"', '"r-1"')).toEqual(['r-1']);
  expect(found('"crm"', '"r-1"')).toEqual([]);
});

it('groups of whole records, as they were once written, are read', () => {
  const records = [example(), example({ caller: 'crm', errors: [{ code: 'missing_attribute', message: 'm' }] })];
  const stored = records.map((record, i) => ({ ...record, writer: 3, sequence: 9 + i }));
  const text = stored.map((record) => JSON.stringify(record)).join('\n');
  expect([...recordsOf({ first: 9, records: text })]).toEqual([...stored].reverse());
});

it('groups that follow on each other in one text each have their own shared members', () => {
  const groups = [
    [example(), example({ caller: 'crm' })],
    [example({ policySet: 'orders' })],
    [example({ caller: 'b' }), example({ requestId: '{"policySet":' })],
  ];
  const text = groups.map(written).join('\n');
  const read = [...recordsOf({ first: 41, records: text })].reverse();
  expect(read).toEqual(groups.flat().map((record, i) => ({ ...asRead(record), writer: 7, sequence: 41 + i })));
  const orders = [...recordsOf({ first: 41, records: text }, [(line) => line.includes('"orders"')])];
  expect(orders.map(({ sequence }) => sequence)).toEqual([43]);
});

it('of several groups in one text a damaged line costs its own record, and one of shared members its group', () => {
  const text = [[example(), example()], [example(), example()], [example()]].map(written).join('\n');
  const read = (changed: (lines: string[]) => void) => {
    const lines = text.split('\n');
    changed(lines);
    const unreadable: number[] = [];
    const found = [...recordsOf({ first: 1, records: lines.join('\n') }, [], (sequence) => unreadable.push(sequence))];
    return { found: found.map(({ sequence }) => sequence), unreadable };
  };
  const damagedRecord = read((lines) => {
    lines[4] = '\0\0';
  });
  expect(damagedRecord).toEqual({ found: [5, 4, 2, 1], unreadable: [3] });
  const damagedCommon = read((lines) => {
    lines[3] = '{"policySet":\0';
  });
  expect(damagedCommon).toEqual({ found: [5, 2, 1], unreadable: [4, 3] });
  const damagedBeginning = read((lines) => {
    lines[0] = '\0\0';
  });
  expect(damagedBeginning).toEqual({ found: [5, 4, 3], unreadable: [2, 1] });
});

it('records of groups that name no semantics have the number 1', () => {
  const text = written([example(), example()]).replaceAll('"semantics":2,', '');
  expect(text).not.toContain('semantics');
  expect([...recordsOf({ first: 1, records: text })].map(({ semantics }) => semantics)).toEqual([1, 1]);
});

it('of a typical record two fifths need not be written', () => {
  const records = Array.from({ length: 64 }, () => example());
  const whole = records.map((record, i) => JSON.stringify({ ...record, writer: 7, sequence: i })).join('\n');
  expect(written(records).length).toBeLessThan(0.6 * whole.length);
});

it('a time that only the id has is written as dates are, whatever came before it', () => {
  const times = [1, 59_999, 60_000, noon, noon + 59_999, noon + 60_000, noon - 1, 253_402_300_799_999, 999, noon + 7];
  for (const time of [...times, ...times.toReversed()]) {
    const ofTime = { ...example({ time, clock: time }), id: new DecisionIds(7, 0).next(time) };
    const common = commonMembers(ofTime);
    const { line } = recordTexts(ofTime, commonTexts(common), true);
    const [read] = recordsOf({ first: 1, records: groupText(common, 7, [line]) });
    expect(read!.time).toBe(new Date(time).toISOString());
  }
});

it('counts each record of a damaged text that has lost line feeds, and gives the others their own sequences', () => {
  const records = Array.from({ length: 6 }, () => example());
  const text = written(records);
  const lines = text.split('\n');
  const startOf = (line: number) => lines.slice(0, line).join('\n').length + 1;
  const read = (from: number, to: number) => {
    const damaged = `${text.slice(0, from)}${'\0'.repeat(to - from)}${text.slice(to)}`;
    const unreadable: number[] = [];
    const found = [
      ...recordsOf({ first: 11, count: 6, records: damaged }, [], (sequence) => unreadable.push(sequence)),
    ];
    return { unreadable, found: found.map(({ sequence, id }) => [sequence, id]) };
  };
  const kept = (...places: number[]) => places.map((place) => [11 + place, records[place]!.id]);
  // From within the third record into the fourth.
  expect(read(startOf(3) + 20, startOf(4) + 20)).toEqual({ unreadable: [14, 13], found: kept(5, 4, 1, 0) });
  // A line feed alone, between the last two.
  expect(read(startOf(6) - 1, startOf(6))).toEqual({ unreadable: [16, 15], found: kept(3, 2, 1, 0) });
  // What all share, and the first record: nothing can be put together.
  expect(read(5, startOf(1) + 5)).toEqual({ unreadable: [16, 15, 14, 13, 12, 11], found: [] });
});
