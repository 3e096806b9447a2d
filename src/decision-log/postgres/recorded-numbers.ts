import { Turns } from '../../turns/turns.js';
import type { LogPlace } from '../local/log-place.js';
import { addRecordedNumbers } from '../local/recorded-numbers.js';
import { inSnapshot, type SnapshotSource } from './log-snapshot.js';
import { readDays } from './row-walk.js';
import { readRows } from './shared-record-feed.js';

/** Adds the numbers of an instance's records that a writer has shipped, behind a place. */
export async function addSharedNumbers(
  source: SnapshotSource,
  instance: string,
  { writer, sequence }: LogPlace,
  numbers: Set<number>,
): Promise<void> {
  const turns = new Turns();
  for (let from = sequence; ; ) {
    const rows = await inSnapshot(source, async (transaction) =>
      readRows(transaction, await readDays(transaction), writer, from),
    );
    for (const row of rows) {
      if (turns.isOver) await turns.next();
      addRecordedNumbers(instance, row, numbers);
      from = Math.max(from, row.first + row.count - 1);
    }
    if (rows.length === 0) return;
  }
}
