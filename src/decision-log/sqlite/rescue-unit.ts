import { makeSafe } from '../../database/sqlite/database-watch.js';
import type { OpenDatabase } from '../../database/sqlite/open-database.js';
import type { DamagedRange } from './damaged-rows.js';
import type { Journal } from './journal.js';
import type { KeyIndex } from './key-index.js';
import { renameDurably } from './log-files.js';

/** The open file of the journal with its key index. */
export interface OpenUnit {
  readonly journal: Journal;
  readonly index: KeyIndex;
}

/** The result of restoring files that vanished. */
export interface Rescue {
  /** Records that could not be read back. */
  readonly damaged: readonly DamagedRange[];
  /** New names of the files that were in their places. */
  readonly aside: readonly string[];
}

/**
 * Brings back what of the open unit was removed or replaced, through the connections that still have it, and closes it: all
 * that was committed is there again at its place, and what lay there meanwhile has another name. If it fails, the journal
 * stays open, and this can be tried again. Nobody may read or write the unit meanwhile.
 *
 * @param files where the journal and the index lie
 * @param isIndexGone makes room for an index that is to be made anew
 */
export async function rescueUnit(
  { journal, index }: OpenUnit,
  [journalFile, indexFile]: readonly [OpenDatabase, OpenDatabase],
  isIndexGone: boolean,
): Promise<Rescue> {
  const vanished = journalFile.vanished();
  await index.close();
  const copy = `${journalFile.path}.rescued`;
  let damaged: readonly DamagedRange[] = [];
  if (vanished === 'database') {
    damaged = await journal.copyTo(copy);
    await makeSafe(copy);
  } else if (vanished === 'wal') await journal.writeBack();
  await journal.close();
  const aside: (string | undefined)[] = [];
  if (vanished === 'database') {
    aside.push(journalFile.clearPlace());
    renameDurably(copy, journalFile.path);
  }
  if (isIndexGone) aside.push(indexFile.clearPlace());
  return { damaged, aside: aside.filter((name) => name !== undefined) };
}
