/** The built service with sinks of its log: killed while it answers, and as several workers over PostgreSQL. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { exampleRecord } from '../decision-log/example-records.js';
import { startReplica } from '../decision-log/postgres/shared-home.js';
import { ServiceProcess, serviceFolder } from '../operations/processes.js';
import { OtlpReceiver } from '../telemetry/otlp-receiver.js';
import { idsAt } from './sink-log.js';

async function startReceiver(): Promise<OtlpReceiver> {
  const receiver = await OtlpReceiver.start();
  onTestFinished(() => receiver.stop());
  return receiver;
}

const question = { subject: 'ann', action: 'read', resource: 'doc' };

/** Asks without a pause until the service is gone; returns the ids of what was answered. */
async function askUntilGone(service: ServiceProcess): Promise<string[]> {
  const ids: string[] = [];
  const lane = async (): Promise<void> => {
    for (;;) {
      const answer = await service.post('/v1/decide', question).catch(() => undefined);
      if (answer === undefined) return;
      ids.push(answer.body.decisionId);
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  return ids;
}

describe('a service that is killed while it answers', () => {
  it('sends every decision that it answered when it is started again', async () => {
    const receiver = await startReceiver();
    const directory = serviceFolder();
    const env = { VERDICT_LOG_SINKS: 'otlp', OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: `${receiver.url}/v1/logs` };
    const answered: string[] = [];
    for (const afterMs of [300, 900, 1_500]) {
      const service = await ServiceProcess.start(directory, env);
      const asking = askUntilGone(service);
      setTimeout(() => service.child.kill('SIGKILL'), afterMs);
      answered.push(...(await asking));
      await service.exit;
    }
    const last = await ServiceProcess.start(directory, env);
    const got = () => new Set(idsAt(receiver));
    await expect.poll(() => answered.filter((id) => !got().has(id)).length).toBe(0);
    await last.stop();
    expect(answered.length).toBeGreaterThan(50);
    // Those that came twice are of the moments before a kill: what was sent and not noted yet.
    const twice = receiver.logs.length - got().size;
    expect(twice).toBeLessThan(answered.length);
    // In order, but for what is repeated.
    const sequences = receiver.logs.map(({ attributes }) => Number(attributes['verdict.sequence']));
    const steps = sequences.filter((sequence, i) => i > 0 && sequence > sequences[i - 1]! + 1);
    expect(steps).toEqual([]);
  });

  it('does not start without an endpoint for its sink, and says which variable is missing', async () => {
    const service = ServiceProcess.run(serviceFolder(), ['serve', '--local'], { VERDICT_LOG_SINKS: 'otlp' });
    expect(await service.exit).toBe(78);
    expect(service.output.stderr).toContain(
      'VERDICT_LOG_SINKS: otlp wants OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_LOGS_ENDPOINT',
    );
  });
});

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  it('each worker sends its own records, from its own journal, and says how it is under its own name', async () => {
    const receiver = await startReceiver();
    const directory = serviceFolder();
    const service = await ServiceProcess.start(directory, {
      VERDICT_WORKERS: '2',
      VERDICT_DATABASE_URL: server().newSchema(),
      VERDICT_SPOOL_DIR: join(directory, 'spool'),
      VERDICT_INSTANCE: 'pdp',
      VERDICT_LOG_SINKS: 'otlp',
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_METRIC_EXPORT_INTERVAL: '500',
    });
    const ids = new Set<string>();
    const ask = async () => {
      const response = await fetch(`${service.url}/v1/decide`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify(question),
      });
      ids.add(((await response.json()) as { decisionId: string }).decisionId);
    };
    const instances = () => new Set(receiver.logs.map(({ body }) => JSON.parse(body).instance));
    for (let i = 0; i < 50 && instances().size < 2; i++) await Promise.all(Array.from({ length: 20 }, ask));
    await expect.poll(() => [...ids].filter((id) => !idsAt(receiver).includes(id)).length).toBe(0);
    expect([...instances()].sort()).toEqual(['pdp-1', 'pdp-2']);
    // All three signals, of both.
    const senders = () => new Set(receiver.resources.map((resource) => resource['service.instance.id']));
    await expect.poll(() => [...senders()].sort()).toEqual(['pdp-1', 'pdp-2']);
    await expect.poll(() => receiver.metrics.size).toBeGreaterThan(0);
    const { body } = await service.get('/metrics');
    expect(body).toContain('verdict_log_sink_sent_records_total{sink="otlp"}');
    await service.stop();
    for (const worker of ['1', '2']) {
      const path = join(directory, 'spool', worker, 'verdict.log-sinks.json');
      expect(existsSync(path)).toBe(true);
      expect(JSON.parse(readFileSync(path, 'utf8')).otlp.sequence).toBeGreaterThan(0);
    }
    const traced = receiver.spans.filter(({ name }) => name === 'POST /v1/decide');
    expect(traced.length).toBeGreaterThan(0);
  });

  it.each([
    ['keeps what a sink lacks in the journal, though PostgreSQL has it', 1024 * 1024, true],
    ['gives it up where it fills half of the room that the journal has', 1, false],
  ])('%s', async (_does, journalLimit, isKept) => {
    const hour = 3_600_000;
    let doneTo = 0;
    const log = await startReplica(server().newSchema(), undefined, {
      retention: { wanted: { doneTo: () => doneTo, maxAgeMs: 100 * hour } },
      journalLimit,
    });
    const records = [1, 2, 3].map(() => exampleRecord(log, { now: Date.now() }));
    // Each in a group of its own.
    for (const record of records) await log.append(record);
    await log.shipped();
    // What it keeps itself, whatever PostgreSQL has.
    const { own } = log as unknown as { own: Pick<SqliteDecisionLog, 'prune' | 'find'> };
    await own.prune(Date.now() + 2 * hour);
    expect((await own.find(records[0]!.id)) !== undefined).toBe(isKept);
    doneTo = 1;
    await own.prune(Date.now() + 2 * hour);
    expect(await own.find(records[0]!.id)).toBeUndefined();
    expect((await own.find(records[1]!.id)) !== undefined).toBe(isKept);
  });
});
