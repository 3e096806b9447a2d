import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VerdictError } from '../../src/errors.js';
import { parseBodyOfLists, parseStrictJson } from '../../src/http/strict-json.js';

const limits = { depth: 8, values: 100_000, elementBytes: 1_000_000, bytes: 1_000_000 };

/** The value of a body, or the code of its refusal and where it points. */
async function outcome(parse: () => unknown): Promise<{ value: unknown } | { code: string; at?: string[] }> {
  try {
    return { value: await parse() };
  } catch (error) {
    if (!(error instanceof VerdictError)) throw error;
    const at = error.extra.errors?.map(({ pointer }) => pointer);
    return { code: error.code, ...(at !== undefined && { at }) };
  }
}

const parsed = (text: string, own: Partial<typeof limits> = {}) =>
  outcome(() => parseBodyOfLists(Buffer.from(text), { ...limits, ...own }));

/** As long as a piece: a list with this behind its commas is cut at each of them. */
const blanks = ' '.repeat(16 * 1024);
const cut = (text: string): string => text.replaceAll(',', `,${blanks}`);

describe('a body of long lists', () => {
  it.each([
    '{"add":{"roles":[["g","a","b"],["g","é","\\ud83d\\ude00"]],"entities":[{"a":{"b":[1,2]}}]},"remove":{"roles":[]}}',
    '{"a":{"2":[1,2],"1":[3,4],"x":[]}}',
    '{"a":{"b":[[[1,2],[3]],{"c":[4,5]},"],[",6]}}',
    '{"a":{"b":["\\\\","\\"",",","x,\\"y"],"c":1}}',
    '[[[1,2],[3]],[4,[5,6]],{"a":[7,8]}]',
    '{"a":[{"b":[1,2]},[3,4],5]}',
    '{"a":{"b":{"c":[1,2]},"d":[3,4]},"e":[],"f":{},"g":1}',
    '{"a":{"b":[null,null],"c":[ ]}}',
    '"text"',
    'null',
    '[]',
  ])('%s is what JSON.parse makes of it, in one piece and in many', async (text) => {
    for (const body of [text, cut(text)]) expect(await parsed(body)).toEqual({ value: JSON.parse(body) });
  });

  it.each([
    '{"a":{"b":[1,]}}',
    '{"a":{"b":[,]}}',
    '{"a":{"b":[,1]}}',
    '{"a":{"b":[1,,2]}}',
    '{"a":{"b":[1 2]}}',
    '{"a":{"b":[1}}}',
    '{"a":{"b":[1]]}',
    '{"a":{"b":[1],[2]}}',
    '{"a":{"b":[{]}]}}',
    '{"a":{"b":[1]',
    '{"a":{"b":[1',
    '{"a":{"b":["',
    '{"a":{"b":[1]}}{"c":{"d":[1]}}',
    '{"a":{[1]}}',
    '',
  ])('%s is not JSON, in one piece and in many', async (text) => {
    expect(() => JSON.parse(text)).toThrow();
    for (const body of [text, cut(text)]) expect(await parsed(body)).toEqual({ code: 'malformed_request' });
  });

  it.each([
    ['{"a":{"b":[{"c":1},{"c":1,"c":2}]}}', '/a/b/1/c'],
    ['{"a":{"b":["x","\\ud800"]}}', '/a/b/1'],
    ['{"a":{"b":[{"__proto__":1}]}}', '/a/b/0/__proto__'],
    ['{"a":{"b":[[[[[[[]]]]]]]}}', '/a/b/0/0/0/0/0/0'],
  ])('%s is refused by its pointer', async (text, pointer) => {
    expect(await parsed(cut(text))).toEqual({ code: 'malformed_request', at: [pointer] });
  });

  it('holds elements of as many bytes as are allowed, and not of one more', async () => {
    const text = `{"add":{"roles":[1],"entities":[2,"${'x'.repeat(98)}",3]}}`;
    expect(await parsed(text, { elementBytes: 100 })).toEqual({ value: JSON.parse(text) });
    expect(await parsed(text, { elementBytes: 99 })).toEqual({ code: 'payload_too_large', at: ['/add/entities/1'] });
  });

  it('holds as many bytes outside of the lists as are allowed, and not one more', async () => {
    const text = `{"a":{"b":[1,2,3]},"c":"${'x'.repeat(100)}"}`;
    const outside = text.length - '1,2,3'.length;
    expect(await parsed(text, { bytes: outside })).toEqual({ value: JSON.parse(text) });
    expect(await parsed(text, { bytes: outside - 1 })).toEqual({ code: 'payload_too_large' });
  });

  it('holds as many values as are allowed, and not one more', async () => {
    const text = '{"a":{"b":[1,2,3]}}';
    expect(await parsed(text, { values: 7 })).toEqual({ value: JSON.parse(text) });
    expect(await parsed(text, { values: 6 })).toMatchObject({ code: 'invalid_request' });
  });

  it('takes and refuses what a strict body does, whatever it is', async () => {
    const fragments = fc.constantFrom(
      ...['{', '}', '[', ']', ',', ':', '"a"', '"b"', '"\\""', '1', 'null', '{"a":{"b":[', ']}}', '[1,2]', ' ', '"'],
    );
    const texts = fc.oneof(
      fc.array(fragments, { maxLength: 20 }).map((parts) => parts.join('')),
      fc.json({ maxDepth: 5 }),
    );
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        for (const body of [text, cut(text)]) {
          expect(await parsed(body)).toEqual(await outcome(() => parseStrictJson(Buffer.from(body), limits)));
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
