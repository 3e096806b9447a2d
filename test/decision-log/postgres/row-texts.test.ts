import { describe, expect, it } from 'vitest';
import { inSnapshot } from '../../../src/decision-log/postgres/log-snapshot.js';
import { readTexts } from '../../../src/decision-log/postgres/row-texts.js';
import { readFilter } from '../../../src/decision-log/record-filter.js';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { noon } from '../example-records.js';
import { SharedLog } from './shared-log.js';

describe.skipIf(!hasPostgres)('the texts of rows (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  it.each([
    ['no filter', {}],
    ['a text', { q: 'needle' }],
    ['a field without keys', { instance: 'elsewhere' }],
    ['a field with keys', { subject: 'needle' }],
  ])('are read one by one and not with the rest of their day, for %s', async (_, query) => {
    const log = await SharedLog.make(server());
    const writer = await log.addWriter();
    const rows = Array.from({ length: 300 }, (_, i) => writer.group([writer.record({ now: noon + i * 1_000 })]));
    await log.ship(writer.number, rows);
    const wanted = rows.slice(100, 104).map(({ first, count, since, until, records }) => {
      return { writer: writer.number, first, count, since, until, bytes: records.length, cost: 0 };
    });
    const read = await inSnapshot(log, async (transaction) => {
      await readTexts(transaction, wanted, readFilter(query, {}));
      // This transaction's own counts: of index scans, of bitmaps and of scans of the whole table.
      const [row] = await transaction.client.query<{ rows: number }>(
        `SELECT sum(seq_tup_read + idx_tup_fetch)::int8 AS rows FROM pg_stat_xact_user_tables
         WHERE relname ~ '^decision_group_'`,
      );
      return row!.rows;
    });
    expect(read).toBe(wanted.length);
  });
});
