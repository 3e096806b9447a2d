import { isDamaged, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { GroupCoding } from '../group-coding.js';
import { type Hold, overlaps } from '../holds/hold.js';
import { encodeKey } from '../record-keys.js';
import type { UnitView } from './log-view.js';

type ReadUnit = <T>(
  first: number,
  work: (connection: SqliteConnection, coding: GroupCoding) => Promise<T>,
) => Promise<T | undefined>;

/**
 * Which files and rows of the journal holds keep. What a file has does not change while it is kept, so each is asked once
 * for each hold.
 */
export class HeldRecords {
  /** By hold and file (and the sequence that is looked up to): the first sequence of the first group that is held. */
  private known = new Map<string, number | undefined>();

  /** @param read reads a file of the journal, attached as `journal`; returns undefined where it is gone */
  constructor(private readonly read: ReadUnit) {}

  /**
   * The first sequence of the oldest group with a record that one of the holds keeps; undefined where none does. Of a file
   * that cannot be read or decrypted, or whose rows do not say what they hold (format 1), all is held that may be.
   *
   * @param below groups from this sequence on are left out
   */
  async firstIn(
    unit: Pick<UnitView, 'first' | 'format' | 'extent'>,
    holds: readonly Hold[],
    below = Number.MAX_SAFE_INTEGER,
  ): Promise<number | undefined> {
    const { since, until } = unit.extent ?? { since: 0, until: Number.MAX_SAFE_INTEGER };
    let first: number | undefined;
    for (const hold of holds) {
      if (!overlaps(hold, since, until)) continue;
      const key = `${hold.id} ${unit.first} ${below}`;
      if (!this.known.has(key)) this.known.set(key, await this.look(unit, hold, below));
      const found = this.known.get(key);
      if (found !== undefined) first = Math.min(first ?? found, found);
    }
    return first;
  }

  /** Forgets what is known of holds that are not in force any more, and of files that are gone. */
  keepOnly(holds: readonly Hold[], files: readonly number[]): void {
    const ids = new Set(holds.map(({ id }) => id));
    for (const key of this.known.keys()) {
      const [id, first, below] = key.split(' ');
      const isOld = below !== String(Number.MAX_SAFE_INTEGER) || !files.includes(Number(first));
      if (isOld || !ids.has(id!)) this.known.delete(key);
    }
  }

  private async look(
    { first, format }: Pick<UnitView, 'first' | 'format'>,
    hold: Hold,
    below: number,
  ): Promise<number | undefined> {
    if (format === 1) return first;
    try {
      return await this.read(first, async (connection, coding) => {
        const cannotTell = coding.locked !== undefined && hold.policySets !== undefined;
        return cannotTell ? first : firstHeld(connection, coding, hold, below);
      });
    } catch (error) {
      if (!isDamaged(error)) throw error;
      return first;
    }
  }
}

async function firstHeld(
  connection: SqliteConnection,
  coding: GroupCoding,
  { policySets, from, to }: Hold,
  below: number,
): Promise<number | undefined> {
  const keys = policySets?.map((set) => coding.maskKeys(encodeKey('policySet', set))) ?? [];
  const hasSet = keys.length === 0 ? '' : `AND (${keys.map(() => 'instr(keys, ?) > 0').join(' OR ')})`;
  const [row] = await connection.query<{ first: number }>(
    `SELECT first FROM journal.journal WHERE first < ? AND until >= ? AND since < ? ${hasSet} ORDER BY first LIMIT 1`,
    [below, from ?? 0, to ?? Number.MAX_SAFE_INTEGER, ...keys],
  );
  return row?.first;
}
