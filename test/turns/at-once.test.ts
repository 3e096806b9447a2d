import { expect, it } from 'vitest';
import { atOnce } from '../../src/turns/at-once.js';

it('work on many items is done on as many at once as are allowed, in the order of the items', async () => {
  let [running, most] = [0, 0];
  const done = await atOnce([5, 4, 3, 2, 1, 0], 3, async (turns) => {
    most = Math.max(most, ++running);
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    running--;
    return turns * 10;
  });
  expect(done).toEqual([50, 40, 30, 20, 10, 0]);
  expect(most).toBe(3);
});

it('work on many items ends with the first that fails, after what had begun', async () => {
  const begun: number[] = [];
  let ended = 0;
  const work = atOnce([0, 1, 2, 3, 4, 5], 2, async (item) => {
    begun.push(item);
    await Promise.resolve();
    if (item === 0) throw new Error('the first');
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    ended++;
  });
  await expect(work).rejects.toThrow('the first');
  expect(begun).toEqual([0, 1]);
  expect(ended).toBe(1);
  expect(await atOnce([], 8, async () => 1)).toEqual([]);
});
