import { stat } from 'node:fs/promises';

/** The size of databases in bytes, their write-ahead logs included. A file that is not there counts as 0. */
export async function sizeOfDatabases(paths: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const path of paths) {
    for (const file of [path, `${path}-wal`]) bytes += (await stat(file).catch(() => undefined))?.size ?? 0;
  }
  return bytes;
}
