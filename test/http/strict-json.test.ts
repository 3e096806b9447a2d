import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseExactJson } from '../../src/core/exact-json.js';
import { VerdictError } from '../../src/errors.js';
import { parseStrictJson } from '../../src/http/strict-json.js';
import { processorMsOf } from '../processor-time.js';

/** What the parser says of a text: its value, or the pointers and details of its faults. */
function outcome(text: string | Buffer, maxDepth = 8): unknown {
  try {
    return {
      value: parseStrictJson(Buffer.from(text as string), { depth: maxDepth, values: Number.POSITIVE_INFINITY }),
    };
  } catch (error) {
    if (!(error instanceof VerdictError)) throw error;
    expect(error.code).toBe('malformed_request');
    return error.extra.errors?.map(({ pointer, detail }) => `${pointer}: ${detail}`) ?? 'not JSON';
  }
}

describe('a strict body', () => {
  it('is parsed as JSON.parse does', () => {
    const text = ' {"a":[1,-2.5e3,true,null,"\\u00e9\\n\\"\\\\"],"\u{1f600}":"\\ud83d\\ude00","":{}} ';
    expect(outcome(text)).toEqual({ value: JSON.parse(text) });
  });

  it.each([
    ['{"subject":{"id":"a","id":"b"}}', '/subject/id: duplicate member name'],
    ['{"a":1,"\\u0061":2}', '/a: duplicate member name'],
    ['{"a":{"x":1},"b":{"x":1},"a":1}', '/a: duplicate member name'],
    ['[{"a":1},{"b":[0,{"c":1,"c":2}]}]', '/1/b/1/c: duplicate member name'],
    ['{"":1,"":2}', '/: duplicate member name'],
    ['{"a/b~c":{"d":1,"d":1}}', '/a~1b~0c/d: duplicate member name'],
    ['{"__proto__":1}', '/__proto__: __proto__ as a member name'],
    ['{"a":{"\\u005f_proto__":{"admin":true}}}', '/a/__proto__: __proto__ as a member name'],
    ['{"a":"\\ud800"}', '/a: lone surrogate in a string'],
    ['{"a":["x","\\uD83D\\u0041"]}', '/a/1: lone surrogate in a string'],
    ['{"a":"\\ude00\\ud83d"}', '/a: lone surrogate in a string'],
    ['{"a":{"\\udc00":1}}', '/a: lone surrogate in a string'],
    ['{"a":1,"b":"x\\u0000"}', '/b: NUL in a string'],
    ['"\\u0000"', ': NUL in a string'],
  ])('%s is refused', (text, fault) => {
    expect(outcome(text)).toEqual([fault]);
  });

  it.each([
    '{"a":"\\\\ud800","b":"\\\\u0000"}',
    '{"a":"__proto__","b":["__proto__","__proto__"]}',
    '{"constructor":1,"toString":2,"hasOwnProperty":3}',
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
    '{"a":"{\\"a\\":1,\\"a\\":2}:[[[[[[[[[["}',
  ])('%s is accepted', (text) => {
    expect(outcome(text)).toEqual({ value: JSON.parse(text) });
  });

  it('names nothing of the body before it', () => {
    const faults = ['{:{"b":{"c":1,"c":2}}}', '{:{:"\\ud800"}}'];
    const alone = faults.map((text) => outcome(text));
    expect(alone).toEqual([['//b/c: duplicate member name'], ['//: lone surrogate in a string']]);
    for (const before of ['{"a":{"b":"c"}}', '{"\\u0061":1}', '{"abcdef":', '{"a":"']) {
      for (const [n, text] of faults.entries()) {
        outcome(before);
        expect(outcome(text)).toEqual(alone[n]);
      }
    }
  });

  it('nests 8 deep where 8 levels are allowed, and not 9', () => {
    expect(outcome(`${'['.repeat(8)}${']'.repeat(8)}`)).toHaveProperty('value');
    expect(outcome(`{"a":${'['.repeat(8)}${']'.repeat(8)}}`)).toEqual([
      '/a/0/0/0/0/0/0/0: nested deeper than 8 levels',
    ]);
  });

  it('finds a duplicate among the 16 names it compares and among many more', () => {
    for (const count of [1, 15, 16, 17, 18, 5_000]) {
      const members = Array.from({ length: count }, (_, i) => `"k${i}":{"k":1}`);
      expect(outcome(`{${members}}`)).toHaveProperty('value');
      for (const twin of [0, count >> 1, count - 1]) {
        expect(outcome(`{${members},"k${twin}":1}`)).toEqual([`/k${twin}: duplicate member name`]);
      }
    }
  });

  it.each(['', ' ', '{', '{"a"', '{"a":"', '"\\u12', '{]', '}}}}', '{"a":1}}', '"a":', '\ufeff{}', "{'a':1}", 'NaN'])(
    '%j is not JSON',
    (text) => {
      expect(outcome(text)).toBe('not JSON');
    },
  );

  it.each([
    [[0xff, 0xfe]],
    [[0x22, 0xed, 0xa0, 0x80, 0x22]], // a surrogate, encoded as if it were a character
    [[0x22, 0xc0, 0x80, 0x22]], // NUL in two bytes
    [[0x22, 0xe2, 0x82, 0x22]],
  ])('bytes %j are not UTF-8', (bytes) => {
    expect(() => parseStrictJson(Buffer.from(bytes), { depth: 8, values: 100 })).toThrow('not valid UTF-8');
  });

  it('takes time in proportion to the body, whatever it holds', () => {
    const bodies = [
      '['.repeat(1 << 22),
      `[${'{"a":"b"},'.repeat(400_000)}0]`,
      `{${Array.from({ length: 200_000 }, (_, i) => `"k${i}":"v"`)}}`,
      `["${'\\u0041'.repeat(700_000)}"]`,
      `[${'"\\n","x",'.repeat(400_000)}0]`,
    ];
    // Warm: the optimising compiler once made a linear loop quadratic.
    for (let i = 0; i < 3_000; i++) outcome(`[${'{"a":"b","c":"d"},'.repeat(20)}0]`);
    const spentMs = processorMsOf(() => {
      for (const body of bodies) outcome(body);
    });
    expect(spentMs).toBeLessThan(5_000);
  });

  it('agrees with a slow and obvious check on any JSON', () => {
    fc.assert(
      fc.property(document, (tree) => {
        const text = render(tree);
        const fault = obviousFault(tree, '', 1);
        expect(outcome(text, maxDepth)).toEqual(fault === undefined ? { value: parseExactJson(text) } : [fault]);
      }),
      { numRuns: 3_000 },
    );
  });

  it('accepts of any text at most what JSON.parse accepts, and means the same by it', () => {
    const fragments = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      '"',
      '\\',
      '\\u',
      'd800',
      '0',
      '"a"',
      '__proto__',
      ' ',
    );
    fc.assert(
      fc.property(fc.array(fragments, { maxLength: 30 }), (parts) => {
        const text = parts.join('');
        const result = outcome(text);
        if (typeof result === 'object' && !Array.isArray(result))
          expect(result).toEqual({ value: parseExactJson(text) });
        else if (result === 'not JSON') expect(() => JSON.parse(text)).toThrow();
      }),
      { numRuns: 5_000 },
    );
  });
});

