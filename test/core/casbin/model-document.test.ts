import { describe, expect, it } from 'vitest';
import type { DocumentProblem } from '../../../src/core/casbin/document-problem.js';
import { type ModelDocument, parseModel } from '../../../src/core/casbin/model-document.js';
import { processorMsOf } from '../../processor-time.js';

const complete = `[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`;

/** The complete model with one line exchanged for others. */
function completeBut(line: string, lines: string): string {
  if (!complete.includes(`${line}\n`)) throw new Error(`no such line: ${line}`);
  return complete.replace(`${line}\n`, lines);
}

function parse(text: string): { model: ModelDocument; problems: DocumentProblem[] } {
  const problems: DocumentProblem[] = [];
  const model = parseModel(text, 'model.conf', (problem) => problems.push(problem));
  return { model, problems };
}

/** Every definition that is read: `{ r: 'sub, obj, act', … }`. */
function definitionsOf(model: ModelDocument): Record<string, string> {
  return Object.fromEntries(
    Object.values(model.definitions).flatMap((definitions) =>
      [...definitions].map(([key, definition]) => [key, definition.value]),
    ),
  );
}

const whole = {
  r: 'sub, obj, act',
  p: 'sub, obj, act',
  e: 'some(where (p.eft == allow))',
  m: 'r.sub == p.sub && r.obj == p.obj && r.act == p.act',
};
const matcherLine = 'm = r.sub == p.sub && r.obj == p.obj && r.act == p.act';

describe('a model is read as the reference reads it', () => {
  const cases: readonly [sentence: string, text: string, definitions: Record<string, string>][] = [
    ['the usual form', complete, whole],
    ['line ends may be CR LF', complete.replaceAll('\n', '\r\n'), whole],
    ['the last line needs no line end', complete.trimEnd(), whole],
    [
      'spaces around everything are trimmed, those of Unicode too',
      complete.replaceAll('r = ', '\u3000 r \u0085=\u00a0\t'),
      whole,
    ],
    ['no space around the equals sign is needed', complete.replaceAll(/ = /g, '='), whole],
    ['sections may stand in any order', complete.split('\n\n').reverse().join('\n'), whole],
    [
      'a repeated section adds to the first',
      `${complete}[policy_definition]\np2 = sub, act\n`,
      { ...whole, p2: 'sub, act' },
    ],
    [
      'a value goes from the first equals sign to the end',
      completeBut(matcherLine, 'm = a == b = c\n'),
      { ...whole, m: 'a == b = c' },
    ],
    ['# starts a comment', completeBut(matcherLine, '# all\nm = true # yes\n'), { ...whole, m: 'true' }],
    ['; starts a comment', completeBut(matcherLine, '; all\nm = true;yes\n'), { ...whole, m: 'true' }],
    [
      'a backslash continues a line with one space',
      completeBut(matcherLine, 'm = a &&   \\\n   b ||\\\n c\n'),
      { ...whole, m: 'a && b || c' },
    ],
    ['a continued line may end the file', completeBut(matcherLine, 'm = a && \\\nb \\'), { ...whole, m: 'a && b' }],
    [
      'a comment is cut off a continued line, which goes on',
      completeBut(matcherLine, 'm = a && # first \\\n b\n'),
      { ...whole, m: 'a && b' },
    ],
    [
      'a backslash before a comment is a part of the value',
      completeBut(matcherLine, 'm = a \\ # first\n'),
      { ...whole, m: 'a \\' },
    ],
    ['a blank line ends a continued one', completeBut(matcherLine, 'm = a \\\n\n'), { ...whole, m: 'a' }],
    ['a comment line ends a continued one', completeBut(matcherLine, 'm = a \\\n# b\n'), { ...whole, m: 'a' }],
    [
      'a section ends a continued line',
      `${completeBut(matcherLine, 'm = a \\\n')}[role_definition]\ng = _, _\n`,
      { ...whole, m: 'a', g: '_, _' },
    ],
    ['a key may be continued, too', completeBut(matcherLine, 'm \\\n = a\n'), { ...whole, m: 'a' }],
    [
      'further definitions count up from 2',
      completeBut(matcherLine, `${matcherLine}\nm3 = c\nm2 = b\n`),
      { ...whole, m2: 'b', m3: 'c' },
    ],
    [
      'the tenth definition is reached',
      completeBut(matcherLine, `${matcherLine}\n${[2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => `m${n} = x\n`).join('')}`),
      {
        ...whole,
        ...Object.fromEntries([2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => [`m${n}`, 'x'])),
      },
    ],
    [
      'constraints and roles are read',
      `${complete}[role_definition]\ng = _, _\n[constraint_definition]\nc = sod("a", "b")\n`,
      { ...whole, g: '_, _', c: 'sod("a", "b")' },
    ],
  ];
  it.each(cases)('%s', (_, text, definitions) => {
    const { model, problems } = parse(text);
    expect(problems).toEqual([]);
    expect(definitionsOf(model)).toEqual(definitions);
  });

  it('definitions come in the order of their keys, not of their lines', () => {
    const { model } = parse(completeBut(matcherLine, 'm3 = c\nm2 = b\nm = a\n'));
    expect([...model.definitions.m.keys()]).toEqual(['m', 'm2', 'm3']);
  });

  it('documents are frozen', () => {
    const { model } = parse(complete);
    expect(
      Object.isFrozen(model) && Object.isFrozen(model.definitions) && Object.isFrozen(model.definitions.m.get('m')),
    ).toBe(true);
  });
});

