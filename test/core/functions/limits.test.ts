import { describe, expect, it } from 'vitest';
import { builtInFunctions } from '../../../src/core/matcher/functions/built-in-functions.js';
import { FunctionError } from '../../../src/core/matcher/functions/function-definition.js';
import { matchGlob } from '../../../src/core/matcher/functions/glob.js';
import { compileRegularExpression } from '../../../src/core/matcher/functions/regular-expression.js';
import { remember } from '../../../src/core/matcher/functions/remember.js';
import type { Json } from '../../../src/core/request.js';
import { defaultStepBudget, StepBudgetExceeded, stepBudgetExceeded, unmetered } from '../../../src/core/step-budget.js';
import { compilePolicySet } from '../../../src/engine.js';
import { idModel } from '../../models.js';
import { processorMsSince } from '../../processor-time.js';

const error = Symbol('error');

/** In milliseconds of processor time. Generous: most of these take a millisecond, and a backtracking matcher would take years. */
const promptly = 1_000;

function call(name: string, ...args: string[]): Json | typeof error {
  const before = process.cpuUsage();
  try {
    return builtInFunctions.get(name)?.call(args, 0, unmetered) ?? null;
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(FunctionError);
    // It may end up in an answer or a log.
    expect((thrown as Error).message.length).toBeLessThan(250);
    return error;
  } finally {
    expect(processorMsSince(before)).toBeLessThan(promptly);
  }
}

describe('hostile patterns and names are answered promptly', () => {
  const as = 'a'.repeat(100_000);
  it.each<[string, string, string[], Json | typeof error]>([
    ['nested repetition', 'regexMatch', [`${as}!`, '^(a+)+$'], false],
    ['nested repetition of alternatives', 'regexMatch', [`${as}!`, '^(a|a)*$'], false],
    ['overlapping repetitions', 'regexMatch', ['x'.repeat(100_000), '(x+x+)+y'], false],
    ['many optional characters', 'regexMatch', ['a'.repeat(500), `^(a?){500}a{500}$`], true],
    ['states that double', 'regexMatch', [`c${'ab'.repeat(25_000)}`, '(a|b)*a(a|b){20}c'], false],
    ['millions of instructions', 'regexMatch', ['a', 'a{1000}'.repeat(1_400)], error],
    ['millions of instructions by nesting', 'regexMatch', ['a', '((a{10}){10}){10}'.repeat(330)], error],
    ['nesting', 'regexMatch', ['a', `${'('.repeat(5_000)}${')'.repeat(5_000)}`], error],
    ['open groups', 'regexMatch', ['a', '(?<'.repeat(100_000)], error],
    ['a long text for a large expression', 'regexMatch', [as, '(a|b)*a(a|b){400}c'], error],
    ['stars for segments, as in CVE reports on other engines', 'keyMatch2', ['/a'.repeat(2_000), '/*/*/*/*/b'], false],
    ['the same with a line feed', 'keyMatch2', [`${'/a'.repeat(2_000)}\n`, '/*/*/*/*/b'], false],
    ['a colon before a slash', 'keyMatch2', ['/x/', '/:/'], false],
    ['a brace that nobody closes', 'keyMatch3', ['/x', '/{'], false],
    ['a brace that nobody closes', 'keyMatch4', ['/x', '/{'], false],
    ['a brace that nobody closes', 'keyMatch5', ['/x', '/{'], false],
    ['a brace that nobody closes', 'keyGet3', ['/x', '/{', ''], ''],
    ['10,000 open braces', 'keyMatch3', ['/x', '{'.repeat(10_000)], error],
    ['10,000 open braces', 'keyGet3', ['/x', '{'.repeat(10_000), 'a'], error],
    ['10,000 closing braces', 'keyMatch4', ['x', `{${'}'.repeat(9_999)}`], true],
    ['2,500 variables', 'keyMatch4', ['/a'.repeat(2_500), '/{x}'.repeat(2_500)], true],
    ['2,000 stars', 'keyMatch2', ['/a'.repeat(20_000), `${'/*'.repeat(2_000)}${'/a'.repeat(2_000)}/b/*`], error],
    ['5,000 stars', 'globMatch', ['a'.repeat(10_000), `${'*a'.repeat(5_000)}b`], false],
    ['2,000 double stars', 'globMatch', ['a/'.repeat(5_000), `${'**/a/'.repeat(2_000)}b`], false],
    ['2²⁰⁰⁰ alternatives', 'globMatch', ['a'.repeat(1_000), '{a,b}'.repeat(2_000)], error],
    ['2⁴⁰⁰ ways to match nothing', 'globMatch', ['', `${'{,}'.repeat(400)}b`], error],
    ['nested alternatives', 'globMatch', ['a'.repeat(1_000_000), `${'{'.repeat(5_000)}${'}'.repeat(5_000)}`], error],
    ['open classes', 'globMatch', [as, '[a-b'.repeat(2_500)], error],
    ['a very long address', 'ipMatch', ['1.'.repeat(100_000), '10.0.0.0/8'], error],
    ['a very long IPv6 address', 'ipMatch', ['1:'.repeat(100_000), '::/8'], error],
    ['nothing but colons', 'ipMatch', [':'.repeat(100_000), '::/8'], error],
    ['a very long prefix', 'ipMatch', ['10.0.0.1', `10.0.0.0/${'1'.repeat(100_000)}`], error],
    ['10,000 ranges', 'ipInRanges', ['10.0.0.1', `${'10.0.0.0/32,'.repeat(10_000)}10.0.0.1`], true],
    ['a very long zone', 'timeOfDay', [as], error],
    ['a very long time', 'timestamp', [`2026-03-01T09:00:00.${'1'.repeat(100_000)}`], error],
  ])('%s: %s', (_, name, args, answer) => {
    expect(call(name, ...args)).toBe(answer);
  });
});

