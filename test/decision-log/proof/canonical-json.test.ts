import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../../src/decision-log/proof/canonical-json.js';

describe('canonical JSON', () => {
  it('is what the example of RFC 8785 (section 3.2.2) says', () => {
    const value = {
      numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000f\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('orders members by their UTF-16 code units, as section 3.2.3 does, numbers among them', () => {
    const value = {
      '\u20ac': 1,
      '\r': 2,
      '\ufb33': 3,
      '1': 4,
      '\ud83d\ude00': 5,
      '\u0080': 6,
      '\u00f6': 7,
      '10': 8,
      '9': 9,
    };
    expect(canonicalJson(value)).toBe(
      '{"\\r":2,"1":4,"10":8,"9":9,"\u0080":6,"\u00f6":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}',
    );
  });

  it('writes numbers as ECMAScript does', () => {
    expect(canonicalJson([-0, 0, 1e21, 1e-7, 5e-324, 9007199254740991, -1.5, 123456789012345680000])).toBe(
      '[0,0,1e+21,1e-7,5e-324,9007199254740991,-1.5,123456789012345680000]',
    );
  });

  it('is read as what it was made of, whatever the order of members, and has one text for it', () => {
    let state = 7;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    const texts = ['', 'a', 'b"', 'ü', '\u2028', '\ud83d\ude00', '\u0001', 'z'.repeat(30), '7', '\\'];
    const make = (depth: number): unknown => {
      switch (random(depth === 0 ? 4 : 6)) {
        case 0:
          return texts[random(texts.length)];
        case 1:
          return (random(2 ** 24) - 2 ** 23) / 10 ** random(9);
        case 2:
          return random(2) === 0;
        case 3:
          return null;
        case 4:
          return Array.from({ length: random(4) }, () => make(depth - 1));
        default:
          return Object.fromEntries(
            Array.from({ length: random(6) }, () => [texts[random(texts.length)], make(depth - 1)]),
          );
      }
    };
    const turnedAround = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(turnedAround);
      if (value === null || typeof value !== 'object') return value;
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([name, each]) => [name, turnedAround(each)]),
      );
    };
    for (let i = 0; i < 2_000; i++) {
      const value = make(4);
      const text = canonicalJson(value);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(canonicalJson(turnedAround(value))).toBe(text);
      expect(canonicalJson(JSON.parse(text))).toBe(text);
    }
  });

  it('leaves members out that are undefined', () => {
    expect(canonicalJson({ b: undefined, a: { c: undefined }, d: [undefined] })).toBe('{"a":{},"d":[null]}');
  });
});
