import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { RoleTuple } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import { Turns } from '../../turns/turns.js';
import type { EntriesChange } from './entries.js';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** Shorter texts are kept as they are: most changes are of one link, which compression would make longer. */
const compressedFrom = 1_024;
const gzipMagic = 0x1f;
/** Entries of one line, so that it is read and written in little time. */
const entriesInLine = 200;

type Part = keyof EntriesChange;
type Line = { readonly [part in Part]?: readonly (RoleTuple | StoredEntity)[] };

/**
 * A change as a database keeps it: lines of JSON, each with some of what it adds or removes, role links as lists and
 * entities as objects; compressed where it is long.
 *
 *     {"added":[["g","user:ana","editor"],{"type":"user","id":"ana","attributes":{}}]}
 */
export async function packChange(change: EntriesChange): Promise<Buffer> {
  const turns = new Turns();
  const lines: Buffer[] = [];
  for (const part of ['added', 'removed'] as const) {
    const { roles, entities } = change[part];
    for (const list of [roles, entities]) {
      for (let from = 0; from < list.length; from += entriesInLine) {
        const line: Line = { [part]: list.slice(from, from + entriesInLine) };
        lines.push(Buffer.from(`${JSON.stringify(line)}\n`));
        if (turns.isOver) await turns.next();
      }
    }
  }
  const text = Buffer.concat(lines);
  return text.length < compressedFrom ? text : compress(text);
}

/** @throws Error when the content is not what `packChange` made */
export async function unpackChange(content: Buffer): Promise<EntriesChange> {
  const text = content[0] === gzipMagic ? await decompress(content) : content;
  const turns = new Turns();
  const change = { added: noEntries(), removed: noEntries() };
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from);
    for (const [part, entries] of Object.entries(JSON.parse(text.toString('utf8', from, end)) as Line)) {
      const { roles, entities } = change[part as Part];
      for (const entry of entries) {
        if (Array.isArray(entry)) roles.push(entry as RoleTuple);
        else entities.push(entry as StoredEntity);
      }
    }
    from = end + 1;
    if (turns.isOver) await turns.next();
  }
  return change;
}

function noEntries(): { roles: RoleTuple[]; entities: StoredEntity[] } {
  return { roles: [], entities: [] };
}
