import { existsSync, statSync } from 'node:fs';
import { isDamaged } from '../../database/sqlite/sqlite-connection.js';
import type { EncryptionKeys } from '../../encryption/encryption-keys.js';
import { EncryptedCoding } from '../encrypted-coding.js';
import type { GapCause, StoredGap } from '../log-gap.js';
import type { CertifiedKey, LogKeys } from '../proof/log-keys.js';
import { Catalog, type ClosedUnit } from './catalog.js';
import { describeClosed, openClosedReader } from './closed-unit.js';
import { codingOf } from './file-coding.js';
import { type IndexKnowledge, readIndexKnowledge } from './index-knowledge.js';
import { Journal, newJournal, newTree } from './journal.js';
import { type Beginning, isProven, NewerJournalError } from './journal-format.js';
import { readTreeEnd } from './journal-tree.js';
import {
  catalogPathOf,
  closedFiles,
  closedIndexPathOf,
  closedPathOf,
  indexPathOf,
  removeClosed,
  removeErasureDrafts,
  removeIndex,
  renameDurably,
} from './log-files.js';

export interface Recovery {
  /** The open file. */
  readonly path: string;
  readonly durability: 'NORMAL' | 'FULL';
  /** True if the journal is shipped. */
  readonly isShipped?: boolean | undefined;
  readonly keys?: (() => LogKeys | undefined) | undefined;
  /** With keys a file that is made is encrypted. */
  readonly encryption?: EncryptionKeys | undefined;
  /** Why the open file is not there, if it is not. */
  readonly cause: GapCause;
  readonly onProblem: (what: string, error: unknown) => void;
}

export interface Recovered {
  readonly journal: Journal;
  /** Undefined while no file was ever closed. */
  readonly catalog: Catalog | undefined;
  /** In order. */
  readonly closed: readonly ClosedUnit[];
  /** Whether the catalog did not know one of them, now or at an earlier start, and erasures were not carried out again since. */
  readonly hasReturned: boolean;
  /** Describes for people what is missing; undefined if nothing is. */
  readonly missing: string | undefined;
  /** Describes for people what the open file lost; undefined if it lost nothing. */
  readonly damage: string | undefined;
}

/**
 * Opens the open file and makes the catalog say what lies in the folder, whatever a crash interrupted:
 *
 * - a removal that was begun is finished;
 * - copies with which files were to be replaced are removed;
 * - an index that was to follow its journal's file follows it;
 * - a file that the catalog does not know is read and noted;
 * - where the open file is not there, one is begun behind the newest that is.
 *
 * Where a file was and is gone, a gap is noted with `cause`; where the open file ends before records of which its index
 * knows, since its WAL was lost, one with the cause `file_damaged`.
 */
export async function recoverFiles(recovery: Recovery): Promise<Recovered> {
  const { path } = recovery;
  const hasCatalog = existsSync(catalogPathOf(path)) || closedFiles(path).length > 0;
  const catalog = hasCatalog ? await Catalog.open(catalogPathOf(path), recovery.onProblem) : undefined;
  try {
    return await recover(recovery, catalog);
  } catch (error) {
    await catalog?.close();
    throw error;
  }
}

async function recover(recovery: Recovery, catalog: Catalog | undefined): Promise<Recovered> {
  const { path, durability, isShipped, keys, encryption, cause, onProblem } = recovery;
  const noted = (await catalog?.units()) ?? { units: [], removing: [] };
  for (const first of noted.removing) {
    removeClosed(path, first);
    await catalog?.remove(first);
  }
  const begun = await catalog?.begun();
  const files = closedFiles(path);
  finishRenaming(path, files, begun);
  const found: ClosedUnit[] = [];
  for (const first of files) {
    // Of a file that was to be erased from or encrypted anew when the process ended.
    removeErasureDrafts(closedPathOf(path, first));
    removeErasureDrafts(closedIndexPathOf(path, first));
    const unit = noted.units.find((known) => known.first === first) ?? (await describe(recovery, first));
    if (unit === undefined) continue;
    found.push(existsSync(closedIndexPathOf(path, first)) ? unit : { ...unit, indexedTo: 0 });
  }

  const indexed = await readIndexKnowledge(indexPathOf(path));
  const next = nextFile(path, found, begun, indexed, await endBehind(path, found.at(-1), encryption));
  let made = false;
  const begin = () => {
    made = true;
    return next.beginning;
  };
  const journal = await Journal.open(path, durability, begin, isShipped, keys?.(), encryption);
  try {
    if (made) await journal.keepKeys(await signingKeysOf(path, found.at(-1)));
    const { name } = journal.beginning;
    const closed = found.filter((unit) => unit.name === name && unit.first < journal.start);
    const unknown = closed.filter((unit) => !noted.units.includes(unit));
    for (const unit of unknown) await catalog?.addReturned(unit);
    for (const { first } of found.filter((unit) => !closed.includes(unit))) {
      onProblem(`${closedPathOf(path, first)} is not of this decision log; its records are not found`, undefined);
    }
    const gone = noted.units.filter((unit) => unit.name === name && !files.includes(unit.first));
    const gaps: StoredGap[] = gone.map(({ first, last, extent: { since, until } }) => {
      return { after: first - 1, lost: last - first + 1, since, until, cause: 'file_missing' };
    });
    const missing = gone.map(({ first }) => closedPathOf(path, first));
    if (made && journal.format !== 1 && next.lost) {
      const newest = closed.at(-1);
      const since = newest?.extent.until ?? 0;
      gaps.push({ after: newest?.last ?? 0, lost: null, since, until: Date.now(), cause });
      if (cause === 'file_missing') missing.push(path);
    }
    for (const gap of gaps) await journal.noteGap(gap, gap.cause);
    const damage = await noteLostEnd(recovery, journal, indexed, closed.at(-1)?.extent.until);
    for (const { first } of noted.units.filter(({ first }) => !closed.some((unit) => unit.first === first)))
      await catalog?.remove(first);
    await catalog?.noteBegun(journal.beginning);
    const hasReturned = (await catalog?.hasReturned()) ?? false;
    return {
      journal,
      catalog,
      closed,
      hasReturned,
      missing: missing.length === 0 ? undefined : missing.join(', '),
      damage,
    };
  } catch (error) {
    await journal.close();
    throw error;
  }
}

