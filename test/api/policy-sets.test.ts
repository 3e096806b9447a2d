import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApplication } from '../../src/application.js';
import { readConfig } from '../../src/config/read-config.js';
import { idModel } from '../models.js';
import { temporaryDirectory, writeTree } from '../policy-store/folders.js';

interface Answer {
  readonly status: number;
  // A test reads what it expects to be there.
  // biome-ignore lint/suspicious/noExplicitAny: the body is whatever the service answered
  readonly body: any;
}

const rule = (subject: string) => `p, ${subject}, data1, read\n`;
const directory = join(temporaryDirectory(), 'policies');
const neverServed = `sha256:${'0'.repeat(64)}`;
let app: NestFastifyApplication;
let alices: string;
let bobs: string;

async function call(method: 'GET' | 'POST', url: string, payload?: object): Promise<Answer> {
  const headers = method === 'POST' ? { 'content-type': 'application/json' } : {};
  const response = await app.inject({ method, url, headers, ...(payload !== undefined && { payload }) });
  return { status: response.statusCode, body: response.json() };
}

async function allowed(subject: string): Promise<boolean> {
  const request = { subject, action: 'read', resource: 'data1', policySet: 'acl' };
  return (await call('POST', '/v1/decide', request)).body.allowed;
}

async function write(rules: string): Promise<Answer> {
  await writeFile(join(directory, 'acl/rules.csv'), rules);
  return call('POST', '/v1/policy-sets/acl/reload');
}

beforeAll(async () => {
  await writeTree(directory, {
    'acl/model.conf': idModel,
    'acl/rules.csv': rule('alice'),
    'broken/model.conf': idModel,
    'broken/rules.csv': 'p, alice\n',
  });
  const { config } = readConfig({
    VERDICT_POLICY_DIR: directory,
    VERDICT_AUTH: 'none',
    VERDICT_DATABASE_URL: `sqlite:${join(temporaryDirectory(), 'verdict.sqlite')}`,
  });
  app = await createApplication(config, pino({ level: 'silent' }));
  alices = (await call('GET', '/v1/policy-sets/acl')).body.version;
  bobs = (await write(`${rule('carol')}${rule('bob')}`)).body.version;
});

afterAll(() => app.close());

