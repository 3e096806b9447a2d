import { setImmediate as round } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { DecisionIds } from '../../../src/decision-log/decision-ids.js';
import { GroupCommit, groupLimit } from '../../../src/decision-log/sqlite/group-commit.js';
import { exampleRecord } from '../example-records.js';

it('every flush ends when what was pending at its beginning is committed, also beside others and beside new records', async () => {
  const ids = new DecisionIds(1, 0);
  const log = { nextId: (now: number) => ids.next(now) };
  const sizes: number[] = [];
  const group = new GroupCommit(async ({ lines }) => {
    await round();
    sizes.push(lines.length);
    // There is always one more that waits.
    if (sizes.length < 50) void group.add(exampleRecord(log));
  });
  const added = Array.from({ length: groupLimit + 3 }, () => group.add(exampleRecord(log)));
  const first = group.flush();
  added.push(group.add(exampleRecord(log)));
  await Promise.all([first, group.flush(), group.flush()]);
  expect(sizes.length).toBeLessThan(50);
  await Promise.all(added);
  while (group.depth > 0) await group.flush();
  expect(sizes).toHaveLength(50);
});
