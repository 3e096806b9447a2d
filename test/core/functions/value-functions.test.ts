import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { builtInFunctions } from '../../../src/core/matcher/functions/built-in-functions.js';
import { FunctionError } from '../../../src/core/matcher/functions/function-definition.js';
import { findText } from '../../../src/core/matcher/functions/text-search.js';
import type { Json } from '../../../src/core/request.js';
import { unmetered } from '../../../src/core/step-budget.js';
import { processorMsOf } from '../../processor-time.js';

const error = Symbol('error');

function call(name: string, ...args: Json[]): Json | typeof error {
  try {
    return builtInFunctions.get(name)!.call(args, 0, unmetered);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(FunctionError);
    return error;
  }
}

describe('functions on values', () => {
  it.each<[string, Json[], Json | typeof error]>([
    ['size', [''], 0],
    ['size', ['a\u0301\u{1f600}'], 3],
    ['size', [[1, [2, 3]]], 2],
    ['size', [{ a: 1, b: null }], 2],
    ['size', [null], error],
    ['size', [12], error],
    ['number', ['12.5'], 12.5],
    ['number', ['-0.5e3'], -500],
    ['number', ['0'], 0],
    ['number', [7], 7],
    ...['', ' ', ' 1', '1 ', '+1', '.5', '5.', '007', '0x1f', '1e999', 'Infinity', 'NaN', '1_000', '１'].map(
      (text): [string, Json[], typeof error] => ['number', [text], error],
    ),
    ['number', ['1'.repeat(101)], error],
    ['number', [true], error],
    ['number', [null], error],
    ['number', [[1]], error],
    ['text', ['a'], 'a'],
    ['text', [1_000_000], '1000000'],
    ['text', [0.1], '0.1'],
    ['text', [-0], '0'],
    ['text', [true], 'true'],
    ['text', [null], error],
    ['text', [[1]], error],
    ['lower', ['ÄẞIİ'], 'äßii\u0307'],
    ['startsWith', ['/public/a', '/public/'], true],
    ['startsWith', ['/Public/a', '/public/'], false],
    ['startsWith', ['a', ''], true],
    ['endsWith', ['a@example.com', '@example.com'], true],
    ['endsWith', ['com', '.com'], false],
    ['contains', ['banana', 'nan'], true],
    ['contains', ['banana', ''], true],
    ['contains', ['banana', 'nab'], false],
    ['contains', ['12', 1], error],
    ['contains', [['1', 2], 1], false],
    ['contains', [[{ a: [1] }], { a: [1] }], true],
    ['contains', [[null], null], true],
    ['contains', [{ a: 1 }, 'a'], error],
    ['contains', [null, 'a'], error],
    ['subset', [[], []], true],
    [
      'subset',
      [
        ['a', 'a'],
        ['b', 'a'],
      ],
      true,
    ],
    ['subset', [[1], ['1']], false],
    [
      'subset',
      [
        [true, null],
        [null, true, 1],
      ],
      true,
    ],
    ['subset', [[[1]], [[1]]], error],
    ['subset', [[], [{}]], error],
    ['intersects', [[], ['a']], false],
    [
      'intersects',
      [
        ['a', 'b'],
        ['c', 'b'],
      ],
      true,
    ],
    ['intersects', [[0], [false, '0', null]], false],
    ['intersects', [['a', {}], ['a']], error],
    ['duration', ['30d'], 2_592_000],
    ['duration', ['90m'], 5_400],
    ['duration', ['500ms'], 0.5],
    ['duration', ['0'], 0],
    ...['', '1', '1.5h', '-1h', 'P1D', '1w'].map((text): [string, Json[], typeof error] => ['duration', [text], error]),
  ])('%s(%j) is %s', (name, args, wanted) => {
    expect(call(name, ...args)).toEqual(wanted);
  });

  it('find a text as JavaScript does, whatever the two are', () => {
    const piece = fc.constantFrom('a', 'b', 'aa', 'ab', 'aba');
    const texts = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(''));
    fc.assert(
      fc.property(texts, texts, (text, part) => {
        expect(findText(text, part, unmetered)).toBe(text.includes(part));
      }),
      { numRuns: 2_000 },
    );
  });

  it('take time in proportion to their arguments, whatever these are', () => {
    const hostile: Record<string, (n: number) => Json[]> = {
      contains: (n) => ['a'.repeat(2 * n), `b${'a'.repeat(n)}`],
      size: (n) => ['\u{1f600}'.repeat(n)],
      lower: (n) => ['İ'.repeat(n)],
      number: (n) => [`0.${'0'.repeat(n)}x`],
      intersects: (n) => {
        // Texts of whole numbers have these numbers for hashes: in a table of 16,384 places all of these fall into one.
        const same = Array.from({ length: n >> 4 }, (_, i) => `${7 + 16_384 * i}`);
        return [[...same, ...same.map(Number)], [-1]];
      },
      endsWith: (n) => ['x'.repeat(n), 'x'.repeat(n)],
      subset: (n) => [
        Array.from({ length: n >> 2 }, (_, i) => `k${i}`),
        Array.from({ length: n >> 2 }, (_, i) => `k${i}`),
      ],
    };
    for (const [name, argsOf] of Object.entries(hostile)) {
      const args = argsOf(200_000);
      // A quadratic search would take minutes.
      expect(
        processorMsOf(() => call(name, ...args)),
        name,
      ).toBeLessThan(1_000);
    }
  });

  it('count steps for the work that they do, one for ten nanoseconds or more', () => {
    const long = 'é'.repeat(100_000);
    const calls: Record<string, Json[]> = {
      contains: [long, 'x'.repeat(100)],
      size: [long],
      lower: [long],
      subset: [Array.from({ length: 10_000 }, (_, n) => `k${n}`), Array.from({ length: 10_000 }, (_, n) => `k${n}`)],
    };
    for (const [name, args] of Object.entries(calls)) {
      const spent: number[] = [];
      const meter = { spend: (steps: number) => void spent.push(steps), isFirst: () => true };
      builtInFunctions.get(name)!.call(args, 0, meter);
      expect(
        spent.reduce((sum, steps) => sum + steps, 0),
        name,
      ).toBeGreaterThan(20_000);
    }
  });
});
