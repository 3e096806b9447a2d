import { describe, expect, it } from 'vitest';
import { type BundleIndex, readIndex, writeIndex } from '../../../src/policy-store/bundle/bundle-index.js';

const digest = `sha256:${'a'.repeat(64)}`;
const entry = (set: string) => ({
  ...{ set, revision: 3, version: digest, digest, size: 2_048, address: `${set}/3-aaaa.tar`, rollback: false },
});
const index: BundleIndex = {
  ...{ number: 9, created: '2026-03-03T10:00:00.000Z', expires: '2026-03-04T10:00:00.000Z' },
  sets: [entry('invoices'), { ...entry('orders'), rollback: true }],
  removed: [
    { set: 'zebras', revision: 4 },
    { set: 'apples', revision: 2 },
  ],
};
const refusal = (message: RegExp) =>
  expect.objectContaining({ code: 'bundle_index_invalid', message: expect.stringMatching(message) });
const written = () => JSON.parse(writeIndex(index)) as { sets: Record<string, unknown>[] };
/** The index with members of itself, or of its first entry, replaced. */
const changed = (change: object) => JSON.stringify({ ...written(), ...change });
const changedEntry = (change: object) => changed({ sets: [{ ...written().sets[0], ...change }] });

describe('an index of bundles', () => {
  it('is read as it was written, its sets in the order of their names', () => {
    expect(readIndex(writeIndex({ ...index, sets: index.sets.toReversed() }))).toEqual(index);
  });

  it('may name no set', () => {
    const empty = { ...index, sets: [], removed: [] };
    expect(writeIndex(empty)).not.toContain('removed');
    expect(readIndex(writeIndex(empty))).toEqual(empty);
  });

  it.each([
    ['another format', { format: 2 }, /format 2/],
    ['the number 0', { number: 0 }, /number/],
    ['an end that is no time', { expires: 'tomorrow' }, /expires/],
    ['no end', { expires: undefined }, /expires/],
    ['sets that are no list', { sets: {} }, /list/],
    ['an unknown member', { rollbacks: true }, /unknown member "rollbacks"/],
    ['removed sets that are no list', { removed: {} }, /list/],
    ['a removed set without a revision', { removed: [{ set: 'a' }] }, /removed set 1/],
    ['more of a removed set', { removed: [{ set: 'a', revision: 1, size: 1 }] }, /removed set 1 has the unknown/],
    ['an entry that is no object', { sets: [[]] }, /entry 1/],
    ['a set twice', { sets: [written().sets[0], written().sets[0]] }, /invoices twice/],
  ])('is refused with %s', (_, change, message) => {
    expect(() => readIndex(changed(change))).toThrow(refusal(message));
  });

  it.each([
    ['a set that leads out', { set: '../x' }],
    ['a set named __proto__', { set: '__proto__' }],
    ['a set of 129 characters', { set: 'x'.repeat(129) }],
    ['a revision of 0', { revision: 0 }],
    ['a digest of another kind', { digest: 'md5:00' }],
    ['a size of 0', { size: 0 }],
    ['a rollback that is a text', { rollback: 'yes' }],
    ['an unknown member', { url: 'https://elsewhere.example/' }],
  ])('is refused with an entry that has %s', (_, change) => {
    expect(() => readIndex(changedEntry(change))).toThrow(refusal(/./));
  });

  it.each([
    '/etc/passwd',
    '../other/x.tar',
    'a/../../x.tar',
    'a/./x.tar',
    'a//x.tar',
    'a/.hidden',
    'a\\..\\x.tar',
    'https://elsewhere.example/x.tar',
    '//elsewhere.example/x.tar',
    'a/%2e%2e/x.tar',
    'a/x.tar?versionId=1',
    'a/x.tar#y',
    'a/x\n.tar',
    'a/x.tar\n',
    '',
    'x'.repeat(513),
  ])('is refused with the address %j', (address) => {
    expect(() => readIndex(changedEntry({ address }))).toThrow(refusal(/address/));
  });

  it('takes an address of 512 characters, and a name of 128', () => {
    const set = 's'.repeat(128);
    const address = 'x'.repeat(512);
    expect(readIndex(changedEntry({ set, address })).sets).toMatchObject([{ set, address }]);
  });

  it('names up to 10,000 sets', () => {
    const sets = Array.from({ length: 10_001 }, (_, at) => ({ ...written().sets[0], set: `s${at}` }));
    expect(readIndex(changed({ sets: sets.slice(1) })).sets).toHaveLength(10_000);
    expect(() => readIndex(changed({ sets }))).toThrow(refusal(/10001 sets/));
    const removed = sets.map((_, at) => ({ set: `set${at}`, revision: 1 }));
    expect(readIndex(changed({ removed: removed.slice(1) })).removed).toHaveLength(10_000);
    expect(() => readIndex(changed({ removed }))).toThrow(refusal(/10001 removed sets/));
  });

  it.each(['', 'null', '[]', '{', '"index"', 'nonsense'])('is refused where it is %j', (text) => {
    expect(() => readIndex(text)).toThrow(refusal(/JSON|object/));
  });
});