describe('limits', () => {
  it('an expression of 10,000 instructions compiles, one more does not', () => {
    expect(compileRegularExpression('x'.repeat(9_998)).test('x', unmetered)).toBe(false);
    expect(() => compileRegularExpression('x'.repeat(9_999))).toThrow(/too large/);
  });

  it('an id of 1,024 characters can be searched with any expression that compiles', () => {
    expect(compileRegularExpression('x'.repeat(9_998)).test('x'.repeat(1_024), unmetered)).toBe(false);
    expect(() => compileRegularExpression('x'.repeat(9_998)).test('x'.repeat(1_025), unmetered)).toThrow(/too long/);
  });

  it('quoted braces and names count for what they are', () => {
    expect(compileRegularExpression('\\Q{9999}{9999}\\E').test('{9999}{9999}', unmetered)).toBe(true);
    expect(compileRegularExpression('(?P<a_rather_long_name>x){1000}(?:y){1000}').test('', unmetered)).toBe(false);
  });

  it('500 alternatives after each other are tried, 501 are not', () => {
    const name = 'a'.repeat(100_000);
    expect(matchGlob(`${'{a}'.repeat(500)}*`, name, unmetered)).toBe(true);
    expect(() => matchGlob(`${'{a}'.repeat(501)}*`, name, unmetered)).toThrow(FunctionError);
  });
});

const free = () => 0;

