import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { RoleTuple } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import { Turns } from '../../turns/turns.js';
import type { SetRevisions } from '../set-revisions.js';
import type { CopiedKind } from '../spool-copy.js';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** The live data of a set as it served. */
export interface CopiedData {
  readonly name: string;
  readonly revisions: SetRevisions;
  readonly roles: () => Iterable<RoleTuple>;
  readonly entities: () => Iterable<StoredEntity>;
}

/** Most entries in a line of the copy. */
const entriesInLine = 500;

/**
 * The live data that sets had last, in a `SpoolCopy`. What follows the header is compressed; lines of JSON, each a list of
 * role links (lists) and entities (objects).
 */
export const copiedData: CopiedKind<CopiedData> = Object.freeze({
  format: 'live data',
  title: 'live data',
  suffix: 'data',
  pack: async ({ name, revisions, roles, entities }: CopiedData) => ({
    name,
    header: { revisions },
    body: await compress(Buffer.concat(await linesOf(roles(), entities()))),
  }),
  unpack: async (name: string, header: object, body: Buffer): Promise<CopiedData> => {
    // Sound: what was written is what `pack` gave, or its digest would differ.
    const { revisions } = header as { readonly revisions: SetRevisions };
    const { roles, entities } = await entriesIn(await decompress(body));
    return { name, revisions, roles: () => roles, entities: () => entities };
  },
});

async function linesOf(roles: Iterable<RoleTuple>, entities: Iterable<StoredEntity>): Promise<Buffer[]> {
  const turns = new Turns();
  const lines: Buffer[] = [];
  let line: (RoleTuple | StoredEntity)[] = [];
  for (const list of [roles, entities]) {
    for (const entry of list) {
      line.push(entry);
      if (line.length < entriesInLine) continue;
      lines.push(Buffer.from(`${JSON.stringify(line)}\n`));
      line = [];
      if (turns.isOver) await turns.next();
    }
  }
  if (line.length > 0) lines.push(Buffer.from(`${JSON.stringify(line)}\n`));
  return lines;
}

async function entriesIn(text: Buffer): Promise<{ roles: RoleTuple[]; entities: StoredEntity[] }> {
  const turns = new Turns();
  const roles: RoleTuple[] = [];
  const entities: StoredEntity[] = [];
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from);
    for (const entry of JSON.parse(text.toString('utf8', from, end)) as (RoleTuple | StoredEntity)[]) {
      if (Array.isArray(entry)) roles.push(entry as RoleTuple);
      else entities.push(entry as StoredEntity);
    }
    from = end + 1;
    if (turns.isOver) await turns.next();
  }
  return { roles, entities };
}
