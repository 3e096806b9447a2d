import { existsSync, renameSync } from 'node:fs';
import { join, parse } from 'node:path';
import { Journal } from './journal.js';
import { KeyIndex, openReader } from './key-index.js';
import { isDamaged, type SqliteConnection } from './sqlite-connection.js';

/** The log's two files (journal and key index) with their three connections: writer, background, reader. */
export interface LogFiles {
  readonly journal: Journal;
  readonly index: KeyIndex;
  readonly reader: SqliteConnection;
}

/** Opens the files, makes those that are not there, and builds an index that is damaged anew. */
export async function openLogFiles(path: string, durability: 'NORMAL' | 'FULL'): Promise<LogFiles> {
  const indexPath = indexPathOf(path);
  const journal = await Journal.open(path, durability);
  let index: KeyIndex | undefined;
  try {
    index = await KeyIndex.open(indexPath, path, journal.writer, journal.end.sequence);
    return { journal, index, reader: await openReader(indexPath, path) };
  } catch (error) {
    await index?.close();
    await journal.close();
    throw error;
  }
}

export async function closeLogFiles({ journal, index, reader }: LogFiles): Promise<void> {
  await reader.close();
  await index.close();
  await journal.close();
}

/**
 * Opens the files like `openLogFiles`; a journal that is damaged is set aside first, with its WAL, and a new one is
 * begun. Nothing is ever written over it. `setAside` hears its new name.
 */
export async function openOrReplaceLogFiles(
  path: string,
  durability: 'NORMAL' | 'FULL',
  setAside: (name: string, error: unknown) => void,
): Promise<LogFiles> {
  try {
    return await openLogFiles(path, durability);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    setAside(setFilesAside(path), error);
    return openLogFiles(path, durability);
  }
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

/**
 * The log's file beside the service's database: `sqlite:data/verdict.sqlite` → `data/verdict.decisions.sqlite`. So that
 * commits and what else the service writes do not wait for each other, and a damaged log takes nothing else with it.
 */
export function decisionLogPath(url: string): string {
  if (!url.startsWith('sqlite:')) throw new Error(`not a sqlite: URL: ${url}`);
  return withSuffix(url.slice('sqlite:'.length), 'decisions');
}

export function indexPathOf(path: string): string {
  return withSuffix(path, 'index');
}

/** `a/b.sqlite`, `index` → `a/b.index.sqlite` */
function withSuffix(path: string, suffix: string): string {
  const { dir, name, ext } = parse(path);
  return join(dir, `${name}.${suffix}${ext}`);
}
