/** Lines of records are verified without being parsed: what is read of them is what parsing gives, or nothing. */
import { describe, expect, it } from 'vitest';
import type { NewDecisionRecord } from '../../src/decision-log/decision-record.js';
import { commonMembers } from '../../src/decision-log/group-text.js';
import { keyedValues, lineTexts } from '../../src/decision-log/line-texts.js';
import { indexedFieldNames, indexedFields } from '../../src/decision-log/record-keys.js';
import { commonTexts, recordTexts } from '../../src/decision-log/record-texts.js';

const time = Date.UTC(2026, 10, 29, 12, 0, 0, 7);
const idOf = (ms: number) =>
  `${ms
    .toString(16)
    .padStart(12, '0')
    .replace(/^(.{8})/, '$1-')}-7abc-8abc-0123456789ab`;

const plain: NewDecisionRecord = {
  id: idOf(time),
  time,
  policySet: 'invoices',
  policyVersion: `sha256:${'0'.repeat(64)}`,
  engineVersion: '0.1.0',
  semantics: 2,
  request: {
    subject: { type: 'user', id: 'ann' },
    action: { name: 'read' },
    resource: { type: 'invoice', id: '7' },
  },
  clock: time,
  decision: 'allow',
  reason: { code: 'rule_allowed', rule: ['p', 'a"b', '\\'], file: 'rules.csv', line: 7 },
  errors: [],
  obligations: [],
  caller: 'billing',
  authentication: 'api_key',
  via: 'decide',
  requestId: 'r-1',
  durationUs: 12,
};
const attributes = { '{': ['}', '"', '\\', 'ü\u{1f600}'], id: 'x', name: [{ a: 1.5e-7 }, null, true], 'b"': {} };
const records: Partial<NewDecisionRecord>[] = [
  {},
  { request: { ...plain.request, attributes } },
  {
    request: {
      subject: { type: 'us"er', id: 'a\\"nn,}', attributes },
      action: { name: 're\nad', attributes },
      resource: { type: 'invoice', id: '\u2028', attributes: {} },
      attributes: {},
    },
  },
  { clock: time + 1, masked: true },
  { candidate: 'canary' },
  { clock: time + 1, masked: true, candidate: 'canary', revision: undefined },
  { time: time + 1, clock: time + 1 },
  { policySet: 'others', policyVersion: 'sha256:1', engineVersion: '0.2.0', semantics: 1 },
  { caller: 'crm', authentication: 'jwt', via: 'batch', traceId: '0af7651916cd43dd8448eb211c80319c' },
  { revision: 5 },
  { revision: undefined },
  {
    decision: 'deny',
    reason: { code: 'evaluation_error', message: 'no "x"' },
    errors: [{ code: 'type_error', message: '{' }],
  },
  { obligations: [{ id: 'o', type: 't', properties: { z: 1, a: [']'] } }], requestId: '"}' },
  { local: { instance: '0'.repeat(32), number: 41, decidedAt: '2026-11-29T12:00:00.001Z' }, clock: time - 6 },
  {
    masked: true,
    via: 'local',
    local: { instance: 'f'.repeat(32), number: 1, decidedAt: '2026-11-29T12:00:00.007Z' },
    disputed: {
      decision: 'allow',
      reason: { code: 'rule_allowed', rule: ['p', '"},'] },
      errors: ['type_error'],
      obligations: [{ z: 1, a: '\\' }],
      engineVersion: '0.1.0',
    },
  },
];

describe('the line of a record', () => {
  for (const [n, change] of records.entries()) {
    for (const revision of [undefined, 5, 6]) {
      const record = { ...plain, ...change } as NewDecisionRecord;
      const common = commonTexts(commonMembers({ ...plain, ...(revision !== undefined && { revision }) }, 'one'));
      const { line, whole } = recordTexts(record, common, record.time === time);

      it(`${n} beside revision ${revision} is read as it was written`, () => {
        const read = lineTexts(line, common)!;
        expect(read.whole).toBe(whole);
        expect([read.time, read.idTime]).toEqual([record.time, time]);
        const values = keyedValues(read);
        for (const field of indexedFieldNames) expect(values[field]).toBe(indexedFields[field](record));
      });

      if (revision !== undefined) continue;
      it(`${n} with any bit changed, a character taken or put in, is another one or none`, () => {
        const bytes = Buffer.from(line);
        for (let at = 0; at < bytes.length; at++) {
          for (let bit = 0; bit < 8; bit++) {
            bytes[at]! ^= 1 << bit;
            expect(lineTexts(bytes.toString(), common)?.whole).not.toBe(whole);
            bytes[at]! ^= 1 << bit;
          }
          if (at >= line.length) continue;
          expect(lineTexts(line.slice(0, at) + line.slice(at + 1), common)?.whole).not.toBe(whole);
          for (const more of [' ', '"', ',', '0', '{}', '"via":"decide",'])
            expect(lineTexts(line.slice(0, at) + more + line.slice(at), common)?.whole).not.toBe(whole);
        }
      });
    }
  }

  it('is none with its members in another order, twice, or repeating what the group shares', () => {
    const common = commonTexts(commonMembers(plain, 'one'));
    const { line } = recordTexts(plain, common, true);
    const swapped = line.replace(/("decision":"allow"),("reason":\{.*?\}),/, '$2,$1,');
    expect(swapped).not.toBe(line);
    for (const other of [
      swapped,
      line.replace('"requestId"', '"caller":"billing","requestId"'),
      line.replace('"requestId"', '"errors":[],"requestId"'),
      line.replace('"decision"', '"clock":"2026-11-29T12:00:00.007Z","decision"'),
      line.replace('"request"', '"time":"2026-11-29T12:00:00.007Z","request"'),
      line.replace('"request"', '"revision":null,"request"'),
      line.replace('"durationUs":12', '"durationUs":12,"durationUs":12'),
      line.replace('{"id"', '{"erased":{},"id"'),
    ])
      expect(lineTexts(other, common), other).toBeUndefined();
  });
});
