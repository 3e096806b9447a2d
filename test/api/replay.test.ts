import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApplication } from '../../src/application.js';
import { readConfig } from '../../src/config/read-config.js';
import { DecisionLog } from '../../src/decision-log/decision-log.js';
import { digestOfPerson, StandingOrders } from '../../src/decision-log/erasure/standing-orders.js';
import type { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { temporaryDirectory, writeTree } from '../policy-store/folders.js';

// A test reads what it expects to be there.
// biome-ignore lint/suspicious/noExplicitAny: the body is whatever the service answered
type Body = any;

const directory = join(temporaryDirectory(), 'policies');
let app: NestFastifyApplication;

async function post(url: string, payload: object): Promise<{ status: number; body: Body }> {
  const response = await app.inject({ method: 'POST', url, payload });
  return { status: response.statusCode, body: response.json() };
}

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, cond
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act && eval(p.cond)
`;
const mornings = "p, alice, door, open, \"betweenHours('UTC', '06:00', '12:00')\"\n";

beforeAll(async () => {
  await writeTree(directory, {
    'doors/model.conf': model,
    'doors/rules.csv': mornings,
    'doors/policy-set.yaml': 'clock: request\n',
  });
  const { config } = readConfig({
    VERDICT_POLICY_DIR: directory,
    VERDICT_AUTH: 'none',
    VERDICT_DATABASE_URL: `sqlite:${join(temporaryDirectory(), 'verdict.sqlite')}`,
  });
  app = await createApplication(config, pino({ level: 'silent' }));
});

afterAll(() => app.close());

const question = { subject: 'alice', action: 'open', resource: 'door', at: '2026-03-02T09:00:00.000Z' };

describe('P3: a decision computed again', () => {
  it('is the same on the version and at the clock of its time, whatever serves now', async () => {
    const { body: decided } = await post('/v1/decide', question);
    expect(decided.allowed).toBe(true);
    await writeFile(join(directory, 'doors/rules.csv'), mornings.replace('alice', 'bob'));
    await post('/v1/policy-sets/doors/reload', {});

    const { status, body } = await post(`/v1/decisions/${decided.decisionId}/replay`, {});
    expect(status).toBe(200);
    expect(body).toMatchObject({ decisionId: decided.decisionId, same: true, clock: '2026-03-02T09:00:00.000Z' });
    expect(body.recorded).toMatchObject({ decision: 'allow', policyVersion: decided.policyVersion });
    expect(body.replayed).toMatchObject({ decision: 'allow', reason: decided.reason });
    expect(body.replayed.explanation.summary).toMatch(/^allowed by rules\.csv:1/);

    const serving = (await app.inject('/v1/policy-sets/doors')).json().version;
    const { body: today } = await post(`/v1/decisions/${decided.decisionId}/replay`, { version: serving });
    expect(today).toMatchObject({ same: false, recorded: { decision: 'allow' }, replayed: { decision: 'deny' } });
    expect(today.replayed.explanation.changes[0].changes).toEqual([
      { kind: 'request', path: '/subject/id', from: 'alice', to: 'bob' },
    ]);
  });

  it('is refused where parts of the request were masked', async () => {
    const subject = { id: 'alice', attributes: { password: 'hunter2' } };
    const { body: decided } = await post('/v1/decide', { ...question, subject });
    const { status, body } = await post(`/v1/decisions/${decided.decisionId}/replay`, {});
    expect({ status, type: body.type }).toEqual({ status: 409, type: 'urn:verdict:problem:not_replayable' });
    expect(JSON.stringify(body)).not.toContain('hunter2');
  });

  it('is refused for a record from which something was erased', async () => {
    const { body: decided } = await post('/v1/decide', question);
    const key = Buffer.alloc(32);
    const order = { id: 'e-1', time: Date.UTC(2100, 0), digest: digestOfPerson(key, 'alice') };
    const orders = { standing: new StandingOrders(key, [order]) };
    await (app.get(DecisionLog) as SqliteDecisionLog).erase(orders, new AbortController().signal);
    const { status, body } = await post(`/v1/decisions/${decided.decisionId}/replay`, {});
    expect({ status, type: body.type }).toEqual({ status: 409, type: 'urn:verdict:problem:not_replayable' });
    expect(body.detail).toContain('erased by e-1 on 2100-01-01');
  });

  it('is not there for a record or a version that never was', async () => {
    const { body: decided } = await post('/v1/decide', question);
    const replay = `/v1/decisions/${decided.decisionId}/replay`;
    const missing = await post('/v1/decisions/0190163d-8694-739b-aea5-966c26f8ad91/replay', {});
    expect(missing.body.type).toBe('urn:verdict:problem:decision_not_found');
    const version = `sha256:${'0'.repeat(64)}`;
    expect((await post(replay, { version })).body.type).toBe('urn:verdict:problem:policy_version_not_found');
    expect((await post(replay, { version: 'latest' })).status).toBe(400);
    expect((await post(replay, { at: 'now' })).status).toBe(400);
  });
});
