import { describe, expect, it } from 'vitest';
import { compareStrings, describeValue, formatValue, sameValue } from '../../src/core/matcher/values.js';
import { compilePolicySet, type Json } from '../../src/engine.js';

describe('equality', () => {
  it.each<[Json, Json, boolean]>([
    [1, 1, true],
    ['1', 1, false],
    [null, null, true],
    [null, false, false],
    [null, {}, false],
    [{}, null, false],
    [1, {}, false],
    [{}, 1, false],
    [[], {}, false],
    [{}, [], false],
    [[1, 2], [1, 2], true],
    [[1, 2], [1, 3], false],
    [[1], [1, 2], false],
    [[1, 2], [1], false],
    [{ a: 1 }, { a: 1 }, true],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
    [{ a: 1 }, { a: 2 }, false],
    [{ a: 1 }, { b: 1 }, false],
    [{ a: 1 }, { a: 1, b: 2 }, false],
    [{ a: [{ b: null }] }, { a: [{ b: null }] }, true],
  ])('%j and %j: %s', (left, right, same) => {
    expect(sameValue(left, right)).toBe(same);
  });
});

describe('the order of texts', () => {
  it.each([
    ['a', 'b', -1],
    ['b', 'a', 1],
    ['a', 'a', 0],
    ['a', 'ab', -1],
    ['ab', 'a', 1],
    ['', '', 0],
    // UTF-16 has surrogates before U+E000, UTF-8 has what they stand for behind U+FFFF.
    ['\u{10000}', '\uffff', 1],
    ['\uffff', '\u{10ffff}', -1],
    ['\ud7ff', '\ue000', -1],
    ['\ud800\udc00', '\udbff\udfff', -1],
    ['\ue000', '\ud800\udc00', -1],
  ])('of %j and %j is that of their bytes', (left, right, sign) => {
    expect(Math.sign(compareStrings(left, right))).toBe(sign);
    expect(Math.sign(Buffer.compare(Buffer.from(left), Buffer.from(right)))).toBe(sign);
  });
});

describe('a value joined to a text', () => {
  it.each<[Json, string]>([
    ['x', 'x'],
    [true, 'true'],
    [null, '<nil>'],
    [0, '0'],
    [-0, '-0'],
    [1.5, '1.5'],
    [999_999, '999999'],
    [1_000_000, '1e+06'],
    [1e21, '1e+21'],
    [1e100, '1e+100'],
    [0.0001, '0.0001'],
    [0.00001, '1e-05'],
    [-0.00001, '-1e-05'],
    [Number.POSITIVE_INFINITY, '+Inf'],
    [Number.NEGATIVE_INFINITY, '-Inf'],
    [Number.NaN, 'NaN'],
    [['a', 1, null], '[a 1 <nil>]'],
    [{ b: 1, a: ['x'] }, 'map[a:[x] b:1]'],
    [[], '[]'],
    [{}, 'map[]'],
  ])('%j is written %s, as Go writes it', (value, text) => {
    expect(formatValue(value)).toBe(text);
  });
});

describe('a value in a message', () => {
  it.each<[Json, string]>([
    ['x', '"x"'],
    ['"', '"\\""'],
    [3, '3'],
    [false, 'false'],
    [null, 'null'],
    [[1], 'a list'],
    [{ a: 1 }, 'an object'],
    ['y'.repeat(40), `"${'y'.repeat(40)}"`],
    ['y'.repeat(41), `"${'y'.repeat(40)}…"`],
  ])('%j is described as %s', (value, text) => {
    expect(describeValue(value)).toBe(text);
  });
});

/** What a matcher answers when it is given with the request: the decision, or the first error. */
function ask(matcher: string, sub: Json = 'alice', obj: Json = 'data'): string {
  const { decision, errors } = set.enforce([sub, obj, 'read'], { matcher });
  return errors[0] === undefined ? decision : `${errors[0].code}: ${errors[0].message}`;
}

const set = compilePolicySet({
  model: `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub
`,
  rules: 'p, alice, data, read',
});

describe('an operator on the wrong values says what it wants', () => {
  it.each<[string, Json, string]>([
    ['r.sub < 2', 'x', '"<" wants two numbers or two texts, not "x" and 2'],
    ['r.sub >= "a"', 1, '">=" wants two numbers or two texts, not 1 and "a"'],
    ['r.sub + 1 == 2', true, '"+" wants two numbers or a text, not true and 1'],
    ['1 + r.sub == 2', null, '"+" wants two numbers or a text, not 1 and null'],
    ['r.sub - 1 == 2', 'x', '"-" wants two numbers, not "x" and 1'],
    ['1 * r.sub == 2', 'x', '"*" wants two numbers, not 1 and "x"'],
    ['-r.sub == 2', 'x', '"-" wants a number, not "x"'],
    ['!r.sub', 'x', '"!" wants true or false, not "x"'],
    ['~(r.sub) == 2', 'x', '"~" wants a number, not "x"'],
    ['"x" in r.sub', 'x', '"in" wants a list on its right, not "x"'],
    ['r.sub in r.obj', [1], '"in" wants a single value on its left, not a list'],
    ['r.sub && true', 1, '"&&" wants true or false, not 1'],
    ['false || r.sub', 'x', '"||" wants true or false, not "x"'],
    ['r.sub ? true : false', 'x', '"?" wants true or false, not "x"'],
  ])('%s', (matcher, sub, message) => {
    expect(ask(matcher, sub, [[2]])).toBe(`type_mismatch: ${message}`);
  });
});

