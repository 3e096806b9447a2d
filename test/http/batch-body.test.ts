import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseExactJson } from '../../src/core/exact-json.js';
import { VerdictError } from '../../src/errors.js';
import { JsonScan } from '../../src/http/json-scan.js';
import { type BatchItem, parseBatchBody, parseStrictJson } from '../../src/http/strict-json.js';

const limits = { depth: 8, values: 1_000, items: 10_000, bytes: 1_000_000 };

/** The body as it is once every item is parsed; of a refused one the error's code and pointers. */
async function parsed(text: string, own: Partial<typeof limits> = {}): Promise<unknown> {
  try {
    const body = (await parseBatchBody(Buffer.from(text), { ...limits, ...own }, 'requests')) as Record<
      string,
      unknown
    >;
    if (!Array.isArray(body?.requests)) return body;
    const requests = (body.requests as BatchItem[]).map((item) => item.value());
    return { ...body, requests: requests.map((item) => (item instanceof VerdictError ? item.code : item)) };
  } catch (error) {
    if (!(error instanceof VerdictError)) throw error;
    return `${error.code} ${error.extra.errors?.map(({ pointer }) => pointer) ?? ''}`;
  }
}

describe('the body of a batch', () => {
  it.each([
    '{"requests":[]}',
    ' { "requests" : [ ] } ',
    '{"defaults":{"requests":[1,2]},"requests":[{"a":[1,{"b":"],["}]},2,"x,y",null,[]]}',
    '{"requests":[1],"defaults":{"a":"\\"requests\\":["}}',
    '{"requests":{"a":[1,2]}}',
    '{"a":{"requests":[1,2]}}',
    '{"a":"requests","b":[1,2]}',
    '{"r\\u0065quests":["é",{"ü":"\\ud83d\\ude00"}]}',
    '[{"requests":[1]}]',
    '"requests"',
    'null',
  ])('%s is what JSON.parse makes of it', async (text) => {
    expect(await parsed(text)).toEqual(JSON.parse(text));
  });

  it.each([
    ['{"requests":[1,]}', '/requests/1'],
    ['{"requests":[,]}', '/requests/0'],
    ['{"requests":[,1]}', '/requests/0'],
    ['{"requests":[{]}', ''],
    ['{"requests":[1 2]}', '/requests/0'],
    ['{"requests":[1}}', ''],
    ['{"requests":[1]', ''],
    ['{"requests":[1', ''],
    ['{"requests":[1]]}', ''],
    ['{"requests":[1],}', ''],
    ['{"requests" [1]}', ''],
    ['{"requests":[1]}{"requests":[2]}', ''],
    ['["requests":[1]]', ''],
    ['', ''],
  ])('%s is refused as a whole', async (text, pointer) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(await parsed(text)).toBe(`malformed_request ${pointer}`);
  });

  it.each([
    ['{"requests":[{"a":1},{"b":{"c":1,"c":2}}]}', '/requests/1/b/c'],
    ['{"requests":[],"requests":[]}', '/requests'],
    ['{"requests":[{"__proto__":1}]}', '/requests/0/__proto__'],
    ['{"requests":[1,"\\ud800"]}', '/requests/1'],
    ['{"requests":[[[[[[[[[]]]]]]]]]}', '/requests/0/0/0/0/0/0/0'],
  ])('%s is refused by its pointer', async (text, pointer) => {
    expect(await parsed(text)).toBe(`malformed_request ${pointer}`);
  });

  it('holds items of as many bytes as are allowed, and of one more the item alone is refused', async () => {
    const text = `{"requests":["${'x'.repeat(98)}",2,"${'x'.repeat(99)}",4]}`;
    expect(await parsed(text, { bytes: 100 })).toEqual({
      requests: ['x'.repeat(98), 2, 'payload_too_large', 4],
    });
  });

  it('holds as much outside the list as in an item, blanks not counted', async () => {
    const text = (bytes: number) => `{"requests":[],${' '.repeat(1_000)}"a":"${'x'.repeat(bytes - 20)}"}`;
    expect(await parsed(text(100), { bytes: 100 })).toHaveProperty('a');
    expect(await parsed(text(101), { bytes: 100 })).toBe('payload_too_large ');
  });

  it.each(['1', '[]', '{"a":1}', '[{"a":[[]]}]'])(
    'holds items of as many values as are allowed, whatever they are: %s',
    async (value) => {
      const many = `[${Array(600).fill(value)}]`;
      const some = `[${Array(80).fill(value)}]`;
      const text = `{"requests":[${some},${many},${some},${many},3],"defaults":{"d":1}}`;
      const few = JSON.parse(some);
      expect(await parsed(text, { values: 500 })).toEqual({
        requests: [few, 'invalid_request', few, 'invalid_request', 3],
        defaults: { d: 1 },
      });
    },
  );

  it('holds as many values outside the list as are allowed', async () => {
    const text = (count: number) => `{"requests":[[1,2,3]],"a":[${Array(count).fill(1)}]}`;
    expect(await parsed(text(6), { values: 10 })).toHaveProperty('a');
    expect(await parsed(text(7), { values: 10 })).toBe('invalid_request ');
  });

  it('keeps one item more than is allowed and no other', async () => {
    const text = (count: number) => `{"requests":[${Array(count).fill(1)}]}`;
    expect(await parsed(text(5), { items: 5 })).toEqual({ requests: [1, 1, 1, 1, 1] });
    expect(await parsed(text(500_000), { items: 5 })).toEqual({ requests: [1, 1, 1, 1, 1, 1] });
  });

  it('is what it would be if it were parsed as a whole, whatever it holds', () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.json({ maxDepth: 3 })), fc.json({ maxDepth: 3 }), async (items, other) => {
        const text = `{"x":${other},"requests":[${items}],"y":${other}}`;
        fc.pre(!text.includes('__proto__'));
        expect(await parsed(text)).toEqual(parseExactJson(text));
      }),
      { numRuns: 300 },
    ));
});

describe('a scan', () => {
  it('finds the same a byte at a time as at once', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string({ unit: fc.constantFrom(...'{}[],:"\\u0d8ce1a ') })), (text) => {
        const body = Buffer.from(text);
        const list = { member: 'a', limit: 3 };
        const scans = [1, 7, body.length].map((bytes) => {
          const scan = new JsonScan(body, { depth: 5, values: 20 }, list);
          for (let n = 0; n <= body.length && !scan.run(bytes); n++);
          return [scan.fault, scan.elements, scan.listStart, scan.listEnd];
        });
        expect(scans[0]).toEqual(scans[2]);
        expect(scans[1]).toEqual(scans[2]);
      }),
      { numRuns: 3_000 },
    );
  });

  it('names members that are duplicates however many share a hash bucket or an escape', () => {
    const names = Array.from({ length: 400 }, (_, n) => `"n${n}":0`);
    for (const again of ['"n0"', '"n399"', '"\\u006e17"']) {
      expect(() => parseStrictJson(Buffer.from(`{${names},${again}:1}`), limits)).toThrow('duplicate member name');
    }
  });
});
