/**
 * Records of decisions in clients' own processes on services that end without warning: no number is in the log twice, none is
 * missing that was answered for.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { engineVersion } from '../../src/core/engine/engine-version.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres, PostgresServer } from '../database/postgres/postgres-server.js';
import { findingsOf } from '../decision-log/holds/findings.js';
import { type Answer, ServiceProcess, serviceFolder } from './processes.js';

/** VERDICT_TEST_KILLS=50 kills as often as a release is checked with. */
const kills = Number(process.env.VERDICT_TEST_KILLS ?? 3);
const allow = {
  decision: 'allow',
  reason: { code: 'rule_allowed', rule: ['p', 'ann', 'doc', 'read'] },
  errors: [],
  obligations: [],
};

function localFolder(): string {
  const folder = serviceFolder();
  writeFileSync(join(folder, 'policies', 'default', 'policy-set.yaml'), 'local: allowed\n');
  return folder;
}

/** A client with numbered records, which keeps those that it was not answered for. */
class Client {
  readonly instance = randomBytes(16).toString('hex');
  next = 1;
  /** All numbers below were answered for. */
  answered = 1;

  constructor(private readonly version: string) {}

  /** The body with the records from `first` on: one in ten is forged, one in twenty lost, one in thirty is of no version. */
  body(first: number, count: number, more: object = {}): object {
    const at = (number: number) => new Date(Date.UTC(2026, 10, 1) + number).toISOString();
    const records = Array.from({ length: count }, (_, n) => {
      const number = first + n;
      if (number % 20 === 0) return { lost: 1, from: at(number), to: at(number) };
      return {
        decidedAt: at(number),
        policySet: 'default',
        policyVersion: number % 30 === 7 ? `sha256:${'0'.repeat(64)}` : this.version,
        engineVersion,
        request: { subject: number % 10 === 3 ? 'eve' : 'ann', action: 'read', resource: 'doc' },
        answer: allow,
      };
    });
    return { instance: this.instance, first, sentAt: new Date().toISOString(), records, ...more };
  }

  /** Sends records, some of which it may have sent before, to one of the services. Undefined where none answers. */
  async send(services: readonly ServiceProcess[]): Promise<Answer | undefined> {
    const count = 1 + Math.floor(Math.random() * 400);
    const service = services[Math.floor(Math.random() * services.length)]!;
    const answer = await service.post('/v1/decision-records', this.body(this.answered, count)).catch(() => undefined);
    if (answer?.status === 200) {
      expect(answer.body.next).toBeGreaterThanOrEqual(this.answered);
      this.answered = answer.body.next;
    } else if (answer !== undefined) expect(answer.status, JSON.stringify(answer.body)).toBe(503);
    return answer;
  }
}

/** Counts what the log has of each client against what it was answered for. */
async function expectComplete(service: ServiceProcess, clients: readonly Client[]): Promise<void> {
  const { body: text } = await service.get('/v1/decisions/export?format=ndjson');
  const lines = String(text)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  let lost = 0;
  let refused = 0;
  for (const { instance, answered } of clients) {
    const numbers = lines.flatMap(({ local }) => (local?.instance === instance ? [local.number as number] : []));
    expect(new Set(numbers).size, 'no number twice').toBe(numbers.length);
    const wanted = Array.from({ length: answered - 1 }, (_, n) => n + 1);
    lost += wanted.filter((number) => number % 20 === 0).length;
    refused += wanted.filter((number) => number % 20 !== 0 && number % 30 === 7).length;
    const kept = wanted.filter((number) => number % 20 !== 0 && number % 30 !== 7);
    expect(numbers.sort((a, b) => a - b).filter((number) => number < answered)).toEqual(kept);
  }
  const records = lines.filter(({ local }) => local !== undefined);
  expect(records.every(({ disputed, decision }) => (disputed === undefined) === (decision === 'allow'))).toBe(true);
  const missing = (cause: string) =>
    lines.reduce((sum, { gap }) => sum + (gap?.cause === cause ? gap.lost : 0), 0) as number;
  expect([missing('lost_by_client'), missing('refused_from_client')]).toEqual([lost, refused]);
}

/** Sends until a moment, whatever is answered. */
async function sendUntil(clients: readonly Client[], services: () => readonly ServiceProcess[], isOver: () => boolean) {
  await Promise.all(
    clients.map(async (client) => {
      while (!isOver()) if ((await client.send(services()))?.status !== 200) await delay(20);
    }),
  );
}

/** Sends until each was answered once more. */
async function settle(clients: readonly Client[], services: readonly ServiceProcess[]): Promise<void> {
  for (const client of clients)
    await expect.poll(async () => (await client.send(services))?.status, { timeout: 30_000, interval: 100 }).toBe(200);
}

const versionOf = async (service: ServiceProcess) => (await service.get('/v1/policy-sets/default')).body.version;