/**
 * Notes the records that the journal lost with its WAL, of which its index knows; says for people what was lost. New
 * records get sequences above theirs. The index counts what is not there any more, and is made anew.
 */
async function noteLostEnd(
  { path, onProblem }: Recovery,
  journal: Journal,
  indexed: IndexKnowledge | undefined,
  newestClosed = 0,
): Promise<string | undefined> {
  const { sequence: after, newest } = journal.end;
  if (indexed === undefined || indexed.writer !== journal.writer || indexed.last <= after) return undefined;
  const lost = indexed.last - after;
  // A file without a row has no time of its own.
  const since = newest === 0 ? newestClosed : newest;
  const until = Math.max(since, indexed.until ?? Date.now());
  await journal.noteLostEnd({ after, lost, since, until }, 'file_damaged');
  removeIndex(path);
  const damage = `${path} or its WAL was damaged or cut off; ${lost} decision records behind sequence ${after} are lost`;
  onProblem(damage, undefined);
  return damage;
}

/** A crash between the two renamings of a turn leaves the index behind. */
function finishRenaming(path: string, files: readonly number[], begun: Pick<Beginning, 'start'> | undefined): void {
  const newest = files.at(-1);
  if (newest === undefined || existsSync(path) || (begun !== undefined && begun.start !== newest)) return;
  const [from, to] = [indexPathOf(path), closedIndexPathOf(path, newest)];
  if (existsSync(from) && !existsSync(to)) renameDurably(from, to);
}

/** A closed file that cannot be read stays where it is, and its records are not found. */
async function describe({ path, onProblem }: Recovery, first: number): Promise<ClosedUnit | undefined> {
  try {
    return await describeClosed(path, first);
  } catch (error) {
    if (error instanceof NewerJournalError) throw error;
    onProblem(`${closedPathOf(path, first)} cannot be read; its decision records are not found`, error);
    return undefined;
  }
}

/** What the next file takes over from the newest closed one. */
type EndOfFile = Pick<Beginning, 'tree' | 'indexKey'>;

/** Where the tree has got to at the end of the newest closed file, if a file has to be made behind it. */
async function endBehind(
  path: string,
  newest: ClosedUnit | undefined,
  encryption: EncryptionKeys | undefined,
): Promise<EndOfFile> {
  if (newest === undefined || existsSync(path)) return {};
  const connection = await openClosedReader(path, newest.first, false);
  try {
    const tree = await readTreeEnd(connection, newest.format);
    if (encryption === undefined) return { tree };
    const coding = await codingOf(connection, encryption, 'journal', closedPathOf(path, newest.first));
    return { tree, indexKey: coding instanceof EncryptedCoding ? coding.indexKey : undefined };
  } finally {
    await connection.close();
  }
}

/** How an open file has to begin if there is none, and whether records are lost when there is none. */
function nextFile(
  path: string,
  closed: readonly ClosedUnit[],
  begun: Pick<Beginning, 'name' | 'writer' | 'start'> | undefined,
  indexed: IndexKnowledge | undefined,
  { tree, indexKey }: EndOfFile,
): { beginning: Beginning; lost: boolean } {
  const newest = closed.at(-1);
  const isThere = existsSync(path) && statSync(path).size > 0;
  const floor = Math.max(0, ...closed.map(({ extent }) => extent.idUntil));
  const start = (newest?.last ?? 0) + 1;
  if (begun === undefined && newest === undefined && indexed === undefined) {
    return { beginning: newJournal(), lost: false };
  }
  // A turn ended between closing one file and beginning the next.
  if (begun !== undefined && (begun.start === newest?.first || (isThere && begun.start === start))) {
    return {
      beginning: { name: begun.name, writer: begun.writer, start, floor, tree: tree ?? newTree(), indexKey },
      lost: false,
    };
  }
  // Nobody knows how far the numbers of the file went that is gone, so they are continued under another writer.
  const { name, writer } = newJournal();
  return {
    beginning: {
      name: begun?.name ?? newest?.name ?? name,
      writer,
      start: Math.max(start, begun?.start ?? 0, (indexed?.last ?? 0) + 1),
      floor: Math.max(floor, indexed?.until ?? 0),
      // Nor how far its tree went.
      tree: newTree(),
      indexKey,
    },
    // An index with an owner is that of a journal that was begun.
    lost: !isThere || indexed?.writer !== undefined,
  };
}

/** The keys that signed in a closed file and before it; none where it cannot be read. */
async function signingKeysOf(path: string, unit: ClosedUnit | undefined): Promise<CertifiedKey[]> {
  if (unit === undefined || !isProven(unit.format)) return [];
  try {
    const connection = await openClosedReader(path, unit.first, false);
    try {
      const rows = await connection.query<{ key: string; certificates: string }>(
        'SELECT key, certificates FROM journal.signing_key',
      );
      return rows.map(({ key, certificates }) => ({ key, certificates: JSON.parse(certificates) as string[] }));
    } finally {
      await connection.close();
    }
  } catch (error) {
    if (isDamaged(error)) return [];
    throw error;
  }
}
