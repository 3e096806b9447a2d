import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import type { DecisionQuery } from '../../../src/decision-log/decision-query.js';
import { indexedFieldNames } from '../../../src/decision-log/record-keys.js';
import { findRecord, searchRecords } from '../../../src/decision-log/sqlite/decision-search.js';
import { openReader } from '../../../src/decision-log/sqlite/key-index.js';
import { exampleRecord, noon } from '../example-records.js';
import { startLog, temporaryDirectory, viewOfFile } from '../temporary-log.js';

/** Statements and how SQLite goes about them, in the order in which a query needs them. */
async function plansOf(reader: SqliteConnection, run: (connection: SqliteConnection) => Promise<unknown>) {
  const plans: string[] = [];
  await run({
    query: async (sql: string, parameters: string[]) => {
      const steps = await reader.query<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, parameters);
      const statement = sql.replace(/\s+/g, ' ').trim();
      plans.push([statement, ...steps.map(({ detail }) => `    ${detail}`)].join('\n'));
      return reader.query(sql, parameters);
    },
  } as unknown as SqliteConnection);
  return [...new Set(plans)].join('\n');
}

it('every indexed filter reads by its index, as kept in query-plans.txt', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  const record = exampleRecord(log);
  await log.append(record);
  await log.indexNow();
  await log.append(exampleRecord(log, { now: noon + 1 }));
  const reader = await openReader(
    join(directory, 'verdict.decisions.index.sqlite'),
    join(directory, 'verdict.decisions.sqlite'),
  );
  onTestFinished(() => reader.close());

  const extent = { since: noon, until: noon + 1, idSince: noon, idUntil: noon + 1 };
  const viewOn = (connection: SqliteConnection) => viewOfFile(connection, { last: 2, extent, indexedTo: 1 });
  const planOf = (query: DecisionQuery) =>
    plansOf(reader, (connection) => searchRecords(viewOn(connection), query, {}));

  const queries: DecisionQuery[] = [
    {},
    { subject: 'x' },
    { subject: 'x', decision: 'deny' },
    { from: '2026-11-21T12:00:00Z', to: '2026-11-21T13:00:00Z' },
    { resource: 'x', from: '2026-11-21T12:00:00Z' },
    { q: 'x' },
  ];
  const sections = ['What SQLite does for each query: the index step and the journal step of one search.'];
  for (const query of queries) {
    const plans = await planOf(query);
    sections.push(`## ${JSON.stringify(query)}\n${plans}`);
    // With several keys a statement sorts what it compared: a bounded number of entries.
    const sorts = 'decision' in query ? /TEMP B-TREE FOR (?!ORDER BY)/ : /TEMP B-TREE/;
    expect(plans).not.toMatch(sorts);
    expect(plans).not.toMatch(/SCAN journal\.journal(?! USING)|SCAN (k|o|segment|segment_key)\b/);
  }
  const bySubject = await planOf({ subject: 'x' });
  for (const field of indexedFieldNames) expect(await planOf({ [field]: 'x' }), field).toBe(bySubject);

  const plans = await plansOf(reader, (connection) => findRecord(viewOn(connection), record.id, {}));
  sections.push(`## one record by its id\n${plans}`);
  const file = join(import.meta.dirname, 'query-plans.txt');
  expect(existsSync(file), 'run vitest with -u to write query-plans.txt').toBe(true);
  await expect(`${sections.join('\n\n')}\n`).toMatchFileSnapshot(file);
});