describe('patterns known only from a request', () => {
  it('are prepared once while they are in use', () => {
    let count = 0;
    const recall = remember((pattern) => ({ pattern, count: ++count }), free);
    expect(recall('a', unmetered)).toBe(recall('a', unmetered));
    expect(count).toBe(1);
  });

  it('stay while they are asked for, and go when 1,000 others were asked for since', () => {
    const prepared: string[] = [];
    const recall = remember((pattern) => {
      prepared.push(pattern);
      return { pattern };
    }, free);
    recall('kept', unmetered);
    recall('forgotten', unmetered);
    for (let index = 0; index < 1_000; index++) {
      recall(`other ${index}`, unmetered);
      if (index % 400 === 0) recall('kept', unmetered);
    }
    recall('kept', unmetered);
    recall('forgotten', unmetered);
    expect(prepared.filter((pattern) => pattern === 'kept')).toHaveLength(1);
    expect(prepared.filter((pattern) => pattern === 'forgotten')).toHaveLength(2);
  });

  it('are not kept when they are longer than 1,024 characters', () => {
    let count = 0;
    const recall = remember(() => ({ count: ++count }), free);
    for (const length of [1_024, 1_024, 1_025, 1_025]) recall('x'.repeat(length), unmetered);
    expect(count).toBe(3);
  });

  it('that fail, fail each time', () => {
    expect([call('regexMatch', 'a', '('), call('regexMatch', 'a', '(')]).toEqual([error, error]);
  });
});

/** P10: a line of text may keep the compiler busy for seconds. `repeat` counts what is dear in each. */
describe('a regular expression that is dear to compile', () => {
  const dear: readonly (readonly [what: string, most: number, make: (count: number) => string])[] = [
    ['counted repetitions', 9_999, (count) => `a{${Math.floor(count / 11)}}`.repeat(11)],
    ['nested repetitions', 5, (count) => `(?:(?:${'ab?'.repeat(count)}){25}){25}`],
    ['Unicode classes', 147, (count) => 'x\\pL'.repeat(count)],
    ['Unicode classes without case', 73, (count) => `(?i)${'[^\\pL]x'.repeat(count)}`],
    ['Unicode classes in one class', 149, (count) => `[${'\\pL'.repeat(count)}]`],
    ['ranges without case', 5, (count) => `(?i)[${'Ā-\\x{1fff0}'.repeat(count)}]`],
    ['ranges without case in alternatives', 5, (count) => `(?i:${'[Ā-\\x{1fff0}]|'.repeat(count)}a)`],
    ['tokens', 9_999, (count) => 'a|'.repeat(count / 2)],
  ];

  it.each(dear)('is refused beyond what takes about 30 ms: %s', (_, most, make) => {
    const isRefused = (count: number) => call('regexMatch', 'a', make(count)) === error;
    expect([isRefused(Math.floor(most / 2)), isRefused(2 * most)]).toEqual([false, true]);
  });

  it.each(dear)('counts in the steps of the evaluation that it comes with: %s', (_, most, make) => {
    let spent = 0;
    const meter = {
      isFirst: () => true,
      spend: (steps: number) => {
        spent += steps;
        if (spent > defaultStepBudget) throw stepBudgetExceeded;
      },
    };
    const ask = () => builtInFunctions.get('regexMatch')?.call(['a', make(most)], 0, meter);
    const before = process.cpuUsage();
    expect(ask).toThrow(StepBudgetExceeded);
    expect(processorMsSince(before)).toBeLessThan(promptly);
  });

  it('is a problem with its place and what to do', () => {
    const rules =
      'p, alice, doc, read\np, alice, "(?i)[Ā-\\x{1fff0}Ā-\\x{1fff1}Ā-\\x{1fff2}Ā-\\x{1fff3}Ā-\\x{1fff4}Ā-\\x{1fff5}Ā-\\x{1fff6}]", read\n';
    const compile = () =>
      compilePolicySet({ model: idModel.replace('r.obj == p.obj', 'regexMatch(r.obj, p.obj)'), rules, strict: true });
    expect(compile).toThrow(
      expect.objectContaining({
        problems: [
          expect.objectContaining({
            code: 'bad_pattern',
            line: 2,
            column: 12,
            message: expect.stringContaining('too large a regular expression: repeat less'),
            hint: expect.any(String),
          }),
        ],
      }),
    );
  });
});

it('a function error carries no stack', () => {
  expect(new FunctionError('no').stack).toBe('FunctionError: no');
  expect(Error.stackTraceLimit).toBeGreaterThan(0);
});