describe('/v1/policy-sets', () => {
  it('lists every set with its state, version and problems', async () => {
    const { status, body } = await call('GET', '/v1/policy-sets');
    expect(status).toBe(200);
    expect(body.items).toMatchObject([
      {
        name: 'acl',
        state: 'active',
        version: bobs,
        folderVersion: bobs,
        engine: 'verdict',
        pinned: false,
        problems: [],
        problemCount: 0,
      },
      { name: 'broken', state: 'failed', problems: [{ severity: 'error', file: 'rules.csv', line: 1 }] },
    ]);
    expect(Date.parse(body.items[0].since)).toBeLessThanOrEqual(Date.now());
  });

  it('shows one set, and 404 for one that is not there', async () => {
    expect((await call('GET', '/v1/policy-sets/broken')).body.state).toBe('failed');
    for (const name of ['none', '__proto__', 'constructor']) {
      const { status, body } = await call('GET', `/v1/policy-sets/${name}`);
      expect([status, body.status]).toEqual([404, 404]);
    }
  });

  it('lists versions page by page, and shows each with its files', async () => {
    const first = await call('GET', '/v1/policy-sets/acl/versions?limit=1');
    expect(first.body).toMatchObject({ items: [{ version: bobs }], nextCursor: bobs });
    const second = await call('GET', `/v1/policy-sets/acl/versions?limit=1&cursor=${first.body.nextCursor}`);
    expect(second.body.items).toMatchObject([{ version: alices }]);
    expect(second.body.nextCursor).toBeUndefined();
    const one = await call('GET', `/v1/policy-sets/acl/versions/${alices}`);
    expect(one.body.files).toMatchObject([
      { path: 'model.conf', size: idModel.length },
      { path: 'rules.csv', size: rule('alice').length },
    ]);
    expect((await call('GET', '/v1/policy-sets/broken/versions')).body).toEqual({ items: [] });
    expect((await call('GET', '/v1/policy-sets/none/versions')).status).toBe(404);
    expect((await call('GET', `/v1/policy-sets/acl/versions/${neverServed}`)).status).toBe(404);
    for (const query of ['limit=0', 'limit=1001', 'limit=x', 'cursor=x', 'colour=red']) {
      expect((await call('GET', `/v1/policy-sets/acl/versions?${query}`)).status).toBe(400);
    }
  });

  it('hands out the files of a version as they were', async () => {
    const file = (version: string, path: string) => `/v1/policy-sets/acl/versions/${version}/files/${path}`;
    const rules = await app.inject({ method: 'GET', url: file(alices, 'rules.csv') });
    expect(rules.statusCode).toBe(200);
    expect(rules.headers).toMatchObject({ 'content-type': 'text/plain; charset=utf-8' });
    expect(rules.headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
    expect(rules.body).toBe(rule('alice'));
    expect((await app.inject({ method: 'GET', url: file(bobs, 'model.conf') })).body).toBe(idModel);
    for (const path of ['none.csv', '..%2Facl%2Frules.csv', '%2Fetc%2Fpasswd', '__proto__', 'tests%2Fa.yaml']) {
      expect(await call('GET', file(alices, path))).toMatchObject({
        status: 404,
        body: { type: 'urn:verdict:problem:not_found' },
      });
    }
    const never = await call('GET', file(neverServed, 'rules.csv'));
    expect(never.body.type).toBe('urn:verdict:problem:policy_version_not_found');
    expect((await call('GET', file(alices, 'rules.csv').replace('acl', 'none'))).status).toBe(404);
  });

  it('shows which rules differ between two versions', async () => {
    const { body } = await call('GET', `/v1/policy-sets/acl/diff?from=${alices}&to=${bobs}`);
    expect(body).toEqual({
      from: alices,
      to: bobs,
      files: [{ path: 'rules.csv', change: 'changed' }],
      added: [
        { rule: ['p', 'carol', 'data1', 'read'], file: 'rules.csv', line: 1 },
        { rule: ['p', 'bob', 'data1', 'read'], file: 'rules.csv', line: 2 },
      ],
      removed: [{ rule: ['p', 'alice', 'data1', 'read'], file: 'rules.csv', line: 1 }],
      reordered: false,
    });
    expect((await call('GET', `/v1/policy-sets/acl/diff?from=${alices}`)).body.to).toBe(bobs);
    expect((await call('GET', '/v1/policy-sets/acl/diff')).status).toBe(400);
    expect((await call('GET', `/v1/policy-sets/acl/diff?from=${neverServed}`)).status).toBe(404);
  });

  it('keeps the last good version when a reload fails, and says in its answer where it is wrong', async () => {
    const { status, body } = await write('p, nobody\n');
    expect(status).toBe(200);
    expect(body).toMatchObject({ state: 'stale', version: bobs, problems: [{ file: 'rules.csv', line: 1 }] });
    expect(await allowed('bob')).toBe(true);
    expect((await write(`${rule('bob')}${rule('carol')}`)).body.state).toBe('active');
    const { body: diff } = await call('GET', `/v1/policy-sets/acl/diff?from=${bobs}`);
    expect(diff).toMatchObject({ added: [], removed: [], reordered: true });
    expect((await call('POST', '/v1/policy-sets/none/reload')).status).toBe(404);
  });

  it('rolls back to a version that served, and to nothing else', async () => {
    const { status, body } = await call('POST', '/v1/policy-sets/acl/rollback', { version: alices });
    expect([status, body.version, body.pinned]).toEqual([200, alices, true]);
    expect(await allowed('alice')).toBe(true);
    expect(await allowed('bob')).toBe(false);
    const refused = [
      await call('POST', '/v1/policy-sets/acl/rollback', { version: neverServed }),
      await call('POST', '/v1/policy-sets/none/rollback', { version: alices }),
      await call('POST', '/v1/policy-sets/acl/rollback', { version: 'latest' }),
      await call('POST', '/v1/policy-sets/acl/rollback', { version: alices, force: true }),
      await call('POST', '/v1/policy-sets/acl/rollback', []),
      await call('POST', '/v1/policy-sets/acl/rollback'),
    ];
    expect(refused.map((answer) => answer.status)).toEqual([404, 404, 400, 400, 400, 400]);
    expect(await allowed('alice')).toBe(true);
  });
});
