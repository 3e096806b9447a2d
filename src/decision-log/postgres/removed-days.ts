/** What the retention removes while somebody reads all of the shared log: the reader must say that it is missing. */
import { gapsWithin, type LogGap } from '../log-gap.js';
import { inSnapshot, type SnapshotSource } from './log-snapshot.js';
import { readDays } from './row-walk.js';

const dayMs = 86_400_000;

/**
 * The gap of the days that were there and are not now. How much of them had been read nobody can count; the oldest are read last.
 *
 * @param before what `readDays` gave before the reading
 * @param times that were read: milliseconds since 1970, `to` excluded
 */
export async function removedDays(
  source: SnapshotSource,
  before: readonly string[],
  times: { readonly from: number | undefined; readonly to: number | undefined },
): Promise<LogGap[]> {
  const now = new Set(await inSnapshot(source, readDays));
  const removed = before.filter((day) => !now.has(day)).map((day) => Date.parse(day));
  if (removed.length === 0) return [];
  const [since, until] = [Math.min(...removed), Math.max(...removed) + dayMs - 1];
  return gapsWithin([{ after: 0, lost: null, since, until, cause: 'removed' }], { from: 0, before: 1, times });
}
