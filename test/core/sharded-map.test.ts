import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyMap, type ShardedMap } from '../../src/core/sharded-map.js';

const sorted = <Value>(map: Iterable<[string, Value]>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

function of(count: number): ShardedMap<number> {
  const edit = emptyMap<number>().edit();
  for (let at = 0; at < count; at++) edit.set(`key ${at}`, at);
  return edit.done();
}

/** Names of one hash: FNV-1a takes each text of a pair to the same state, so it does so with any pairs in a row. */
function namesOfOneHash(pairs: number): string[] {
  let state = 0x811c9dc5;
  let names = [''];
  for (let done = 0; done < pairs; done++) {
    const texts = new Map<number, string>();
    for (let at = 0; ; at++) {
      const text = at.toString(36).padStart(4, '0');
      let after = state;
      for (let unit = 0; unit < text.length; unit++) after = Math.imul(after ^ text.charCodeAt(unit), 0x01000193);
      const other = texts.get(after);
      texts.set(after, text);
      if (other === undefined) continue;
      names = names.flatMap((name) => [name + other, name + text]);
      state = after;
      break;
    }
  }
  return names;
}

const ofOneHash = namesOfOneHash(13);

/** Number of values in lists and maps of the second map that are not those of the first: what a change copied. */
function copied(before: object, after: object): number {
  const seen = new Set<object>();
  const visit = (value: unknown): number => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return 0;
    seen.add(value);
    const members = value instanceof Map ? [...value.values()] : Object.values(value);
    return members.reduce((sum: number, member) => sum + visit(member), members.length);
  };
  visit(before);
  return visit(after);
}

describe('a sharded map', () => {
  it('holds what a map holds, whatever is set and deleted', () => {
    const twins = ofOneHash.slice(0, 512);
    const key = fc.oneof(
      fc.nat(300).map(String),
      fc.constantFrom('', '__proto__', 'ø☂', '\ud800'),
      fc.constantFrom(...twins),
    );
    const edits = fc.array(fc.array(fc.tuple(key, fc.option(fc.nat()))), { maxLength: 20 });
    fc.assert(
      fc.property(edits, (drawn) => {
        const start = of(200).edit();
        // Too many for one leaf.
        for (const name of twins.slice(100, 300)) start.set(name, 0);
        let map = start.done();
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

  it('copies little of many names of one hash, and is empty again when all are deleted', () => {
    const names = ofOneHash;
    expect(names).toHaveLength(8_192);
    const build = (order: readonly string[]) => {
      const edit = emptyMap<number>().edit();
      for (const [at, name] of order.entries()) edit.set(name, at);
      return edit.done();
    };
    const ordinary = of(8_192);
    const usual = copied(ordinary, ordinary.edit().set('key 77', -1).done());
    // Some orders in which they may come: ascending, descending, and from both ends.
    const ends = names.map((_, at) => names[at % 2 === 0 ? at / 2 : names.length - (at + 1) / 2] as string);
    for (const order of [names.toSorted(), names.toSorted().reverse(), ends]) {
      const map = build(order);
      expect(sorted(map)).toEqual(sorted(order.map((name, at) => [name, at])));
      for (const name of [order[0]!, order[4_000]!, order.at(-1)!]) {
        for (const changed of [map.edit().set(name, -1), map.edit().delete(name), map.edit().set(`${name}.`, 1)]) {
          expect(copied(map, changed.done())).toBeLessThan(1_000);
        }
        // Their hash is the same indeed.
        expect(copied(map, map.edit().set(name, -1).done())).toBeGreaterThan(usual);
      }
      const edit = map.edit();
      for (const [at, name] of order.entries()) {
        edit.delete(name);
        if (at % 100 === 0) expect([edit.get(name), edit.get(order[at + 1]!)]).toEqual([undefined, at + 1]);
      }
      expect(copied({}, edit.done())).toBeLessThan(10);
      expect([...edit.done()]).toEqual([]);
      expect(sorted(map)).toHaveLength(8_192);
    }
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
