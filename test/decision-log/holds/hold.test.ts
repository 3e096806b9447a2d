import { describe, expect, it } from 'vitest';
import { holdOf, type NewHold } from '../../../src/decision-log/holds/hold.js';

const all: NewHold = { policySets: undefined, from: undefined, to: undefined, reason: 'case 7', by: 'legal' };

describe('a hold', () => {
  const of = (what: Partial<NewHold>) => [
    { ...all, ...what, id: 'h', created: 0, released: undefined, releasedBy: undefined },
  ];
  const record = { time: 1_000, policySet: 'invoices' };

  it.each<[string, Partial<NewHold>, boolean]>([
    ['of all', {}, true],
    ['of its set', { policySets: ['loans', 'invoices'] }, true],
    ['of another set', { policySets: ['loans'] }, false],
    ['from its time on', { from: 1_000 }, true],
    ['from a later time on', { from: 1_001 }, false],
    ['before a later time', { to: 1_001 }, true],
    ['before its time', { to: 1_000 }, false],
    ['of its range and another set', { from: 0, to: 2_000, policySets: ['loans'] }, false],
  ])('%s keeps a record: %s', (_name, what, keeps) => {
    expect(holdOf(of(what), record) !== undefined).toBe(keeps);
  });
});
