import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/auth/api-key.js';
import { readApiKeyFile } from '../../src/auth/api-key-file.js';
import { apiKeyPattern } from '../../src/logging/mask-credentials.js';
import { verdict, workFolder } from './run.js';

const entry = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const apiKey = new RegExp(apiKeyPattern);

describe('verdict keys', () => {
  it('makes, lists, rotates and revokes keys in the database, and says no secret twice', async () => {
    const cwd = workFolder({ policies: false });
    const run = (...args: string[]) => verdict(['keys', ...args], { cwd, env: { VERDICT_ENV: 'test' } });
    const created = await run('create', 'shop', '--scope', 'decide', '--set', 'invoices', '--expires', '2099-01-01');
    expect(created).toMatchObject({ code: 0, stderr: '' });
    expect(created.stdout).toMatch(/^vd_test_\w{43}_\w{6}\n$/);
    expect(statSync(join(cwd, 'data', 'verdict.sqlite')).mode & 0o777).toBe(0o600);
    const listed = await run('list');
    expect(listed.stdout).toMatch(/^shop +good +decide +invoices/m);
    expect(listed.stdout).not.toMatch(apiKey);
    const rotated = await run('rotate', 'shop', '--overlap', '1');
    expect(rotated.stdout).toMatch(apiKey);
    expect(rotated.stdout).not.toBe(created.stdout);
    expect((await run('revoke', 'shop')).code).toBe(0);
    const [key] = JSON.parse((await run('list', '--output', 'json')).stdout);
    expect(key).toMatchObject({ name: 'shop', sets: ['invoices'], revoked: expect.any(String) });
    expect(JSON.stringify(key)).not.toContain(digestOf(created.stdout.trim()));
  }, 60_000);

  it('makes no key of the name of a caller that the file declares', async () => {
    const cwd = workFolder({ policies: false });
    writeFileSync(join(cwd, 'keys.yaml'), `- {name: root, sha256: ${'a'.repeat(64)}, scopes: [decide]}\n`);
    const run = (...args: string[]) => verdict(['keys', ...args], { cwd, env: { VERDICT_API_KEYS_FILE: 'keys.yaml' } });
    for (const name of ['root', 'Root']) {
      const refused = await run('create', name, '--scope', 'decide');
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain(`The name "${name}" is taken by a caller of another kind.`);
    }
    expect((await run('create', 'other', '--scope', 'decide')).code).toBe(0);
    writeFileSync(join(cwd, 'keys.yaml'), '- nothing');
    expect((await run('create', 'third', '--scope', 'decide')).stderr).toContain('VERDICT_API_KEYS_FILE');
    expect((await run('list')).stdout).toMatch(/^other /m);
  }, 60_000);

  it('does the same with --url for whoever has keys:admin, through the service', async () => {
    const cwd = workFolder();
    const environment = { VERDICT_POLICY_DIR: 'policies', VERDICT_PORT: '0', VERDICT_LOG_LEVEL: 'error' };
    const admin = await verdict(['keys', 'create', 'admin', '--scope', 'keys:admin'], { cwd });
    const service = spawn(process.execPath, [entry, 'serve'], {
      cwd,
      env: { PATH: process.env.PATH, ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = await once(createInterface({ input: service.stdout }), 'line');
      const url = /http:\S+/.exec(line)![0];
      const run = (key: string, ...args: string[]) =>
        verdict(['keys', ...args, '--url', url], { cwd, env: { VERDICT_API_KEY: key } });
      const as = (...args: string[]) => run(admin.stdout.trim(), ...args);
      const created = await as('create', 'shop', '--scope', 'decide', '--set', 'invoices', '--expires', '2099-01-01');
      expect(created).toMatchObject({ code: 0, stderr: '' });
      expect(created.stdout).toMatch(/^vd_\w+_\w{43}_\w{6}\n$/);
      expect((await as('list')).stdout).toMatch(/^shop +good +decide +invoices/m);
      // When a key was last used is written now and then.
      const list = (text: string) => JSON.parse(text, (name, value) => (name === 'lastUsed' ? undefined : value));
      expect(list((await as('list', '--output', 'json')).stdout)).toEqual(
        list((await verdict(['keys', 'list', '--output', 'json'], { cwd })).stdout),
      );
      const rotated = await as('rotate', 'shop', '--overlap', '0.5');
      expect(rotated.stdout).toMatch(apiKey);
      expect(rotated.stdout).not.toBe(created.stdout);
      expect(await as('revoke', 'shop')).toEqual({ code: 0, stdout: '', stderr: '' });
      const all = await as('list');
      expect(all.stdout).toMatch(/^shop +revoked/m);
      expect(all.stdout).not.toMatch(apiKey);
      // Somebody who may not, and nobody.
      const clerk = await as('create', 'clerk', '--scope', 'decide');
      expect((await run(clerk.stdout.trim(), 'list')).stderr).toContain('403 The caller may not do this');
      expect(await run('', 'list')).toMatchObject({ code: 2, stdout: '' });
      expect(await as('create', 'shop', '--scope', 'decide')).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('409 There is an API key of that name'),
      });
    } finally {
      service.kill('SIGTERM');
      await once(service, 'exit');
    }
  }, 60_000);

  it('makes an entry for the declared file: the key on stderr, its digest on stdout', async () => {
    const cwd = workFolder({ policies: false });
    const hashed = await verdict(
      ['keys', 'hash', '--name', 'shop', '--scope', 'decide:invoices', '--address', '10.0.0.0/8'],
      { cwd },
    );
    const key = apiKey.exec(hashed.stderr)![0];
    expect(hashed.stdout).not.toMatch(apiKey);
    expect(readApiKeyFile('keys.yaml', hashed.stdout)).toMatchObject([
      { key: { name: 'shop', scopes: ['decide:invoices'], addresses: ['10.0.0.0/8'] }, digests: [digestOf(key)] },
    ]);
    for (const wrong of [
      ['--scope', 'decides'],
      ['--scope', 'decide', '--expires', 'tomorrow'],
      ['--scope', 'decide', '--expires', '2026-02-30'],
    ]) {
      expect(await verdict(['keys', 'hash', ...wrong], { cwd })).toMatchObject({ code: 2, stdout: '' });
    }
    const again = await verdict(['keys', 'hash', '--stdin', '--scope', 'decide'], { cwd, input: `${key}\n` });
    expect(again.stdout).toContain(digestOf(key));
    expect(again.stderr).not.toMatch(apiKey);
    expect(existsSync(join(cwd, 'data'))).toBe(false);
  }, 60_000);

  it.each([
    [['create', 'shop'], "required option '--scope <scope>'"],
    [['create', 'shop', '--scope', 'everything'], 'there is no scope "everything"'],
    [['create', 'a b', '--scope', 'decide'], 'printable ASCII'],
    [['create', 'shop', '--scope', 'decide', '--expires', 'soon'], 'is not a time'],
    [['create', 'shop', '--scope', 'decide', '--address', 'home'], 'is not an address'],
    [['rotate', 'nobody'], 'There is no API key "nobody".'],
    [['revoke', 'nobody'], 'There is no API key "nobody".'],
    [['rotate', 'shop', '--overlap', '-1'], '--overlap takes hours'],
  ])(
    'answers %j with exit code 2 and says why',
    async (args, message) => {
      const { code, stderr } = await verdict(['keys', ...args], { cwd: workFolder({ policies: false }) });
      expect(code).toBe(2);
      expect(stderr).toContain(message);
    },
    30_000,
  );

  it('needs a right configuration', async () => {
    const cwd = workFolder({ policies: false });
    writeFileSync(join(cwd, 'x'), '');
    const { code, stderr } = await verdict(['keys', 'list'], { cwd, env: { VERDICT_ENV: 'Not This' } });
    expect(code).toBe(78);
    expect(stderr).toContain('VERDICT_ENV');
  }, 30_000);
});