/** JSON before it is written down: `raw` is what stands between the quotes of a string. */
type Tree =
  | { kind: 'string'; raw: string }
  | { kind: 'scalar'; text: string }
  | { kind: 'array'; items: Tree[] }
  | { kind: 'object'; members: { raw: string; value: Tree }[] };

const maxDepth = 4;

const rawString = fc
  .array(
    fc.constantFrom(
      'a',
      'b',
      'é',
      '\u{1f600}',
      '{',
      ':',
      '\\"',
      '\\\\',
      '\\n',
      '\\u0061',
      '\\ud83d',
      '\\ude00',
      '\\u0000',
    ),
    { maxLength: 3 },
  )
  .map((parts) => parts.join(''));
const name = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('a', 'b', 'c', '\\u0061', 'a/b', '', 'toString') },
  { weight: 1, arbitrary: fc.constantFrom('__proto__', '\\u005f_proto__') },
  { weight: 1, arbitrary: rawString },
);
const { document } = fc.letrec<{ document: Tree }>((tie) => ({
  document: fc.oneof(
    { maxDepth: maxDepth + 1, withCrossShrink: true },
    fc.constantFrom('0', '-1.5', 'true', 'null').map((text): Tree => ({ kind: 'scalar', text })),
    rawString.map((raw): Tree => ({ kind: 'string', raw })),
    fc.array(tie('document'), { maxLength: 4 }).map((items): Tree => ({ kind: 'array', items })),
    fc
      .array(fc.record({ raw: name, value: tie('document') }), { maxLength: 4 })
      .map((members): Tree => ({ kind: 'object', members })),
  ),
}));

function render(tree: Tree): string {
  switch (tree.kind) {
    case 'string':
      return `"${tree.raw}"`;
    case 'scalar':
      return tree.text;
    case 'array':
      return `[ ${tree.items.map(render).join(' ,')}]`;
    case 'object':
      return `{${tree.members.map(({ raw, value }) => `"${raw}" : ${render(value)}`).join(',\n')} }`;
  }
}

function obviousFault(tree: Tree, pointer: string, depth: number): string | undefined {
  if (tree.kind === 'scalar') return undefined;
  if (tree.kind === 'string') return faultOfString(tree.raw, pointer);
  if (depth > maxDepth) return `${pointer}: nested deeper than ${maxDepth} levels`;
  if (tree.kind === 'array') {
    for (const [index, item] of tree.items.entries()) {
      const fault = obviousFault(item, `${pointer}/${index}`, depth + 1);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
  const seen: string[] = [];
  for (const { raw, value } of tree.members) {
    const decoded = JSON.parse(`"${raw}"`) as string;
    const member = `${pointer}/${decoded.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const fault =
      faultOfString(raw, pointer) ??
      (decoded === '__proto__' ? `${member}: __proto__ as a member name` : undefined) ??
      (seen.includes(decoded) ? `${member}: duplicate member name` : undefined) ??
      obviousFault(value, member, depth + 1);
    if (fault !== undefined) return fault;
    seen.push(decoded);
  }
  return undefined;
}

function faultOfString(raw: string, pointer: string): string | undefined {
  const characters = [...(JSON.parse(`"${raw}"`) as string)];
  const bad = characters.find((character) => character === '\0' || /^\p{Surrogate}$/u.test(character));
  if (bad === undefined) return undefined;
  return `${pointer}: ${bad === '\0' ? 'NUL' : 'lone surrogate'} in a string`;
}
