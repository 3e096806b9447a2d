import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { builtInFunctions } from '../../../src/core/matcher/functions/built-in-functions.js';
import { FunctionError } from '../../../src/core/matcher/functions/function-definition.js';
import { isValidGlob } from '../../../src/core/matcher/functions/glob.js';
import { compileRegularExpression } from '../../../src/core/matcher/functions/regular-expression.js';
import { timeMatch } from '../../../src/core/matcher/functions/time-match.js';
import { unmetered } from '../../../src/core/step-budget.js';
import { type Answer, casbinCases, error, timeCases } from './casbin-cases.js';

function definitionOf(name: string) {
  const definition = builtInFunctions.get(name);
  if (definition === undefined) throw new Error(`no function ${name}`);
  return definition;
}

function call(name: string, ...args: string[]): Answer {
  return answerOf(() => definitionOf(name).call(args, 0, unmetered) as Answer);
}

/** As `call`, with the pattern prepared before. */
function callPrepared(name: string, text: string, pattern: string): Answer {
  const { prepare } = definitionOf(name);
  if (prepare === undefined) throw new Error(`${name} prepares no patterns`);
  return answerOf(() => prepare(pattern)(text, unmetered));
}

function answerOf(ask: () => Answer): Answer {
  try {
    return ask();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(FunctionError);
    return error;
  }
}

describe("Casbin's functions answer as the reference does", () => {
  it.each(casbinCases.map(([sentence, name, args, answer]) => [name, args, sentence, answer] as const))(
    '%s(%j): %s',
    (name, args, _, answer) => {
      expect(call(name, ...args)).toBe(answer);
    },
  );
});

describe('a prepared pattern answers as a call does', () => {
  // doublestar looks no further than it must, so a broken glob still matches some names; prepared, it is refused.
  const cases = casbinCases.filter(
    ([, name, args]) =>
      args.length === 2 && name !== 'keyGet' && !(name === 'globMatch' && !isValidGlob(args[1] ?? '')),
  );
  it.each(cases.map(([sentence, name, args, answer]) => [name, args, sentence, answer] as const))(
    '%s(%j): %s',
    (name, [text = '', pattern = ''], _, answer) => {
      expect(callPrepared(name, text, pattern)).toBe(answer);
    },
  );

  it.each(['a[', '{a', 'a}', '{a,[}', 'a\\', '[]'])('the broken glob %s cannot be prepared', (glob) => {
    expect(() => definitionOf('globMatch').prepare?.(glob)).toThrow(FunctionError);
  });

  it.each([
    ['regexMatch', '('],
    ['keyMatch2', '/('],
    ['keyMatch3', '/['],
    ['keyMatch4', '/a**'],
    ['keyMatch5', '/)'],
    ['ipMatch', '10.0.0.0/33'],
  ])('%s refuses the pattern %s before it sees a name', (name, pattern) => {
    expect(() => definitionOf(name).prepare?.(pattern)).toThrow(FunctionError);
  });
});

describe('paths that are matched by segments match as their regular expression', () => {
  const colon = (pattern: string) => pattern.replaceAll('/*', '/.*').replace(/:[^/]+/g, '[^/]+');
  const braces = (pattern: string) => pattern.replaceAll('/*', '/.*').replace(/\{[^/]+\}/g, '[^/]+');
  const name = fc
    .array(fc.constantFrom('/', '/', '/', 'a', 'b', 'ab', '/a', '/a/b', '\n', '🔥', '-'), { maxLength: 10 })
    .map((parts) => parts.join(''));
  const patternOf = (...variables: string[]) =>
    fc
      .array(fc.constantFrom('/', '/', 'a', 'b', '/a', '/a/b', '/*', '/*', '/*/', '🔥', '-', ...variables), {
        maxLength: 8,
      })
      .map((parts) => parts.join(''));

  it.each([
    ['keyMatch2', colon, patternOf('/:x', ':y', ':')],
    ['keyMatch3', braces, patternOf('/{x}', '{y}', '{', '}', 'a{x}b')],
  ] as const)('%s', (functionName, toSource, pattern) => {
    fc.assert(
      fc.property(name, pattern, (text, path) => {
        const expected = answerOf(() => compileRegularExpression(`^${toSource(path)}$`).test(text, unmetered));
        expect(call(functionName, text, path)).toBe(expected);
      }),
      { numRuns: 3_000 },
    );
  });

  it('a name made from its pattern matches, and gives its variables back', () => {
    const value = fc.string({ unit: fc.constantFrom('a', 'b', '.', '🔥', ' '), minLength: 1, maxLength: 3 });
    const segments = fc.array(
      fc.oneof(
        fc.constantFrom('a', 'b', ''),
        value.map((text) => ({ text })),
      ),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(segments, (parts) => {
        const path = parts.map((part, index) => `/${typeof part === 'string' ? part : `:v${index}`}`).join('');
        const text = parts.map((part) => `/${typeof part === 'string' ? part : part.text}`).join('');
        expect(call('keyMatch2', text, path)).toBe(true);
        for (const [index, part] of parts.entries()) {
          if (typeof part !== 'string') expect(call('keyGet2', text, path, `v${index}`)).toBe(part.text);
        }
      }),
    );
  });
});

describe('timeMatch', () => {
  const now = Date.parse('2026-03-01T09:00:00Z');

  it.each(timeCases)('reads "%s"', (text, nanoseconds) => {
    if (nanoseconds === undefined) {
      expect(() => timeMatch(text, '_', now)).toThrow(FunctionError);
      expect(() => timeMatch('_', text, now)).toThrow(FunctionError);
      return;
    }
    // The last millisecond that is not after it, and the first that is not before it.
    const floor = Number(nanoseconds / 1_000_000n);
    const ceiling = nanoseconds % 1_000_000n === 0n ? floor : floor + 1;
    expect([timeMatch(text, '_', floor), timeMatch(text, '_', floor + 1)]).toEqual([false, true]);
    expect([timeMatch('_', text, ceiling - 1), timeMatch('_', text, ceiling)]).toEqual([true, false]);
  });

  const cases: readonly [sentence: string, start: string, end: string, answer: boolean | typeof error][] = [
    ['between two times', '2026-03-01 08:00:00', '2026-03-01 10:00:00', true],
    ['at the start is not between', '2026-03-01 09:00:00', '2026-03-01 10:00:00', false],
    ['at the end is not between', '2026-03-01 08:00:00', '2026-03-01 09:00:00', false],
    ['no start', '_', '2026-03-01 10:00:00', true],
    ['no end', '2026-03-01 08:00:00', '_', true],
    ['neither', '_', '_', true],
    ['before the start', '2026-03-01 09:00:01', '_', false],
    ['behind the end', '_', '2026-03-01 08:59:59', false],
    ['the end before the start', '2026-03-01 10:00:00', '2026-03-01 08:00:00', false],
    ['a bad start', 'yesterday', '_', error],
    ['a bad end', '_', 'tomorrow', error],
    ['a bad end is not noticed before the start', '2026-03-01 09:00:00', 'tomorrow', false],
  ];
  it.each(cases)('%s', (_, start, end, answer) => {
    expect(answerOf(() => timeMatch(start, end, now))).toBe(answer);
  });
});
