/** What the retention removes while somebody reads all of a log: the reader must say that it is missing. */
import { isDamaged } from '../../database/sqlite/sqlite-connection.js';
import { type GapRange, gapsWithin, type LogGap } from '../log-gap.js';
import type { LogView } from './log-view.js';

/** The oldest row that is kept; its time in milliseconds since 1970. */
export interface OldestRow {
  readonly first: number;
  readonly since: number;
}

/** Undefined where there is none that can be read. */
export async function oldestRow(view: LogView): Promise<OldestRow | undefined> {
  for (const unit of view.units.toReversed()) {
    try {
      const rows = await view.read(unit, (connection) =>
        connection.query<OldestRow>('SELECT first, since FROM journal.journal ORDER BY first LIMIT 1'),
      );
      const row = rows?.[0];
      if (row !== undefined) return row;
    } catch (error) {
      // What is damaged is a gap of its own.
      if (!isDamaged(error)) throw error;
    }
  }
  return undefined;
}

/**
 * The gap of what was removed since `before` was read of the same view. How much of it had been read already nobody can count; the
 * oldest is read last.
 */
export async function removedSince(view: LogView, before: OldestRow | undefined, range: GapRange): Promise<LogGap[]> {
  if (before === undefined) return [];
  const now = (await oldestRow(view)) ?? { first: view.end + 1, since: view.units[0]?.extent?.until ?? Date.now() };
  if (now.first <= before.first) return [];
  const { first, since } = before;
  return gapsWithin([{ after: first - 1, lost: null, since, until: now.since, cause: 'removed' }], range);
}
