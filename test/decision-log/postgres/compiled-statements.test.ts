import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { DecisionQuery } from '../../../src/decision-log/decision-query.js';
import type { StatsQuery } from '../../../src/decision-log/stats-query.js';
import { hasPostgres, PostgresServer } from '../../database/postgres/postgres-server.js';
import { exampleRecord } from '../example-records.js';
import { startReplica } from './shared-home.js';

describe.skipIf(!hasPostgres)('a question to the shared log (skipped where PostgreSQL is not installed)', () => {
  it('has none of its statements compiled by PostgreSQL, however costly the planner believes them to be', async (test) => {
    const server = await PostgresServer.start();
    onTestFinished(() => server.remove());
    const said = () => readFileSync(join(server.folder, 'log'), 'utf8');
    const url = await server.createDatabase();
    const [{ compiles }] = await server.query('SELECT pg_jit_available() AS compiles');
    const explains = await server.query(`LOAD 'auto_explain'`).then(
      () => true,
      () => false,
    );
    if (!compiles || !explains) return test.skip('this PostgreSQL compiles nothing, or does not say what it runs');
    const replica = await startReplica(url);
    const records = Array.from({ length: 60 }, () => exampleRecord(replica, { now: Date.now() }));
    await Promise.all(records.map((record) => replica.append(record)));
    await replica.settle();
    // From here on each statement is compiled, if it may be, and logged with how it was run.
    const name = new URL(url).pathname.slice(1);
    for (const setting of [
      `session_preload_libraries = 'auto_explain'`,
      'auto_explain.log_min_duration = 0',
      'auto_explain.log_analyze = on',
      'jit = on',
      'jit_above_cost = 0',
    ]) {
      await server.query(`ALTER DATABASE ${name} SET ${setting}`);
    }
    const reader = await startReplica(url, undefined, { mode: 'off' });
    const questions: (DecisionQuery & StatsQuery)[] = [
      {},
      { subject: 'alice' },
      { subject: 'alice', decision: 'allow', q: 'approve' },
      { subject: 'nobody' },
      { instance: 'elsewhere' },
    ];
    for (const question of questions) await reader.search(question);
    await reader.find(records[7]!.id);
    await reader.stats({ bucket: 'minute', by: ['policySet', 'caller'], top: 'subject' });
    for await (const piece of reader.export({ format: 'ndjson' })) expect(piece).not.toBe('');
    const asked = () => {
      const entries = said().split(/\n(?=\S)/);
      return entries.filter((entry) => /Query Text: SELECT.*(decision_group|key_|tally)/s.test(entry));
    };
    const compiled = () => asked().filter((entry) => entry.includes('JIT:'));
    expect(asked().length).toBeGreaterThan(15);
    expect(compiled()).toEqual([]);
    // That of anybody else is.
    await server.query('SELECT sum(count) FROM verdict.decision_group', url);
    expect(compiled()).toHaveLength(1);
  });
});
