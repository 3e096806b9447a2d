/** Secrets are planted wherever the service can be handed one, and everything that it writes is searched for them. */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApplication } from '../../src/application.js';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { describeConfig, readConfig } from '../../src/config/read-config.js';
import { maskCredentials } from '../../src/logging/mask-credentials.js';
import { writePolicies } from '../http/service.js';
import { threeSets } from './keyed-service.js';

const key = makeApiKey('prod');
const wrong = makeApiKey('prod');
const token = `eyJhbGciOiJSUzI1NiJ9.${Buffer.from('{"sub":"planted"}').toString('base64url')}.c2lnbmF0dXJl`;
const basic = Buffer.from(`shop:${wrong}`).toString('base64');
const secrets = [key, wrong, token, basic, 'hunter2-planted'];

let directory: string;
let output = '';
const answers: string[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'verdict-secrets-'));
  writePolicies(join(directory, 'policies'), threeSets);
  writeFileSync(
    join(directory, 'keys.yaml'),
    `- {name: shop, sha256: ${digestOf(key)}, scopes: [decide, "decisions:read", "keys:admin"]}\n`,
  );
  const { config } = readConfig(
    {},
    {
      policyDir: join(directory, 'policies'),
      databaseUrl: `sqlite:${join(directory, 'data', 'verdict.sqlite')}`,
      apiKeysFile: join(directory, 'keys.yaml'),
      jwtIssuer: 'http://127.0.0.1:9',
      jwtAudience: 'verdict',
    },
  );
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      output += chunk;
      done();
    },
  });
  // The service's own logger at the level that says the most
  const logger = pino({ level: 'trace', hooks: { streamWrite: maskCredentials } }, stream);
  const app = await createApplication(config, logger);
  const question = { subject: 'ann', action: 'read', resource: 'doc' };
  const requests = [
    { method: 'POST', url: '/v1/decide', headers: { authorization: `Bearer ${key}` }, payload: question },
    { method: 'POST', url: '/v1/decide', headers: { authorization: `Bearer ${wrong}` }, payload: question },
    { method: 'POST', url: '/v1/decide', headers: { authorization: `Bearer ${token}` }, payload: question },
    { method: 'POST', url: '/v1/decide', headers: { authorization: `Basic ${basic}` }, payload: question },
    { method: 'GET', url: `/v1/decisions?q=${key}`, headers: { authorization: `Bearer ${key}` } },
    { method: 'GET', url: `/v1/decisions?access_token=${token}`, headers: {} },
    { method: 'GET', url: `/v1/nowhere/${wrong}`, headers: { 'x-api-key': key } },
    { method: 'POST', url: '/v1/decide', headers: { 'x-api-key': key }, payload: `{"subject": "${wrong}` },
    { method: 'POST', url: '/v1/session', headers: { 'x-api-key': key } },
    {
      method: 'POST',
      url: '/v1/api-keys',
      headers: { 'x-api-key': key },
      payload: { name: wrong, scopes: ['decide'] },
    },
    { method: 'GET', url: '/v1/audit-events', headers: { 'x-api-key': key } },
  ];
  for (const request of requests) {
    const headers = { ...request.headers, 'content-type': 'application/json', 'x-request-id': 'planted' };
    const answer = await app.inject({ ...request, headers } as never);
    answers.push(answer.body);
  }
  await app.close();
}, 60_000);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('a secret', () => {
  it('is in no line of the log, which does say what happened', () => {
    expect(output).toContain('authentication failed');
    for (const secret of secrets) expect(output).not.toContain(secret);
  });

  it('is in no answer to somebody else: the audit events that hold what was sent are masked', () => {
    const audit = answers.at(-1)!;
    expect(audit).toContain('[credential]');
    for (const secret of secrets) expect(audit).not.toContain(secret);
  });

  it('is in no file of the service', () => {
    const files = readdirSync(join(directory, 'data'), { recursive: true, encoding: 'utf8' });
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const bytes = readFileSync(join(directory, 'data', file));
      for (const secret of [key, token, basic]) expect(bytes.includes(secret), file).toBe(false);
    }
  });

  it('is masked in the effective configuration and in what is wrong with it', () => {
    const read = readConfig({ VERDICT_DATABASE_URL: 'sqlite://u:hunter2-planted@h/d' }, { policyDir: 'p' });
    expect(describeConfig(read)).not.toContain('hunter2-planted');
    expect(() => readConfig({ VERDICT_DATABASE_URL: 'mysql://u:hunter2-planted@h' }, { policyDir: 'p' })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('hunter2-planted') }),
    );
  });

  it('is not taken from the command line, where everybody on the machine reads it', async () => {
    const built = new URL('../../dist/cli.js', import.meta.url).pathname;
    const env = { PATH: process.env.PATH, VERDICT_DATABASE_URL: 'sqlite://u:hunter2-planted@h/d' };
    const child = spawn(process.execPath, [built, 'config', 'check', '--local'], { env });
    const commandLine = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8');
    expect(commandLine).not.toContain('hunter2-planted');
    await new Promise((resolve) => child.once('close', resolve));
    const { stdout } = await promisify(execFile)(process.execPath, [built, 'keys', 'hash', '--help'], { env });
    expect(stdout).toContain('--stdin');
    expect(stdout).not.toMatch(/--key\b/);
  });
});

describe('masking', () => {
  it.each([
    [`a ${key} b`, 'a [credential] b'],
    [`Authorization: Bearer ${token}`, 'Authorization: [credential]'],
    [`Basic ${basic}`, '[credential]'],
    ['the Basic idea, and a Bearer of news', 'the Basic idea, and a Bearer of news'],
    [digestOf(key), digestOf(key)],
  ])('%s', (text, masked) => expect(maskCredentials(text)).toBe(masked));
});