describe('problems', () => {
  type Row = [sentence: string, text: string, problems: string[], definitions?: Record<string, string>];
  /** `line:column code`, with `!` where the reference refuses the file. */
  const summary = ({ line, column, severity, code, refusedByReference }: DocumentProblem) =>
    `${line}:${column} ${severity} ${code}${refusedByReference ? '!' : ''}`;

  const cases: readonly Row[] = [
    ['an empty file lacks the four sections', '', Array(4).fill('1:1 error missing_section!'), {}],
    [
      'role definitions may be missing, matchers may not',
      complete.slice(0, complete.indexOf('[matchers]')),
      ['1:1 error missing_section!'],
    ],
    [
      'a section without its first definition counts as missing',
      completeBut(matcherLine, 'm2 = a\n'),
      ['10:1 error missing_section!', '11:1 error definition_after_gap'],
    ],
    [
      'an empty definition counts as missing',
      completeBut(matcherLine, 'm = # later\n'),
      ['10:1 error missing_section!', '11:1 error empty_definition'],
    ],
    [
      'an empty section that nobody needs is worth a warning',
      `${complete}[role_definition]\n`,
      ['12:1 warning empty_section'],
      whole,
    ],
    [
      'a line without equals sign',
      completeBut(matcherLine, `${matcherLine}\n  r.act == p.act\nfoo\n`),
      ['12:3 error unknown_definition', '13:1 error missing_equals!'],
    ],
    [
      'a continued line without equals sign is reported where it starts',
      completeBut(matcherLine, `${matcherLine}\n foo \\\n  bar\n`),
      ['12:2 error missing_equals!'],
    ],
    [
      'a section header with a comment behind it',
      completeBut('[matchers]', '[matchers] # all\n'),
      ['10:1 error broken_section_header!'],
    ],
    [
      'a section header that is not closed',
      completeBut('[matchers]', '[matchers\n'),
      ['10:1 error broken_section_header!'],
    ],
    [
      'a misspelt section',
      completeBut('[matchers]', '[Matcher]\n'),
      ['1:1 error missing_section!', '10:1 error unknown_section'],
    ],
    [
      'spaces inside the brackets make another name',
      completeBut('[matchers]', '[ matchers ]\n'),
      ['1:1 error missing_section!', '10:1 error unknown_section'],
    ],
    [
      'a list on a line by itself is taken for a section',
      completeBut(matcherLine, 'm = r.sub in \\\n["a", "b"]\n'),
      ['12:1 error unknown_section'],
    ],
    ['a definition before the first section', `r = sub\n${complete}`, ['1:1 error definition_outside_section']],
    [
      'the first definition has no number',
      completeBut('r = sub, obj, act', 'r = sub, obj, act\nr1 = sub\n'),
      ['3:1 error unknown_definition'],
    ],
    [
      'keys are lower case',
      completeBut('r = sub, obj, act', 'r = sub, obj, act\nR2 = sub\n'),
      ['3:1 error unknown_definition'],
    ],
    [
      'numbers have no leading zero',
      completeBut('r = sub, obj, act', 'r = sub, obj, act\nr02 = sub\n'),
      ['3:1 error unknown_definition'],
    ],
    [
      'keys belong to their section',
      completeBut('r = sub, obj, act', 'r = sub, obj, act\np2 = sub\n'),
      ['3:1 error unknown_definition'],
    ],
    [
      'a definition behind a gap',
      completeBut(matcherLine, `${matcherLine}\nm3 = a\nm4 = b\n`),
      ['12:1 error definition_after_gap', '13:1 error definition_after_gap'],
      whole,
    ],
    [
      'an empty definition is a gap',
      completeBut(matcherLine, `${matcherLine}\nm2 =\nm3 = b\n`),
      ['12:1 error empty_definition', '13:1 error definition_after_gap'],
      whole,
    ],
    [
      'the last of two definitions counts',
      completeBut(matcherLine, `${matcherLine}\n m = b\n`),
      ['12:2 error duplicate_definition'],
      { ...whole, m: 'b' },
    ],
    [
      'the last of two definitions counts in a repeated section, too',
      `${complete}[matchers]\nm = b\n`,
      ['13:1 error duplicate_definition'],
      { ...whole, m: 'b' },
    ],
    [
      'a column twice in a request',
      completeBut('r = sub, obj, act', 'r = sub,obj, \\\n  sub\n'),
      ['3:3 error duplicate_token'],
    ],
    ['a column twice in a rule', completeBut('p = sub, obj, act', 'p = sub, sub\n'), ['5:10 error duplicate_token']],
    [
      'a comma too many',
      completeBut('p = sub, obj, act', 'p = sub, , obj,\n'),
      ['5:10 error empty_token', '5:16 error empty_token'],
    ],
    [
      'a # inside a text cuts the matcher',
      completeBut(matcherLine, 'm = r.sub == "a#b" && r.obj == p.obj\n'),
      ['11:16 error comment_in_text'],
      { ...whole, m: 'r.sub == "a' },
    ],
    [
      'a ; inside a text cuts the matcher',
      completeBut(matcherLine, "m = a == b && \\\n  r.sub == 'a\";b'\n"),
      ['12:15 error comment_in_text'],
    ],
    [
      'an apostrophe in a comment is none of our business',
      completeBut(matcherLine, 'm = r.sub == "a" # isn\'t it\n'),
      [],
    ],
    ['a byte order mark is refused', `\uFEFF${complete}`, ['1:1 error byte_order_mark!'], whole],
    ['NUL is no text', completeBut(matcherLine, 'm = a\0b\n'), ['11:6 error binary_content!'], {}],
    ['U+FFFD comes from bytes that were no text', `\uFFFD${complete}`, ['1:1 error binary_content!'], {}],
    ['a line of 4,095 bytes is read', completeBut(matcherLine, `m = ${'é'.repeat(2045)}x\n`), []],
    [
      'a line of 4,096 bytes would be cut',
      completeBut(matcherLine, `m = ${'é'.repeat(2046)}\n`),
      ['11:1 error line_too_long!'],
    ],
    [
      'so would a comment',
      completeBut(matcherLine, `${matcherLine}\n#${'-'.repeat(4095)}\n`),
      ['12:1 error line_too_long!'],
    ],
  ];
  it.each(cases)('%s', (_, text, expected, definitions) => {
    const { model, problems } = parse(text);
    expect(problems.map(summary).sort()).toEqual([...expected].sort());
    expect(problems.every((problem) => problem.file === 'model.conf' && problem.message !== '')).toBe(true);
    if (definitions !== undefined) expect(definitionsOf(model)).toEqual(definitions);
  });

  it.each([
    ['[Matcher]', 'did you mean [matchers]?'],
    ['[request definition]', 'did you mean [request_definition]?'],
    [
      '[requests]',
      'sections are request_definition, policy_definition, role_definition, policy_effect, matchers, constraint_definition',
    ],
  ])('%s: %s', (header, hint) => {
    const { problems } = parse(`${complete}${header}\n`);
    expect(problems.map((problem) => problem.hint)).toEqual([hint]);
  });
});

