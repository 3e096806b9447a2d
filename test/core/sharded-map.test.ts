import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyMap, type ShardedMap } from '../../src/core/sharded-map.js';

const sorted = <Value>(map: Iterable<[string, Value]>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

function of(count: number): ShardedMap<number> {
  const edit = emptyMap<number>().edit();
  for (let at = 0; at < count; at++) edit.set(`key ${at}`, at);
  return edit.done();
}

describe('a sharded map', () => {
  it('holds what a map holds, whatever is set and deleted', () => {
    const key = fc.oneof(fc.nat(300).map(String), fc.constantFrom('', '__proto__', 'ø☂', '\ud800'));
    const edits = fc.array(fc.array(fc.tuple(key, fc.option(fc.nat()))), { maxLength: 20 });
    fc.assert(
      fc.property(edits, (drawn) => {
        let map = of(200);
        const wanted = new Map(map);
        for (const changes of drawn) {
          const edit = map.edit();
          for (const [name, value] of changes) {
            if (value === null) {
              edit.delete(name);
              wanted.delete(name);
            } else {
              edit.set(name, value);
              wanted.set(name, value);
            }
            expect(edit.get(name)).toBe(wanted.get(name));
          }
          map = edit.done();
          expect(map.size).toBe(wanted.size);
          expect(sorted(map)).toEqual(sorted(wanted));
        }
        for (const [name, value] of wanted) expect(map.get(name)).toBe(value);
      }),
    );
  });

  it('stays as it is when it is edited, and so does what an edit gave before it went on', () => {
    const map = of(10_000);
    const before = sorted(map);
    const edit = map.edit();
    for (let at = 0; at < 10_000; at += 3) edit.delete(`key ${at}`);
    const between = edit.done();
    const fewer = sorted(between);
    edit.set('key 1', -1).set('new', 1).delete('key 2');
    const after = edit.done();
    expect(sorted(map)).toEqual(before);
    expect(sorted(between)).toEqual(fewer);
    expect([after.get('key 1'), after.get('new'), after.has('key 2')]).toEqual([-1, 1, false]);
    expect(after.size).toBe(between.size);
  });

  it('is empty again when all is deleted', () => {
    const edit = of(5_000).edit();
    for (let at = 0; at < 5_000; at++) edit.delete(`key ${at}`);
    const none = edit.done();
    expect([none.size, [...none.keys()], none.get('key 7')]).toEqual([0, [], undefined]);
    expect(none.edit().set('one', 1).done().get('one')).toBe(1);
  });

  it('shares nearly all of its nodes with the map that it was made from', () => {
    const count = (root: object): number => {
      const seen = new Set<object>();
      const visit = (value: unknown): void => {
        if (typeof value !== 'object' || value === null || seen.has(value)) return;
        seen.add(value);
        if (value instanceof Map) for (const of of value.values()) visit(of);
        else for (const member of Object.values(value)) visit(member);
      };
      visit(root);
      return seen.size;
    };
    const map = of(100_000);
    const changed = map.edit().set('key 77', -1).done();
    expect(count([map, changed]) - count(map)).toBeLessThan(20);
  });
});
