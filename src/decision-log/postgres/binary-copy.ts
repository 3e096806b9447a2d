/**
 * The binary format of `COPY … FROM STDIN`: a tenth of the time that statements with arrays of texts take.
 * https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
 */

/** What a column of `COPY` holds. A `date` is given as days since 1970, a `text` as such or as its bytes in UTF-8. */
export type CopyType = 'int4' | 'int8' | 'date' | 'text' | 'bytea';
export type CopyValue = number | string | Buffer | null;

const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
const trailer = Buffer.from([0xff, 0xff]);
/** PostgreSQL counts days from 2000-01-01. */
const daysBefore2000 = 10_957;

/** Bytes of a last column from which on it is a chunk of its own. */
const largeBytes = 4_096;

/** The data of one `COPY` with columns of these types. Bytes that are large and stand last in a row are not copied. */
export async function* copyData(
  types: readonly CopyType[],
  rows: Iterable<readonly CopyValue[]> | AsyncIterable<readonly CopyValue[]>,
): AsyncGenerator<Buffer> {
  yield header;
  for await (const row of rows) {
    const last = row.at(-1)!;
    const isLarge = last instanceof Buffer && last.length >= largeBytes;
    yield copyRow(types, row, isLarge);
    if (isLarge) yield last;
  }
  yield trailer;
}

/** @param isCut leaves the content of the last column out, but not its size */
function copyRow(types: readonly CopyType[], row: readonly CopyValue[], isCut: boolean): Buffer {
  const sizes = types.map((type, i) => sizeOf(type, row[i]!));
  const left = isCut ? sizes.at(-1)! : 0;
  const bytes = Buffer.allocUnsafe(2 - left + sizes.reduce((sum, size) => sum + 4 + size, 0));
  let at = bytes.writeInt16BE(types.length, 0);
  for (const [i, type] of types.entries()) {
    const value = row[i]!;
    if (value === null) {
      at = bytes.writeInt32BE(-1, at);
      continue;
    }
    at = bytes.writeInt32BE(sizes[i]!, at);
    if (isCut && i === types.length - 1) break;
    at = write(bytes, type, value, at);
  }
  return bytes;
}

function sizeOf(type: CopyType, value: CopyValue): number {
  if (value === null) return 0;
  switch (type) {
    case 'int4':
    case 'date':
      return 4;
    case 'int8':
      return 8;
    case 'text':
      return Buffer.byteLength(value as string | Buffer);
    case 'bytea':
      return (value as Buffer).length;
    default:
      return type satisfies never;
  }
}

function write(bytes: Buffer, type: CopyType, value: Exclude<CopyValue, null>, at: number): number {
  switch (type) {
    case 'int4':
      return bytes.writeInt32BE(value as number, at);
    case 'date':
      return bytes.writeInt32BE((value as number) - daysBefore2000, at);
    case 'int8':
      return bytes.writeBigInt64BE(BigInt(value as number), at);
    case 'text':
      return at + (typeof value === 'string' ? bytes.write(value, at) : (value as Buffer).copy(bytes, at));
    case 'bytea':
      return at + (value as Buffer).copy(bytes, at);
    default:
      return type satisfies never;
  }
}
