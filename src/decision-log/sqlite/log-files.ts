/**
 * Where the log's files lie, beside the service's database `data/verdict.sqlite`:
 *
 *     data/verdict.decisions.sqlite                    the open file of the journal
 *     data/verdict.decisions.index.sqlite              its key index
 *     data/verdict.decisions.0000000000000001.sqlite   a closed file, by the sequence of its first record
 *     data/verdict.index.0000000000000001.sqlite       its key index
 *     data/verdict.catalog.sqlite                      what the closed files hold, so that few need be opened
 *
 * So commits and what else the service writes do not wait for each other, and a damaged log takes nothing else with it.
 */
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, parse } from 'node:path';

/** The open file of the journal beside the service's database: `data/verdict.sqlite` → `data/verdict.decisions.sqlite`. */
export function decisionLogPath(databasePath: string): string {
  return withSuffix(databasePath, 'decisions');
}

/** The key index of the open file. */
export function indexPathOf(path: string): string {
  return withSuffix(path, 'index');
}

/** A closed file of the journal; `path` is that of the open one, `first` the sequence of its first record. */
export function closedPathOf(path: string, first: number): string {
  return withSuffix(path, digits(first));
}

export function closedIndexPathOf(path: string, first: number): string {
  return withSuffix(besideJournal(path, 'index'), digits(first));
}

export function catalogPathOf(path: string): string {
  return besideJournal(path, 'catalog');
}

/** The first sequences of all closed files, in order. */
export function closedFiles(path: string): number[] {
  const { dir, name, ext } = parse(path);
  const names = existsSync(dir === '' ? '.' : dir) ? readdirSync(dir === '' ? '.' : dir) : [];
  return names
    .filter((file) => file.startsWith(`${name}.`) && file.endsWith(ext))
    .map((file) => file.slice(name.length + 1, file.length - ext.length))
    .filter((middle) => /^\d{16}$/.test(middle))
    .map(Number)
    .sort((a, b) => a - b);
}

/** All files of the journal, the open one first. */
export function filesOfJournal(path: string): string[] {
  return [path, ...closedFiles(path).map((first) => closedPathOf(path, first))];
}

/** All files that find and count what is in the journal. */
export function filesOfIndex(path: string): string[] {
  const closed = closedFiles(path).map((first) => closedIndexPathOf(path, first));
  return [indexPathOf(path), catalogPathOf(path), ...closed];
}

/** Removes a closed file with its index; either may be gone. */
export function removeClosed(path: string, first: number): void {
  removeErasureDrafts(closedPathOf(path, first));
  removeErasureDrafts(closedIndexPathOf(path, first));
  rmSync(closedPathOf(path, first), { force: true });
  removeClosedIndex(path, first);
}

/** Removes the index of a closed file, and what there is of one that is built. */
export function removeClosedIndex(path: string, first: number): void {
  const index = closedIndexPathOf(path, first);
  const drafts = ['', '-wal', '-shm'].map((suffix) => draftOf(index) + suffix);
  for (const file of [index, ...drafts]) rmSync(file, { force: true });
}

/** The names of what an erasure makes beside a file: a copy that is rewritten, and what takes the file's place. */
export function erasureDraftsOf(path: string): { readonly work: string; readonly made: string } {
  return { work: `${path}.erasing`, made: `${path}.erased` };
}

/** Removes what an erasure that did not get to its end left beside a file. */
export function removeErasureDrafts(path: string): void {
  const { work, made } = erasureDraftsOf(path);
  for (const draft of [work, made]) for (const suffix of ['', '-wal', '-shm']) rmSync(draft + suffix, { force: true });
}

/** Removes the key index of the open file. No connection may have it open. */
export function removeIndex(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(indexPathOf(path) + suffix, { force: true });
}

/** The name of an index while it is built. */
export function draftOf(indexPath: string): string {
  return `${indexPath}.new`;
}

/** Renames the database and what SQLite keeps beside it; returns the new name of the database. */
export function setFilesAside(path: string): string {
  const time = new Date().toISOString().replace(/[-:]/g, '').replace('.', '_');
  const name = `${path}.damaged-${time}`;
  // SQLite looks for `-wal` beside the database by its name, so the set stays readable to tools that repair.
  for (const suffix of ['-wal', '-shm', '']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, name + suffix);
  }
  return name;
}

/** Renames a file so that its new name survives a power loss. */
export function renameDurably(from: string, to: string): void {
  renameSync(from, to);
  const directory = openSync(dirname(to), 'r');
  fsyncSync(directory);
  closeSync(directory);
}

function digits(first: number): string {
  return String(first).padStart(16, '0');
}

/** `a/b.decisions.sqlite`, `catalog` → `a/b.catalog.sqlite` */
function besideJournal(path: string, kind: string): string {
  const { dir, name, ext } = parse(path);
  return join(dir, `${name.replace(/\.decisions$/, '')}.${kind}${ext}`);
}

/** `a/b.sqlite`, `index` → `a/b.index.sqlite` */
function withSuffix(path: string, suffix: string): string {
  const { dir, name, ext } = parse(path);
  return join(dir, `${name}.${suffix}${ext}`);
}
