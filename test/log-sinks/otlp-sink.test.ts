/** Decision records as logs over OTLP: a real journal, a real receiver. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { digestOfPerson, StandingOrders } from '../../src/decision-log/erasure/standing-orders.js';
import { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { exampleRecord } from '../decision-log/example-records.js';
import { temporaryDirectory } from '../decision-log/temporary-log.js';
import { logsIn, OtlpReceiver } from '../telemetry/otlp-receiver.js';
import { idsAt, otlpSink, startSunkLog } from './sink-log.js';

async function startReceiver(port?: number): Promise<OtlpReceiver> {
  const receiver = await OtlpReceiver.start(port);
  onTestFinished(() => receiver.stop().catch(() => undefined));
  return receiver;
}

const openIn =
  (directory: string, own: object = {}) =>
  async (options: ConstructorParameters<typeof SqliteDecisionLog>[0] | object) => {
    const { retention, ...others } = options as { retention?: object };
    const { retention: ownRetention, ...ownOthers } = own as { retention?: object };
    const log = new SqliteDecisionLog({
      databasePath: join(directory, 'verdict.sqlite'),
      mode: 'sync',
      turnPatienceMs: 60_000,
      instance: 'replica-a',
      ...others,
      ...ownOthers,
      retention: { ...retention, ...ownRetention },
    });
    await log.start();
    return log;
  };

describe.each([
  ['http/protobuf', ''],
  ['http/protobuf', 'gzip'],
  ['http/json', ''],
])('a record over %s %s', (protocol, compression) => {
  it('is a log whose body is the record, with attributes to filter by', async () => {
    const receiver = await startReceiver();
    const directory = temporaryDirectory();
    const env = {
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_EXPORTER_OTLP_COMPRESSION: compression,
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20secret',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    };
    const { log } = await startSunkLog(directory, otlpSink(receiver, env), openIn(directory));
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const example = { ...exampleRecord(log, { now: Date.now(), subject: 'zoë' }), traceId };
    await log.append(example);
    await expect.poll(() => receiver.logs).toHaveLength(1);
    const [sent] = receiver.logs;
    const record = await log.find(example.id);
    expect(JSON.parse(sent!.body)).toEqual(record);
    expect(sent).toMatchObject({ ms: example.time, traceId, eventName: 'verdict.decision', severity: 9 });
    expect(sent!.attributes).toEqual({
      'verdict.decision_id': example.id,
      'verdict.policy_set': 'invoices',
      'verdict.policy_version': example.policyVersion,
      'verdict.decision': 'allow',
      'verdict.reason': 'rule_allowed',
      'verdict.via': 'decide',
      'verdict.journal': log.status.name,
      'verdict.sequence': 1,
    });
    expect(receiver.received[0]!.headers).toMatchObject({ authorization: 'Bearer secret' });
    expect(receiver.resources[0]).toMatchObject({
      'service.name': 'verdict',
      'service.instance.id': 'replica-a',
      'deployment.environment.name': 'test',
    });
  });
});

describe('what is sent', () => {
  it('is every record once and in order, across a stop, a receiver that is away and one that comes back', async () => {
    const directory = temporaryDirectory();
    const first = await startReceiver();
    const { port, url } = first;
    let sunk = await startSunkLog(directory, otlpSink({ url }), openIn(directory));
    const ids = await sunk.append(300);
    await sunk.stop();
    expect(idsAt(first)).toEqual(ids);

    await first.stop();
    sunk = await startSunkLog(directory, otlpSink({ url }), openIn(directory));
    ids.push(...(await sunk.append(3_000)));
    await expect.poll(async () => (await sunk.sinks.statuses())[0]!.failures).toBeGreaterThan(0);
    expect((await sunk.sinks.statuses())[0]).toMatchObject({
      name: 'otlp',
      sent: 0,
      lag: 3_000,
      problem: expect.any(String),
    });
    await sunk.stop();

    const second = await startReceiver(port);
    sunk = await startSunkLog(directory, otlpSink({ url }), openIn(directory));
    ids.push(...(await sunk.append(10)));
    await expect.poll(() => second.logs.length).toBe(3_010);
    expect([...idsAt(first), ...idsAt(second)]).toEqual(ids);
    await expect.poll(async () => (await sunk.sinks.statuses())[0]!.lag).toBe(0);
    expect((await sunk.sinks.statuses())[0]).toMatchObject({ lagSeconds: 0, lost: 0, refused: 0 });
  });

  it('is sent again where it is not known whether it arrived, with the same ids', async () => {
    const receiver = await startReceiver();
    const directory = temporaryDirectory();
    let cut = 0;
    const arrived: string[] = [];
    receiver.refuse = ({ body }, response) => {
      if (cut++ > 0) return false;
      arrived.push(...logsIn(body).map(({ body: text }) => JSON.parse(text).id));
      // It has them, and its answer is lost.
      response.destroy();
      return true;
    };
    const { append } = await startSunkLog(directory, otlpSink(receiver), openIn(directory));
    const ids = await append(20);
    await expect.poll(() => receiver.logs.length).toBeGreaterThanOrEqual(20);
    expect(arrived.length).toBeGreaterThan(0);
    expect(idsAt(receiver)).toEqual(ids);
  });

  it('begins with the oldest record, where the offset is not known', async () => {
    const directory = temporaryDirectory();
    const log = await openIn(directory)({});
    for (let i = 0; i < 3; i++) await log.append(exampleRecord(log));
    await log.stop();
    writeFileSync(join(directory, 'verdict.log-sinks.json'), '{"otlp":');
    const receiver = await startReceiver();
    const { problems, sinks } = await startSunkLog(directory, otlpSink(receiver), openIn(directory));
    await expect.poll(() => receiver.logs.length).toBe(3);
    expect(problems).toEqual([expect.stringContaining('cannot be read, so that they begin anew')]);
    await expect
      .poll(() => JSON.parse(readFileSync(join(directory, 'verdict.log-sinks.json'), 'utf8')))
      .toEqual({ otlp: { journal: expect.stringMatching(/^[\da-f]{32}$/), sequence: 3 } });
    expect((await sinks.statuses())[0]).toMatchObject({ lost: 0 });
  });

  it('is as masked and as erased: of a person who was erased before it was sent, nothing', async () => {
    const directory = temporaryDirectory();
    const receiver = await startReceiver();
    receiver.refuse = (_request, response) => {
      response.writeHead(503).end();
      return true;
    };
    const { log, append } = await startSunkLog(directory, otlpSink(receiver), openIn(directory));
    await append(5, 'erasable-person');
    const key = randomBytes(32);
    const digest = digestOfPerson(key, 'erasable-person');
    const standing = new StandingOrders(key, [{ id: 'e-1', time: Date.now(), digest }]);
    await log.erase({ standing }, new AbortController().signal);
    receiver.refuse = () => false;
    await expect.poll(() => receiver.logs.length).toBe(5);
    expect(JSON.stringify(receiver.received)).not.toContain('erasable-person');
  });
});

describe('a receiver that refuses', () => {
  it('one record with 400 gets all others, and the one is counted and named', async () => {
    const directory = temporaryDirectory();
    const receiver = await startReceiver();
    receiver.refuse = ({ body }, response) => {
      if (!logsIn(body).some(({ body: text }) => text.includes('poison'))) return false;
      response.writeHead(400).end();
      return true;
    };
    const { append, sinks, problems } = await startSunkLog(directory, otlpSink(receiver), openIn(directory));
    const ids = await Promise.all([append(30), append(1, 'poison'), append(30)]);
    await expect.poll(() => receiver.logs.length).toBe(60);
    expect(idsAt(receiver).sort()).toEqual([...ids[0], ...ids[2]].sort());
    await expect.poll(async () => (await sinks.statuses())[0]!.lag).toBe(0);
    expect((await sinks.statuses())[0]).toMatchObject({ sent: 60, refused: 1 });
    expect(problems).toEqual([`otlp does not take 1 decision records: ${ids[1][0]}`]);
  });

  it.each([401, 404, 429, 500, 400])('everything with %d loses nothing', async (status) => {
    const directory = temporaryDirectory();
    const receiver = await startReceiver();
    let refused = 0;
    receiver.refuse = (_request, response) => {
      if (refused++ > 3) return false;
      response.writeHead(status).end();
      return true;
    };
    const { append, sinks } = await startSunkLog(directory, otlpSink(receiver), openIn(directory));
    const ids = await append(30);
    await expect.poll(() => receiver.logs.length, { timeout: 90_000 }).toBe(30);
    expect(idsAt(receiver)).toEqual(ids);
    expect((await sinks.statuses())[0]).toMatchObject({ refused: 0, lost: 0 });
  });

  it('to answer at all is left after OTEL_EXPORTER_OTLP_TIMEOUT, and holds up neither records nor the stop', async () => {
    const sockets = new Set<{ destroy(): void }>();
    const hanging = createServer((socket) => void sockets.add(socket));
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      hanging.close();
    });
    const { port } = hanging.address() as { port: number };
    const directory = temporaryDirectory();
    const sink = otlpSink({ url: `http://127.0.0.1:${port}` }, { OTEL_EXPORTER_OTLP_TIMEOUT: '200' });
    const { append, sinks, stop } = await startSunkLog(directory, sink, openIn(directory));
    await append(10);
    await expect.poll(async () => (await sinks.statuses())[0]!.problem).toBe('no answer within 200 ms');
    const started = performance.now();
    await append(100);
    await stop();
    expect(performance.now() - started).toBeLessThan(8_000);
  });
});

describe('retention', () => {
  /** Files of 50 records, of which by their number none but the newest may be kept. */
  const small = { limits: { records: 50 }, retention: { maxRecords: 60 } };

  it('leaves what a sink does not have yet, and deletes it once the sink has it', async () => {
    const directory = temporaryDirectory();
    const receiver = await startReceiver();
    let isAway = true;
    receiver.refuse = (_request, response) => {
      if (isAway) response.writeHead(503).end();
      return isAway;
    };
    const { log, append, sinks } = await startSunkLog(directory, otlpSink(receiver), openIn(directory, small));
    const ids: string[] = [];
    for (let i = 0; i < 10; i++) ids.push(...(await append(40)));
    await log.prune(Date.now());
    expect(await log.find(ids[0]!)).toBeDefined();
    isAway = false;
    await expect.poll(() => receiver.logs.length).toBe(400);
    expect(idsAt(receiver)).toEqual(ids);
    await expect.poll(async () => (await sinks.statuses())[0]!.lag).toBe(0);
    await log.prune(Date.now());
    expect(await log.find(ids[0]!)).toBeUndefined();
  });

  it('leaves it no longer than VERDICT_LOG_SINKS_KEEP says; what is lost to the sink is counted and said', async () => {
    const directory = temporaryDirectory();
    const receiver = await startReceiver();
    let isAway = true;
    receiver.refuse = (_request, response) => {
      if (isAway) response.writeHead(503).end();
      return isAway;
    };
    const keepMs = 600_000;
    const { log, append, sinks, problems } = await startSunkLog(
      directory,
      otlpSink(receiver),
      openIn(directory, small),
      keepMs,
    );
    const ids: string[] = [];
    for (let i = 0; i < 10; i++) ids.push(...(await append(40)));
    await expect.poll(async () => (await sinks.statuses())[0]!.failures).toBeGreaterThan(0);
    await log.prune(Date.now() + keepMs - 120_000);
    expect(await log.find(ids[0]!)).toBeDefined();
    await log.prune(Date.now() + keepMs + 1_000);
    expect(await log.find(ids[0]!)).toBeUndefined();
    isAway = false;
    await expect.poll(async () => (await sinks.statuses())[0]!.lag).toBe(0);
    const [status] = await sinks.statuses();
    expect(status!.lost).toBeGreaterThan(0);
    expect(status!.lost + status!.sent).toBe(400);
    expect(problems.some((problem) => /decision records are not in the journal any more/.test(problem))).toBe(true);
    expect(idsAt(receiver)).toEqual(ids.slice(-status!.sent));
  });
});