describe('places', () => {
  it('every character of a value is found again in the file', () => {
    const text = completeBut(matcherLine, '\tm = r.sub == \\  \n   # no comment ends it: that would\n');
    const continued = `${complete.replace(matcherLine, '')}\u3000 m =\ta && \\\r\n    (b || # why \\\r\n  c)\n`;
    for (const source of [complete, text, continued]) {
      const lines = source.split('\n');
      for (const definitions of Object.values(parse(source).model.definitions)) {
        for (const { value, place } of definitions.values()) {
          for (let offset = 0; offset < value.length; offset++) {
            const { line, column } = place(offset);
            const found = lines[line - 1]?.[column - 1];
            // The space that joins two lines has no character of its own.
            expect(value[offset] === ' ' ? ' ' : found, `${value} at ${offset}`).toBe(value[offset]);
          }
        }
      }
    }
  });

  it('the first character of a continuation line is there', () => {
    const { model } = parse(completeBut(matcherLine, 'm = a && \\\n    b\n'));
    expect(model.definitions.m.get('m')?.place(5)).toEqual({ line: 12, column: 5 });
  });
});

describe('hostile models', () => {
  it.each([
    ['a million lines', '\n'.repeat(1_000_000)],
    ['100,000 continued lines', `[matchers]\nm = a${' \\\n b'.repeat(100_000)}\n`],
    ['100,000 continued columns', `[request_definition]\nr = a${', \\\n a'.repeat(20_000)}\n`],
    ['100,000 continued comments', `[matchers]\nm = "${' a # \\\n'.repeat(50_000)}\n`],
    [
      'names from the prototype',
      '[__proto__]\n__proto__ = a\n[constructor]\ntoString = b\n[matchers]\n__proto__ = c\n',
    ],
    ['binary', String.fromCharCode(...Array.from({ length: 60_000 }, (_, index) => (index * 7919) % 256))],
  ])('%s: problems, no exception, promptly', (_, text) => {
    const spentMs = processorMsOf(() => expect(parse(text).problems.length).toBeGreaterThan(0));
    expect(spentMs).toBeLessThan(2_000);
  });
});
