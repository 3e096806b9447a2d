import { expect, it } from 'vitest';
import { type CopyType, type CopyValue, copyData } from '../../../src/decision-log/postgres/binary-copy.js';

const types: readonly CopyType[] = ['int4', 'bytea', 'text'];

async function chunksOf(columns: readonly CopyType[], rows: readonly (readonly CopyValue[])[]): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of copyData(columns, rows)) chunks.push(chunk);
  return chunks;
}

for (const length of [0, 4_095, 4_096, 300_000]) {
  it(`a text of ${length} bytes is the same data, given as bytes and as a text`, async () => {
    const text = 'ä'.repeat(Math.floor(length / 2)) + (length % 2 === 0 ? '' : 'x');
    const bytes = Buffer.from(text);
    const rows = (last: string | Buffer) => [1, 2, 3].map((n) => [n, Buffer.from([n]), last]);
    const given = await chunksOf(types, rows(bytes));
    expect(Buffer.concat(given).equals(Buffer.concat(await chunksOf(types, rows(text))))).toBe(true);
    // Large ones are not copied.
    expect(given.filter((chunk) => chunk === bytes)).toHaveLength(bytes.length >= 4_096 ? 3 : 0);
  });
}

it('a last column without a value has its place', async () => {
  const [, row] = await chunksOf(['int4', 'text'], [[7, null]]);
  expect(row!.toString('hex')).toBe('0002' + '00000004' + '00000007' + 'ffffffff');
});
