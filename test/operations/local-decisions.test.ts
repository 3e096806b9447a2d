/** Decisions in clients' own processes, recorded by a service that is killed again and again. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { LocalVerdict, type LocalWarning } from '../../packages/client/src/local/local-verdict.js';
import { freePort } from '../authzen/built-service.js';
import { ServiceProcess, serviceFolder } from './processes.js';

const kills = Number(process.env.VERDICT_TEST_KILLS ?? 3);

it('kill -9 of the service: each decision is in its log once, and as it was made', {
  timeout: 60_000 + kills * 20_000,
}, async () => {
  const folder = serviceFolder();
  writeFileSync(join(folder, 'policies/default/policy-set.yaml'), 'local: allowed\n');
  const env = { VERDICT_PORT: String(await freePort()), VERDICT_RATE_LIMIT: 'off', VERDICT_LOG_LEVEL: 'error' };
  let service = await ServiceProcess.start(folder, env);
  const directory = mkdtempSync(join(tmpdir(), 'verdict-journal-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const warnings: LocalWarning[] = [];
  const onWarning = (warning: LocalWarning) => warnings.push(warning);
  const options = { baseUrl: service.url, policySets: ['default'], timeoutMs: 5_000, onWarning };
  const clients = [await LocalVerdict.open(options), await LocalVerdict.open({ ...options, journal: { directory } })];

  const made = new Map<string, string>();
  let isOver = false;
  const deciding = (async () => {
    while (!isOver) {
      for (const client of clients) {
        for (const subject of ['ann', 'eve', 'ben']) {
          const { decisionId, decision } = client.decide({ subject, action: 'read', resource: 'doc' });
          made.set(decisionId!, decision);
        }
      }
      await delay(1);
    }
  })();
  for (let kill = 0; kill < kills; kill++) {
    await delay(500);
    await service.stop('SIGKILL');
    service = await ServiceProcess.start(folder, env);
  }
  await delay(300);
  isOver = true;
  await deciding;
  for (const client of clients) await expect.poll(() => client.unsent, { timeout: 60_000 }).toBe(0);
  await Promise.all(clients.map((client) => client.close()));

  const { body } = await service.get('/v1/decisions/export?format=ndjson&via=local');
  const lines = String(body)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const records = lines.filter(({ local }) => local !== undefined);
  const found = records.map(({ local, decision }) => [`${local.instance}-${local.number}`, decision] as const);
  expect(found.length).toBe(made.size);
  expect(new Map(found)).toEqual(made);
  expect(records.filter(({ disputed }) => disputed !== undefined)).toEqual([]);
  const expected = ['unreachable', 'records_unsent'];
  expect(warnings.filter(({ kind }) => !expected.includes(kind))).toEqual([]);
});
