import { expect, it } from 'vitest';
import { DecisionIds } from '../../src/decision-log/decision-ids.js';
import { commonMembers, groupText, recordsOf } from '../../src/decision-log/group-text.js';
import { isRecordLine, timeOfLine } from '../../src/decision-log/line-time.js';
import { commonTexts, recordTexts } from '../../src/decision-log/record-texts.js';
import { exampleRecord, noon } from './example-records.js';

it('the time of a line is that of its record, without parsing it', () => {
  const ids = new DecisionIds(7, 0);
  const log = { nextId: (now: number) => ids.next(now) };
  const records = [noon, noon + 5, noon - 86_400_000].map((now) => exampleRecord(log, { now }));
  const common = commonMembers(records[0]!);
  const lines = records.map((record, i) => recordTexts(record, commonTexts(common), i < 2).line);
  const text = groupText(common, 7, lines);
  const parsed = [...recordsOf({ first: 1, records: text })].reverse();
  expect(lines.map(timeOfLine)).toEqual(parsed.map(({ time }) => Date.parse(time)));
  const [shared] = text.split('\n');
  expect(timeOfLine(shared!)).toBeUndefined();
  expect(isRecordLine(shared!)).toBe(false);
  for (const other of ['', '{"id":', '{"id":"x"}', `{"id":"${records[0]!.id}","time":"soon"}`, '{"time":"2026"}']) {
    expect(timeOfLine(other), other).toBeUndefined();
  }
});