describe('records of clients', () => {
  for (const mode of ['sync', 'fsync']) {
    it(`P4: kill -9 in the middle, again and again, in mode ${mode}: none twice, none missing that was answered for`, async () => {
      const folder = localFolder();
      const start = () =>
        ServiceProcess.start(folder, {
          VERDICT_DECISION_LOG: mode,
          VERDICT_LOG_LEVEL: 'error',
          VERDICT_RATE_LIMIT: 'off',
        });
      let service = await start();
      const version = await versionOf(service);
      const clients = [0, 1, 2].map(() => new Client(version));
      for (let kill = 0; kill < kills; kill++) {
        let isOver = false;
        const sending = sendUntil(
          clients,
          () => [service],
          () => isOver,
        );
        await delay(200 + Math.random() * 600);
        await service.stop('SIGKILL');
        isOver = true;
        await sending;
        service = await start();
      }
      await settle(clients, [service]);
      await expectComplete(service, clients);
      expect(await service.stop()).toBe(0);
      expect(await findingsOf(join(folder, 'data', 'verdict.sqlite'))).toEqual([]);
    }, 120_000);
  }
});

describe.skipIf(!hasPostgres)('records of clients on replicas (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  it('P4: sent to either replica, one of which is killed again and again: none twice, none missing', async () => {
    const url = server().newSchema();
    const folders = [localFolder(), localFolder()];
    const start = (n: number) =>
      ServiceProcess.start(folders[n]!, {
        VERDICT_DATABASE_URL: url,
        VERDICT_SPOOL_DIR: join('.', 'spool'),
        VERDICT_INSTANCE: `replica-${n}`,
        VERDICT_LOG_LEVEL: 'error',
      });
    const replicas = [await start(0), await start(1)];
    const version = await versionOf(replicas[0]!);
    const clients = [0, 1, 2].map(() => new Client(version));
    for (let kill = 0; kill < kills; kill++) {
      let isOver = false;
      const sending = sendUntil(
        clients,
        () => replicas,
        () => isOver,
      );
      await delay(300 + Math.random() * 600);
      await replicas[kill % 2]!.stop('SIGKILL');
      await delay(300);
      replicas[kill % 2] = await start(kill % 2);
      await delay(300);
      isOver = true;
      await sending;
    }
    await settle(clients, replicas);
    for (const client of clients) {
      const body = client.body(1, 200);
      const again = await Promise.all(replicas.map((replica) => replica.post('/v1/decision-records', body)));
      for (const { status, body } of again) if (status === 200) expect(body.next).toBe(client.answered);
    }
    for (const replica of replicas) expect(await replica.stop()).toBe(0);
    const reader = await start(0);
    await expectComplete(reader, clients);
    expect(await reader.stop()).toBe(0);
    expect(await findingsOf(url)).toEqual([]);
  }, 180_000);

  it('P4: while PostgreSQL is away they are refused and decisions go on; afterwards they are taken, once', async () => {
    const own = await PostgresServer.start();
    onTestFinished(() => own.remove());
    const service = await ServiceProcess.start(localFolder(), {
      VERDICT_DATABASE_URL: await own.createDatabase(),
      VERDICT_SPOOL_DIR: join('.', 'spool'),
      VERDICT_LOG_LEVEL: 'silent',
    });
    const client = new Client(await versionOf(service));
    await settle([client], [service]);
    await own.kill();
    for (let n = 0; n < 3; n++) expect((await client.send([service]))?.status).toBe(503);
    expect((await service.decide()).status).toBe(200);
    await own.resume();
    await settle([client], [service]);
    await settle([client], [service]);
    await expect
      .poll(() => expectComplete(service, [client]).then(() => 'complete', String), { timeout: 20_000, interval: 500 })
      .toBe('complete');
    expect(await service.stop()).toBe(0);
  }, 120_000);

  it('a claim of a replica that does not return is free when its writer is retired', async () => {
    const url = server().newSchema();
    const folders = [localFolder(), localFolder()];
    const start = (n: number) =>
      ServiceProcess.start(folders[n]!, {
        VERDICT_DATABASE_URL: url,
        VERDICT_SPOOL_DIR: join('.', 'spool'),
        VERDICT_INSTANCE: `replica-${n}`,
        VERDICT_LOG_LEVEL: 'error',
      });
    const [one, other] = [await start(0), await start(1)];
    const client = new Client(await versionOf(one));
    let isOver = false;
    const sending = sendUntil(
      [client],
      () => [one],
      () => isOver,
    );
    // Until it was killed within a claim: most of the time there is one.
    await expect.poll(() => client.answered, { timeout: 20_000 }).toBeGreaterThan(500);
    await one.stop('SIGKILL');
    isOver = true;
    await sending;
    const first = await client.send([other]);
    if (first?.status === 503) {
      expect(first.body.type).toBe('urn:verdict:problem:records_in_progress');
      const { body: listed } = await other.get('/v1/decisions/writers');
      const { writer } = listed.writers.find(({ instance }: { instance: string }) => instance === 'replica-0');
      await expect
        .poll(async () => (await other.post(`/v1/decisions/writers/${writer}/retire`, {})).status, { timeout: 30_000 })
        .toBeLessThan(300);
      await settle([client], [other]);
    }
    const { body: text } = await other.get('/v1/decisions/export?format=ndjson');
    const numbers = String(text)
      .trim()
      .split('\n')
      .flatMap((line) => JSON.parse(line).local?.number ?? []);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(await other.stop()).toBe(0);
  }, 120_000);
});
