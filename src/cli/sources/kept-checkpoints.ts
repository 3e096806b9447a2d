/** Reads checkpoints that were kept elsewhere, in any form in which they leave the service. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { UsageError } from '../exit-code.js';

/** A note, or what is wrong where one should be. */
export type KeptNote =
  | { readonly note: string; readonly place: string; readonly fault?: undefined }
  | { readonly note?: undefined; readonly place: string; readonly fault: string };

/**
 * Reads a file, or all files of a folder: a page of `GET /v1/decisions/checkpoints`, a list of its items or of notes, one note as it is, what
 * `VERDICT_CHECKPOINT_SINK` has (lines or objects), or the log of a process.
 *
 * @throws UsageError for one that cannot be read, or holds nothing of these
 */
export async function readKeptCheckpoints(path: string): Promise<KeptNote[]> {
  try {
    const isFolder = (await stat(path)).isDirectory();
    const notes: KeptNote[] = isFolder ? [] : notesIn(await readFile(path, 'utf8'), path);
    for (const name of isFolder ? (await readdir(path)).sort() : []) {
      const found = notesIn(await readFile(join(path, name), 'utf8'), join(path, name));
      // Their chain is one over all files.
      for (const each of found) notes.push({ ...each, place: each.fault === undefined ? basename(path) : each.place });
    }
    if (notes.length === 0) throw nothingIn(path);
    return notes;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

function notesIn(text: string, path: string): KeptNote[] {
  const place = basename(path);
  const read = json(text);
  if (read === undefined) {
    return /^verdict(\/| fleet\n)/.test(text) ? [{ note: text, place }] : notesInLines(text, path);
  }
  const items = Array.isArray(read) ? read : (read as { items?: unknown } | null)?.items;
  const list = Array.isArray(items) ? items : [read];
  if (list.length === 0) return fail(path);
  return list.map((item) => ({ note: noteOf(item) ?? fail(path), place }));
}

/**
 * Lines of JSON. Those of a log that are about something else are passed over, and beside them what cannot be parsed: a
 * process also prints where it listens, and a crash prints a stack.
 */
function notesInLines(text: string, path: string): KeptNote[] {
  const place = basename(path);
  const lines = text.split('\n').map((line) => ({ line, item: json(line) }));
  const isLog = lines.some(({ item }) => isOfLog(item));
  const notes = lines.flatMap(({ line, item }, i): KeptNote[] => {
    if (line.trim() === '') return [];
    const note = noteOf(item);
    if (note !== undefined) return [{ note, place }];
    // A full disk, or a kill, cut it off, and it was written again.
    const isCutOff = item === undefined && lines[i + 1]?.line.startsWith(line);
    if (isOfLog(item) || (isLog && item === undefined) || isCutOff) return [];
    return [{ place, fault: `line ${i + 1} cannot be read` }];
  });
  const isOurs = isLog || text.startsWith('{') || notes.some(({ note }) => note !== undefined);
  return isOurs ? notes : fail(path);
}

function isOfLog(item: unknown): boolean {
  return typeof (item as { level?: unknown } | null | undefined)?.level === 'number';
}

function fail(path: string): never {
  throw nothingIn(path);
}

function nothingIn(path: string): UsageError {
  return new UsageError(
    `${path} holds no checkpoints`,
    'it must be what GET /v1/decisions/checkpoints answers, a signed note, or what VERDICT_CHECKPOINT_SINK has',
  );
}

function noteOf(item: unknown): string | undefined {
  const note = typeof item === 'string' ? item : (item as { note?: unknown } | null | undefined)?.note;
  return typeof note === 'string' ? note : undefined;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
