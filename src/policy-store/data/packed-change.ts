import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { EntriesChange } from './entries.js';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** Shorter texts are kept as they are: most changes are of one link, which compression would make longer. */
const compressedFrom = 1_024;
const gzipMagic = 0x1f;

/** A change as a database keeps it: JSON, compressed where it is long. */
export async function packChange({ added, removed }: EntriesChange): Promise<Buffer> {
  const text = Buffer.from(JSON.stringify({ added, removed }));
  return text.length < compressedFrom ? text : compress(text);
}

/** @throws Error when the content is not what `packChange` made */
export async function unpackChange(content: Buffer): Promise<EntriesChange> {
  const text = content[0] === gzipMagic ? await decompress(content) : content;
  return JSON.parse(text.toString('utf8')) as EntriesChange;
}
