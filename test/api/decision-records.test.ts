/** What clients decided in their own processes: `POST /v1/decision-records`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { anonymous } from '../../src/auth/caller.js';
import type { Config } from '../../src/config/config.js';
import { engineVersion } from '../../src/core/engine/engine-version.js';
import { SqliteConnection } from '../../src/database/sqlite/sqlite-connection.js';
import { LocalRecords } from '../../src/pdp/local-records/local-records.js';
import { findingsOf } from '../decision-log/holds/findings.js';
import { type PolicyFiles, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { startKeyedService } from '../security/keyed-service.js';

const policies: PolicyFiles = {
  'default/model.conf': idModel,
  'default/rules.csv': 'p, ann, doc, read\n',
  'default/policy-set.yaml': 'local: allowed\ndecisionLog: { mask: [/subject/attributes/ssn] }\n',
  'closed/model.conf': idModel,
  'closed/rules.csv': 'p, ann, doc, read\n',
};
const instance = '0123456789abcdef'.repeat(2);
const another = 'f'.repeat(32);

let service: Service;
let version: string;

async function start(settings: Partial<Config> = {}, files = policies): Promise<void> {
  service = await startService(files, settings);
  version = await versionOf('default');
}

const versionOf = async (set: string) => (await service.get(`/v1/policy-sets/${set}`)).body.version;

beforeEach(() => start());
afterEach(() => service.stop());

const rule = ['p', 'ann', 'doc', 'read'];
const allow = { decision: 'allow', reason: { code: 'rule_allowed', rule }, errors: [], obligations: [] };
const deny = { decision: 'deny', reason: { code: 'no_matching_rule' }, errors: [], obligations: [] };
const asked = { subject: 'ann', action: 'read', resource: 'doc' };

function record(more: object = {}): object {
  return {
    decidedAt: new Date(Date.now() - 1_000).toISOString(),
    policySet: 'default',
    policyVersion: version,
    engineVersion,
    request: asked,
    answer: allow,
    ...more,
  };
}

function body(first: number, records: readonly object[], more: object = {}): object {
  return { instance, first, sentAt: new Date().toISOString(), records, ...more };
}

const send = (first: number, records: readonly object[], more: object = {}) =>
  service.post('/v1/decision-records', body(first, records, more));

// biome-ignore lint/suspicious/noExplicitAny: each test knows the records that it sent
async function recorded(query = 'via=local'): Promise<any[]> {
  return (await service.get(`/v1/decisions?${query}&limit=1000`)).body.items.reverse();
}

const numbers = async () => (await recorded()).map(({ local }) => local.number);

describe('a record of a decision in a client', () => {
  it('is kept as what the service decides at the time and version that it names, with where it came from', async () => {
    const decidedAt = new Date(Date.now() - 7_000).toISOString();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const sent = record({ decidedAt, durationUs: 1.6, requestId: 'r-1', traceparent });
    expect(await send(1, [sent])).toMatchObject({ status: 200, body: { next: 2, disputed: 0, refused: [] } });
    const [kept] = await recorded();
    expect(kept).toMatchObject({
      via: 'local',
      caller: 'anonymous',
      policySet: 'default',
      policyVersion: version,
      request: { subject: { id: 'ann' }, action: { name: 'read' }, resource: { id: 'doc' } },
      clock: decidedAt,
      ...allow,
      local: { instance, number: 1, decidedAt },
      requestId: 'r-1',
      traceId: '0af7651916cd43dd8448eb211c80319c',
      durationUs: 2,
      sequence: 1,
    });
    expect(kept.reason).toMatchObject({ file: 'rules.csv', line: 1 });
    expect(kept).not.toHaveProperty('disputed');
    expect(Date.parse(kept.time)).toBeGreaterThan(Date.parse(decidedAt) + 5_000);
    const { body: replayed } = await service.post(`/v1/decisions/${kept.id}/replay`, {});
    expect(replayed).toMatchObject({ same: true, clock: decidedAt });
    const found = await recorded(`requestId=r-1&expand=resolved`);
    expect(found[0]).toMatchObject({ local: { number: 1 }, resolved: { subject: { id: 'ann' } } });
  });

  it('is found by its instance and number where the client names no request', async () => {
    await send(1, [record(), record({ request: { ...asked, subject: 'bob' }, answer: deny })]);
    expect(await recorded(`requestId=${instance}-2`)).toMatchObject([{ decision: 'deny', local: { number: 2 } }]);
    await service.post('/v1/decide', asked, { 'x-request-id': `${instance}-2` });
    const found = await service.get(`/v1/decisions/${instance}-2`);
    expect(found).toMatchObject({ status: 200, body: { decision: 'deny', local: { instance, number: 2 } } });
    for (const other of [`${instance}-3`, `${another}-2`, `${instance}-02`])
      expect((await service.get(`/v1/decisions/${other}`)).status).toBe(404);
  });

  it('that is sent again, alone, in part or with others, changes nothing', async () => {
    const sent = Array.from({ length: 5 }, () => record());
    expect((await send(1, sent.slice(0, 3))).body.next).toBe(4);
    expect((await send(1, sent.slice(0, 3))).body).toEqual({ next: 4, disputed: 0, refused: [] });
    expect((await send(2, sent.slice(1, 2))).body.next).toBe(4);
    expect((await send(3, sent.slice(2))).body.next).toBe(6);
    expect((await send(6, [], { end: true })).body.next).toBe(6);
    expect(await numbers()).toEqual([1, 2, 3, 4, 5]);
  });

  it('is recorded once when it comes twice at once', async () => {
    const sent = Array.from({ length: 300 }, () => record());
    const answers = await Promise.all(Array.from({ length: 8 }, () => send(1, sent)));
    expect(answers.map(({ body }) => body.next)).toEqual(Array.from({ length: 8 }, () => 301));
    expect(await numbers()).toEqual(Array.from({ length: 300 }, (_, n) => n + 1));
  });

  it('behind others that were never sent is refused with the number that is wanted', async () => {
    await send(1, [record()]);
    const { status, body: problem } = await send(3, [record()]);
    expect([status, problem.type, problem.next]).toEqual([409, 'urn:verdict:problem:records_missing', 2]);
    expect(await numbers()).toEqual([1]);
  });

  it.each([
    ['an allow that the policy does not give', { request: { ...asked, subject: 'eve' } }, 'deny'],
    ['a deny that the policy does not give', { answer: deny }, 'allow'],
    ['another rule', { answer: { ...allow, reason: { code: 'rule_allowed', rule: ['p', 'eve'] } } }, 'allow'],
    ['no rule', { answer: { ...allow, reason: { code: 'rule_allowed' } } }, 'allow'],
    ['another reason', { answer: { ...allow, reason: { code: 'allowed_by_default', rule } } }, 'allow'],
    ['an error', { answer: { ...allow, errors: [{ code: 'type_error', message: 'no' }] } }, 'allow'],
    ['an obligation', { answer: { ...allow, obligations: [{ id: 'log' }] } }, 'allow'],
  ] as const)(
    'that says otherwise is disputed, and quoted beside what the policy says: %s',
    async (_, more, decision) => {
      const sent = record(more) as { answer: typeof allow };
      expect((await send(1, [record(), sent])).body).toEqual({ next: 3, disputed: 1, refused: [] });
      const [, kept] = await recorded();
      expect(kept.decision).toBe(decision);
      expect(kept.disputed).toEqual({
        ...sent.answer,
        errors: sent.answer.errors.map(({ code }: { code: string }) => code),
        engineVersion,
      });
      expect(await recorded('disputed=true')).toEqual([kept]);
      const { body: stats } = await service.get('/v1/decisions/stats?by=decision');
      expect(stats.total).toBe(2);
    },
  );

  it('of a version, set or form that is not taken uses up its number, and is a gap', async () => {
    const unknown = `sha256:${'0'.repeat(64)}`;
    const closed = await versionOf('closed');
    const { status, body: answer } = await send(1, [
      record(),
      record({ policyVersion: unknown }),
      record({ policySet: 'nowhere' }),
      record({ policySet: 'closed', policyVersion: closed }),
      record({ request: { ...asked, explain: 'full' } }),
      record({ decidedAt: new Date(Date.now() + 400_000).toISOString() }),
      record({ request: { ...asked, at: new Date().toISOString() } }),
      { answer: allow },
      record(),
    ]);
    expect(status).toBe(200);
    expect(answer).toMatchObject({ next: 10, disputed: 0 });
    expect(answer.refused.map(({ number, code }: { number: number; code: string }) => [number, code])).toEqual([
      [2, 'policy_version_not_found'],
      [3, 'policy_version_not_found'],
      [4, 'local_not_allowed'],
      [5, 'invalid_request'],
      [6, 'clock_off'],
      [7, 'invalid_request'],
      [8, 'invalid_request'],
    ]);
    expect(answer.refused[3].message).toContain('explain');
    expect(await numbers()).toEqual([1, 9]);
    const { gaps } = (await service.get('/v1/decisions')).body;
    expect(gaps).toMatchObject([{ lost: 7, cause: 'refused_from_client' }]);
    expect(
      (
        await send(
          1,
          Array.from({ length: 9 }, () => record()),
        )
      ).body.refused,
    ).toEqual([]);
    expect((await service.get('/v1/decisions')).body.gaps).toEqual(gaps);
  });

  it('has attributes as deep as those of any request', async () => {
    const nested = (depth: number): object => (depth === 1 ? { a: 1 } : { a: nested(depth - 1) });
    const of = (depth: number) => record({ request: { ...asked, subject: { id: 'ann', attributes: nested(depth) } } });
    const { status, body: answer } = await send(1, [of(16), record()]);
    expect([status, answer]).toEqual([200, { next: 3, disputed: 0, refused: [] }]);
    expect((await send(3, [of(17)])).status).toBe(400);
  });

  it('that the client lost is a gap of as many, once', async () => {
    const [from, to] = [9_000, 5_000].map((ago) => new Date(Date.now() - ago).toISOString());
    const sent = [record(), { lost: 12, from, to }, record()];
    expect((await send(1, sent)).body).toEqual({ next: 15, disputed: 0, refused: [] });
    await send(1, sent);
    await send(10, [{ lost: 6, from: to, to }]);
    expect(await numbers()).toEqual([1, 14]);
    const { gaps } = (await service.get('/v1/decisions')).body;
    expect(gaps.map(({ lost, cause, from, to }: Record<string, unknown>) => ({ lost, cause, from, to }))).toEqual([
      { lost: 1, cause: 'lost_by_client', from: to, to },
      { lost: 12, cause: 'lost_by_client', from, to },
    ]);
  });

  it('that the client lost at times that cannot be is refused, and uses up as many numbers', async () => {
    const [now, later] = [0, 400_000].map((ahead) => new Date(Date.now() + ahead).toISOString());
    const sent = [{ lost: 12, from: now, to: later }, { lost: 3, from: later, to: now }, record()];
    const { body: answer } = await send(1, sent);
    expect(answer).toMatchObject({
      next: 17,
      refused: [
        { number: 1, code: 'clock_off' },
        { number: 13, code: 'invalid_request' },
      ],
    });
    expect(await numbers()).toEqual([16]);
    expect((await service.get('/v1/decisions')).body.gaps).toMatchObject([{ lost: 15, cause: 'refused_from_client' }]);
  });

  it('that is older than any instance is remembered is refused: it could be one that was recorded before', async () => {
    const ago = (days: number) => record({ decidedAt: new Date(Date.now() - days * 86_400_000).toISOString() });
    const { body: answer } = await send(1, [ago(29.9), ago(30.1), record({ decidedAt: '1971-01-01T00:00:00Z' })]);
    expect(answer.refused.map(({ number, code }: { number: number; code: string }) => [number, code])).toEqual([
      [2, 'clock_off'],
      [3, 'clock_off'],
    ]);
    expect(await numbers()).toEqual([1]);
  });

  it('that many clients lost from the same time on are gaps of their own, for which the noted ones are read twice', async () => {
    const from = new Date(Date.now() - 9_000).toISOString();
    const read = vi.spyOn(service.log, 'notedTimes');
    for (let n = 1; n <= 10; n++) await send(n, [{ lost: 1, from, to: from }]);
    read.mockClear();
    expect((await send(11, [{ lost: 1, from, to: from }])).body.next).toBe(12);
    expect(read.mock.calls.length).toBeLessThanOrEqual(3);
    expect((await service.get('/v1/decisions')).body.gaps).toHaveLength(11);
  });

  it('is counted, by what became of it', async () => {
    const time = new Date().toISOString();
    const sent = [record(), record({ answer: deny }), { lost: 2, from: time, to: time }, record({ policySet: 'no' })];
    for (const _ of [1, 2]) await send(1, sent);
    const { body: metrics } = await service.get('/metrics');
    const counted = Object.entries({ recorded: 2, disputed: 1, refused: 1, lost: 2, repeated: 5 });
    for (const [result, n] of counted)
      expect(metrics).toContain(`verdict_local_records_total{result="${result}"} ${n}\n`);
  });

  it('of a client that is silent for a day may be missing: a gap says so, unless the client said that it ended', async () => {
    await send(1, [record()], { end: true });
    await send(1, [record()], { instance: another });
    const records = service.app.get(LocalRecords);
    for (const days of [1, 2, 3]) await records.lookAfterInstances(Date.now() + days * 86_400_000 + 1_000);
    const { gaps } = (await service.get('/v1/decisions')).body;
    expect(gaps).toMatchObject([{ lost: null, cause: 'client_silent' }]);
    expect((await send(2, [record()], { instance: another })).body.next).toBe(3);
    // The answer to its last records may have been lost.
    expect((await send(1, [record()], { end: true })).body.next).toBe(2);
    expect(await numbers()).toEqual([1, 1, 2]);
  });

  it('is masked as any other, and so is what the client answered', async () => {
    const ssn = '078-05-1120';
    const request = { ...asked, subject: { id: 'ann', attributes: { ssn } }, attributes: { password: 'hunter2' } };
    const reason = { code: 'rule_allowed', rule: ['p', `ann ${ssn}`] };
    const obligations = [{ tell: ssn, token: 't0ken', [ssn]: 'x' }, 'hunter2'];
    await send(1, [record({ request, answer: { ...allow, reason, obligations } })]);
    const [kept] = await recorded();
    expect(kept.masked).toBe(true);
    expect(kept.disputed).toMatchObject({
      reason: { code: 'rule_allowed', rule: ['p', '[masked]'] },
      obligations: [{ tell: '[masked]', token: '[masked]', '[masked]': 'x' }, '[masked]'],
    });
    expect(JSON.stringify(kept)).not.toMatch(/078-05|hunter2|t0ken/);
  });

  it('is decided by the version that it names, also when another one serves', async () => {
    const before = version;
    const sent = record();
    writeFileSync(join(service.directory, 'policies', 'default', 'rules.csv'), 'p, bob, doc, read\n');
    await service.post('/v1/policy-sets/default/reload', {});
    version = await versionOf('default');
    expect(version).not.toBe(before);
    expect((await send(1, [sent, record({ answer: deny })])).body).toEqual({ next: 3, disputed: 0, refused: [] });
    expect((await recorded()).map(({ policyVersion, decision }) => [policyVersion, decision])).toEqual([
      [before, 'allow'],
      [version, 'deny'],
    ]);
  });

  it('is masked as the version that serves says, too, where it names one that hid less', async () => {
    const attributes = { ssn: '078-05-1120', salary: 98_765 };
    const sent = record({
      request: { ...asked, subject: { id: 'ann', attributes } },
      answer: { ...deny, obligations: [98_765] },
    });
    writeFileSync(
      join(service.directory, 'policies', 'default', 'policy-set.yaml'),
      'local: allowed\ndecisionLog: { mask: [/subject/attributes/salary] }\n',
    );
    await service.post('/v1/policy-sets/default/reload', {});
    expect(await versionOf('default')).not.toBe(version);
    expect((await send(1, [sent])).body).toEqual({ next: 2, disputed: 1, refused: [] });
    const [kept] = await recorded();
    expect(kept.request.subject.attributes).toEqual({ ssn: '[masked]', salary: '[masked]' });
    expect(kept).toMatchObject({ policyVersion: version, masked: true, disputed: { obligations: ['[masked]'] } });
  });

  it('of a version that is damaged in the archive is refused, and those behind it are taken', async () => {
    const sent = record();
    writeFileSync(join(service.directory, 'policies', 'default', 'rules.csv'), 'p, bob, doc, read\n');
    await service.post('/v1/policy-sets/default/reload', {});
    version = await versionOf('default');
    const path = join(service.directory, 'data', 'verdict.sqlite');
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    await connection.query("UPDATE policy_file SET content = x'00'");
    await connection.close();
    const { status, body: answer } = await send(1, [sent, record({ answer: deny })]);
    expect([status, answer.next]).toEqual([200, 3]);
    expect(answer.refused).toMatchObject([{ number: 1, code: 'policy_version_invalid' }]);
    expect(await numbers()).toEqual([2]);
  });

  it('of many earlier versions is taken by and by: a request loads a few, and its answer says where to go on', async () => {
    const sent = [record()];
    for (const other of ['bob', 'eve', 'joe', 'kim', 'lea']) {
      writeFileSync(join(service.directory, 'policies', 'default', 'rules.csv'), `p, ${other}, doc, read\n`);
      await service.post('/v1/policy-sets/default/reload', {});
      version = await versionOf('default');
      sent.push(
        record({
          request: { ...asked, subject: other },
          answer: { ...allow, reason: { code: 'rule_allowed', rule: ['p', other, 'doc', 'read'] } },
        }),
      );
    }
    expect((await send(1, sent)).body).toEqual({ next: 5, disputed: 0, refused: [] });
    expect((await send(5, sent.slice(4), { end: true })).body).toEqual({ next: 7, disputed: 0, refused: [] });
    expect(await numbers()).toEqual([1, 2, 3, 4, 5, 6]);
    // Those that the archive has loaded cost no load.
    expect((await send(1, [...sent, ...sent], { instance: another })).body.next).toBe(13);
  });

  it('is proved like any other, refused and lost ones too', async () => {
    const time = new Date().toISOString();
    await send(1, [record(), record({ answer: deny }), { lost: 2, from: time, to: time }, record({ policySet: 'no' })]);
    await service.log.checkpoint();
    expect(await findingsOf(join(service.directory, 'data', 'verdict.sqlite'))).toEqual([]);
    const { body: text } = await service.get('/v1/decisions/export?format=csv');
    expect(text).toContain(',lost_by_client,');
  });
});

describe('a request with records of a client', () => {
  it.each([
    ['a clock that is six minutes slow', { sentAt: new Date(Date.now() - 360_000).toISOString() }, 'clock_off'],
    ['a clock that is six minutes fast', { sentAt: new Date(Date.now() + 360_000).toISOString() }, 'clock_off'],
    ['another form of instance', { instance: 'F'.repeat(32) }, 'invalid_request'],
    ['a number below 1', { first: 0 }, 'invalid_request'],
    ['a member that nobody knows', { caller: 'ann' }, 'invalid_request'],
  ])('is refused with %s, and nothing is taken', async (_, more, code) => {
    const { status, body: problem } = await send(1, [record()], more);
    expect([status, problem.type]).toEqual([400, `urn:verdict:problem:${code}`]);
    expect(await numbers()).toEqual([]);
    expect((await send(1, [record()])).body.next).toBe(2);
  });

  it('has as many records as a batch has items, and one more is refused', async () => {
    await service.stop();
    await start({ maxBatchItems: 3 });
    expect((await send(1, [record(), record(), record(), record()])).status).toBe(400);
    expect((await send(1, [record(), record(), record()])).body.next).toBe(4);
  });

  it('that has no time left takes none, and says where to go on', async () => {
    const { caller, ...asker } = { ...anonymous, caller: anonymous.name, authentication: anonymous.method };
    const sent = { instance, first: 1, sentAt: Date.now(), end: true, count: 1, items: [] };
    const late = { endsAt: performance.now() - 1, isGone: () => false };
    const taken = await service.app
      .get(LocalRecords)
      .take(sent, { caller, ...asker, via: 'local', requestId: 'r' }, late);
    expect(taken).toEqual({ next: 1, disputed: 0, refused: [] });
    expect((await send(1, [record()])).body.next).toBe(2);
    expect(await numbers()).toEqual([1]);
  });
});

describe('records of clients with credentials', () => {
  it('are of the caller that sent the first, and of its sets', async () => {
    const keyed = await startKeyedService({ shop: 'scopes: [decide:invoices]', crm: 'scopes: [decide]' });
    try {
      const all = (await keyed.as('crm', 'POST', '/v1/decision-records', body(1, []))).statusCode;
      expect(all).toBe(200);
      const sent = await keyed.as('shop', 'POST', '/v1/decision-records', body(1, [record()]));
      expect([sent.statusCode, sent.json().type]).toEqual([409, 'urn:verdict:problem:instance_taken']);
      const own = await keyed.as('shop', 'POST', '/v1/decision-records', body(1, [record()], { instance: another }));
      expect(own.json()).toMatchObject({ next: 2, refused: [{ number: 1, code: 'policy_set_not_found' }] });
    } finally {
      await keyed.stop();
    }
  });
});
