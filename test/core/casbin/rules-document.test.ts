import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DocumentProblem } from '../../../src/core/casbin/document-problem.js';
import { parseRuleLine, parseRules } from '../../../src/core/casbin/rules-document.js';
import { processorMsOf } from '../../processor-time.js';

function parse(text: string) {
  const problems: DocumentProblem[] = [];
  const rules = parseRules(text, 'rules.csv', (problem) => problems.push(problem));
  return { rules, problems, fields: rules.map(({ ptype, fields }) => [ptype, ...fields]) };
}

describe('rules are read as the reference reads them', () => {
  const cases: readonly [sentence: string, text: string, fields: string[][]][] = [
    ['fields stand between commas', 'p, alice, data1, read', [['p', 'alice', 'data1', 'read']]],
    ['space before a field goes', 'p,  alice,\tdata1,\u3000read', [['p', 'alice', 'data1', 'read']]],
    ['space behind a field stays', 'p , alice ,data1\t,read', [['p ', 'alice ', 'data1\t', 'read']]],
    ['space around the line goes', '  \u0085p, alice, read \u00a0\t', [['p', 'alice', 'read']]],
    ['a zero width no-break space is no space', 'p, \u{2060}a\uFEFF', [['p', '\u{2060}a\uFEFF']]],
    ['empty lines are skipped', '\n\r\n   \np, a\n\n', [['p', 'a']]],
    ['comment lines are skipped', '# p, a\n  #p, b\np, c', [['p', 'c']]],
    ['# inside a line is data', 'p, #a, b # c', [['p', '#a', 'b # c']]],
    ['; is data', '; p, a', [['; p', 'a']]],
    [
      'lines may end in CR LF',
      'p, a\r\np, b\r\n',
      [
        ['p', 'a'],
        ['p', 'b'],
      ],
    ],
    ['a lone CR is data inside a line, space at its end', 'p, a\rp, b\r', [['p', 'a\rp', 'b']]],
    ['line separators of Unicode are data inside a line', 'p, a\u2028b', [['p', 'a\u2028b']]],
    ['fields may be empty', 'p,,a, ,', [['p', '', 'a', '', '']]],
    ['a line may be nothing but commas', ',,', [['', '', '']]],
    ['quotes keep commas', 'p, "a, b", c', [['p', 'a, b', 'c']]],
    ['quotes keep spaces', 'p, " a ", c', [['p', ' a ', 'c']]],
    ['a doubled quote is one', 'p, "r.sub.name == ""alice"""', [['p', 'r.sub.name == "alice"']]],
    ['quotes may hold nothing', 'p, "", ""', [['p', '', '']]],
    ['only quotes', 'p, """"', [['p', '"']]],
    ['the type may be quoted', '"p", a', [['p', 'a']]],
    ['# behind a quote is data', '"#p", a', [['#p', 'a']]],
    ['a comma behind quotes ends the field at once', 'p,"a","b"', [['p', 'a', 'b']]],
    ['backslashes are data', 'p, \\d+, "\\d{1,2}"', [['p', '\\d+', '\\d{1,2}']]],
    ['single quotes are data', "p, r.sub == 'a', 'b'", [['p', "r.sub == 'a'", "'b'"]]],
    ['parentheses do not hold a field together', 'p, (a, b)', [['p', '(a', 'b)']]],
    ['names from the prototype are names', 'p, __proto__, constructor', [['p', '__proto__', 'constructor']]],
    ['emoji', 'p, 👩‍🚒, "🔥"', [['p', '👩‍🚒', '🔥']]],
  ];
  it.each(cases)('%s', (_, text, fields) => {
    const parsed = parse(text);
    expect(parsed.problems).toEqual([]);
    expect(parsed.fields).toEqual(fields);
  });

  it('each rule knows its line and where its fields start', () => {
    const { rules } = parse('# staff\n\n  p, alice , "a, ""b""",  "", c\ng,a,b');
    expect(rules.map(({ file, line }) => [file, line])).toEqual([
      ['rules.csv', 3],
      ['rules.csv', 4],
    ]);
    expect(rules.map(({ columns }) => columns)).toEqual([
      [3, 6, 14, 27, 31],
      [1, 3, 5],
    ]);
  });

  it('a line can be read by itself', () => {
    const report = () => expect.unreachable();
    expect(parseRuleLine('g, alice, admin\r', 'g.csv', 7, report)).toMatchObject({
      ptype: 'g',
      fields: ['alice', 'admin'],
      file: 'g.csv',
      line: 7,
    });
    expect(parseRuleLine('# none', 'g.csv', 8, report)).toBeUndefined();
  });
});