describe('arithmetic', () => {
  it.each([
    '1 / 0 > 1000000',
    '(0 - 1) / 0 < -1000000',
    '!(0 / 0 == 0 / 0)',
    '!(0 / 0 < 1) && !(0 / 0 >= 1)',
    '1 ** (0 / 0) == 1',
    '(0 - 1) ** (1 / 0) == 1',
    '(0 - 1) ** (0 - 1 / 0) == 1',
    '!((0 - 1) ** (0 / 0) == 1)',
    '2 ** 3 ** 2 == 64',
    '7 % 4 == 3',
    '(0 - 7) % 4 == (0 - 3)',
    '(6 & 3) == 2 && (6 | 3) == 7 && (6 ^ 3) == 5',
    '(1 << 4) == 16 && (16 >> 2) == 4 && (1 << 64) == 0',
    '~0 == (0 - 1)',
    '1 + 2 == 3 && "a" + 1 == "a1" && 1 + "a" == "1a"',
    '!(2 <= 1) && 1 <= 1 && 1 >= 1 && !(1 > 1) && !(1 < 1)',
    '"a" < "b" && "a" <= "a" && !("b" < "a")',
  ])('%s', (matcher) => {
    expect(ask(matcher)).toBe('allow');
  });
});

describe('in', () => {
  it.each<[string, Json, Json, string]>([
    ['r.sub in r.obj', 'x', ['x'], 'allow'],
    ['r.sub in r.obj', 'x', [], 'deny'],
    ['r.sub in r.obj', null, [null], 'allow'],
    ['r.sub in r.obj', '1', [1], 'deny'],
    // A list or an object on the left is only refused where it would meet one of its kind.
    ['r.sub in r.obj', ['x'], ['x', null, { a: 1 }], 'deny'],
    ['r.sub in r.obj', { a: 1 }, ['x', null, ['x']], 'deny'],
    ['r.sub in r.obj', { a: 1 }, [{ a: 1 }], 'type_mismatch: "in" wants a single value on its left, not an object'],
    ['r.sub in ("a")', 'a', '', 'allow'],
    ['r.sub in (true)', true, '', 'allow'],
    ['r.sub in (1)', 1, '', 'allow'],
    ['r.sub in (1, 2)', 2, '', 'allow'],
    ['r.sub in ("2024-01-01")', 1704067200, '', 'allow'],
    ['r.sub in ("a") && r.obj == "y"', 'a', 'y', 'allow'],
  ])('%s of %j in %j: %s', (matcher, sub, obj, answer) => {
    expect(ask(matcher, sub, obj)).toBe(answer);
  });
});

describe('a matcher that does not parse says where it stops making sense', () => {
  it.each([
    ['(r.sub == "a") r.obj', '"r.obj" follows a complete expression'],
    ['r.sub.name("x")', '"r.sub.name" is an attribute, not a function'],
    ['(r.sub == )', 'an operand is missing before ")"'],
    ['(r.sub == "a"', 'an opening parenthesis is not closed'],
    ['r.sub == "a")', 'a closing parenthesis without an opening one'],
    ['r.sub == "a" and r.obj == "b"', '"and" is not an operator'],
    ['r.sub == "a" r.obj', '"r.obj" may not stand after the text "a"'],
    ['r.sub ==', 'the expression ends too early'],
    ['r.sub == "a', 'a quoted text is not closed'],
    ['r.sub ==! "a"', '"==!" is not an operator'],
    ['r.sub. == "a"', '"r.sub." ends with a dot'],
    ['== r.sub', '"==" may not stand first'],
    ['"a" "b"', 'the text "b" may not stand after the text "a"'],
    ['1.2.3 == 1', '1.2.3 is not a number'],
    ['0xfg == 1', 'xfg'],
    ['[r_sub == "a"', 'an opening bracket is not closed'],
  ])('%s', (matcher, message) => {
    const answer = ask(matcher);
    expect(answer).toMatch(/^matcher_syntax: /);
    if (message !== 'xfg') expect(answer).toBe(`matcher_syntax: ${message}`);
  });

  it('takes 200 nested parentheses, and not one more', () => {
    const nested = (depth: number) => `${'('.repeat(depth)}true${')'.repeat(depth)}`;
    expect(ask(nested(200))).toBe('allow');
    expect(ask(nested(201))).toBe('matcher_syntax: more than 200 nested parentheses');
    // Parentheses beside each other are not nested.
    expect(ask(Array.from({ length: 300 }, () => '(true)').join(' && '))).toBe('allow');
  });

  it('takes 1,000 operators, and not one more', () => {
    const chain = (operators: number) => `${'true && '.repeat(operators)}true`;
    expect(ask(chain(1_000))).toBe('allow');
    expect(ask(chain(1_001))).toBe('matcher_syntax: more than 1000 operators');
  });

  it('takes 10,000 words and operators, and not one more', () => {
    const list = (words: number) => `true in (${'false, '.repeat((words - 5) / 2)}true)`;
    expect(ask(list(9_999))).toBe('allow');
    expect(ask(`${list(9_999)} && true`)).toBe('matcher_syntax: more than 10000 words and operators');
  });
});

describe('errors of rules', () => {
  const failing = (count: number) =>
    compilePolicySet({
      model: `[request_definition]
r = sub, obj, act
[policy_definition]
p = cond, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = eval(p.cond)
`,
      rules: Array.from({ length: count }, (_, index) => `p, r.sub.a${index} == 1, allow`).join('\n'),
    }).enforce([{}, 'x', 'y']);

  it('are all named up to twenty', () => {
    expect(failing(20).errors.map(({ code }) => code)).toEqual(Array(20).fill('missing_attribute'));
  });
  it('are counted beyond that', () => {
    const { errors } = failing(23);
    expect(errors).toHaveLength(21);
    expect(errors[20]).toEqual({ code: 'more_errors', message: '3 more rules failed' });
  });
});
