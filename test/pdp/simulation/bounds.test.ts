/** What a simulation keeps of a log of any length. */
import { expect, it } from 'vitest';
import type { SetContent } from '../../../src/pdp/simulation/messages.js';
import { keptContents, RecentContents } from '../../../src/pdp/simulation/recent-contents.js';
import {
  longestRemembered,
  RememberedOutcomes,
  rememberedLength,
} from '../../../src/pdp/simulation/remembered-outcomes.js';

it('remembers questions by their length, however many or long they are', () => {
  const remembered = new RememberedOutcomes<string>();
  const textOf = (n: number) => `${n} `.padEnd(longestRemembered, 'x');
  const count = (4 * rememberedLength) / longestRemembered;
  for (let n = 0; n < count; n++) remembered.note(textOf(n), `answer ${n}`);
  let length = 0;
  for (let n = 0; n < count; n++) {
    const outcome = remembered.get(textOf(n));
    if (outcome === undefined) continue;
    expect(outcome).toBe(`answer ${n}`);
    length += longestRemembered;
  }
  expect(length).toBeGreaterThan(rememberedLength / 2);
  expect(length).toBeLessThanOrEqual(2 * (rememberedLength + longestRemembered));
});

it('answers a question that is longer than a bound each time', () => {
  const remembered = new RememberedOutcomes<string>();
  for (const [length, outcome] of [
    [longestRemembered, 'same'],
    [longestRemembered + 1, undefined],
  ] as const) {
    const text = 'x'.repeat(length);
    remembered.note(text, 'same');
    expect(remembered.get(text), String(length)).toBe(outcome);
  }
});

it('keeps the versions that were read last, and none that could not be read', async () => {
  const read: string[] = [];
  const contents = new RecentContents(async (version): Promise<SetContent> => {
    read.push(version);
    if (version === 'broken') throw new Error('the database is away');
    return { files: [] };
  });
  const versions = Array.from({ length: keptContents }, (_, n) => `v${n}`);
  for (const version of [...versions, ...versions]) await contents.get(version);
  expect(read).toEqual(versions);
  // One more: the one that was used longest ago goes.
  await contents.get('new');
  await contents.get('v1');
  await contents.get('v0');
  expect(read).toEqual([...versions, 'new', 'v0']);
  for (let n = 0; n < 2; n++) await expect(contents.get('broken')).rejects.toThrow('away');
  expect(read.filter((version) => version === 'broken')).toHaveLength(2);
});