describe('problems', () => {
  const cases: readonly [sentence: string, text: string, problems: string[]][] = [
    ['a quote in the middle of a field', 'p, a, r.sub == "alice"', ['1:16 bad_quotes']],
    ['a quote before the first space is in the middle, too', 'p, a "b"', ['1:6 bad_quotes']],
    ['a quoted field that does not end', '\n p, "a, b', ['2:5 bad_quotes']],
    ['a quoted field does not span lines', 'p, "a\nb"', ['1:4 bad_quotes', '2:2 bad_quotes']],
    ['text behind a closing quote', 'p, "a"b, c', ['1:6 bad_quotes']],
    ['space between closing quote and comma', 'p, "a" , b', ['1:6 bad_quotes']],
    ['an odd number of quotes', 'p, """', ['1:4 bad_quotes']],
    ['NUL is no text', 'p, a\np, b\0, c', ['2:5 binary_content']],
    ['U+FFFD comes from bytes that were no text', 'p, \uFFFD', ['1:4 binary_content']],
    ['a line of 65,535 bytes is read', `p, ${'é'.repeat(32_766)}`, []],
    ['a line of 65,536 bytes is not', `p, x${'é'.repeat(32_766)}`, ['1:1 line_too_long']],
  ];
  it.each(cases)('%s', (_, text, expected) => {
    const { problems } = parse(text);
    expect(problems.map(({ line, column, code }) => `${line}:${column} ${code}`)).toEqual(expected);
    for (const problem of problems) {
      expect(problem).toMatchObject({ severity: 'error', file: 'rules.csv', refusedByReference: true });
    }
  });

  it('a byte order mark is refused, and the rest is read for its own problems', () => {
    const { problems, fields } = parse('\uFEFFp, a');
    expect(fields).toEqual([['p', 'a']]);
    expect(problems).toMatchObject([
      { severity: 'error', code: 'byte_order_mark', line: 1, column: 1, refusedByReference: true },
    ]);
  });

  it('a bare quote gets the hint to quote the whole field', () => {
    expect(parse('p, r.sub == "alice"').problems[0]?.hint).toMatch(/whole field in quotes/);
  });

  it('lines around a bad one are read all the same', () => {
    expect(parse('p, a\np, "\np, c').fields).toEqual([
      ['p', 'a'],
      ['p', 'c'],
    ]);
  });
});

describe('properties', () => {
  it('fields that are written with quotes come back as they were', () => {
    const field = fc.string({ unit: fc.constantFrom('a', 'é', '🔥', ',', '"', ' ', '#', '\t', '\\', '(', '\u3000') });
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 6 }), (fields) => {
        const text = fields.map((value) => `"${value.replaceAll('"', '""')}"`).join(',');
        const { rules, problems } = parse(text);
        expect(problems).toEqual([]);
        expect([rules[0]?.ptype, ...(rules[0]?.fields ?? [])]).toEqual(fields);
        expect(rules[0]?.columns.map((column) => text[column - 1])).toEqual(fields.map(() => '"'));
      }),
    );
  });

  it('any text gives rules or problems', () => {
    const unit = fc.constantFrom('p', ',', '"', ' ', '\n', '\r', '#', 'a', '\u0085', '\uFEFF');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), (text) => {
        for (const { columns, fields } of parse(text).rules) expect(columns).toHaveLength(fields.length + 1);
      }),
    );
  });
});

it('100,000 rules are read in less than a second of processor time', () => {
  const text = Array.from({ length: 100_000 }, (_, index) => `p, role${index}, /resource/${index}, read`).join('\n');
  const spentMs = processorMsOf(() => expect(parse(text).rules).toHaveLength(100_000));
  expect(spentMs).toBeLessThan(1_000);
});
