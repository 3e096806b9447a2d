/** P7, on the built service: with nobody who could authenticate, nothing but this machine can reach it. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { readConfig } from '../../src/config/read-config.js';
import { warnOfOneAddress } from '../../src/http/http.module.js';
import { writePolicies } from '../http/service.js';
import { makeAuthority } from './certificates.js';
import { threeSets } from './keyed-service.js';

const main = new URL('../../dist/main.js', import.meta.url).pathname;
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'verdict-p7-'));
  writePolicies(join(directory, 'policies'), threeSets);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const key = makeApiKey('prod');
function keysFile(name: string, more: string): string {
  const file = join(directory, name);
  writeFileSync(file, `- {name: shop, sha256: ${digestOf(key)}, scopes: [decide]${more}}\n`);
  return file;
}

/** Runs until it listens or ends. */
function run(env: Record<string, string>): Promise<{ output: string; code: number | null }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main], {
      env: {
        PATH: process.env.PATH,
        VERDICT_PORT: '0',
        VERDICT_POLICY_DIR: join(directory, 'policies'),
        VERDICT_DATABASE_URL: `sqlite:${join(directory, 'data', 'verdict.sqlite')}`,
        ...env,
      },
    });
    let output = '';
    let listens = false;
    const hear = (chunk: Buffer) => {
      output += chunk;
      // Once: a second signal ends the process on the spot.
      if (!listens && output.includes('verdict listening on')) listens = child.kill('SIGTERM');
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('close', (code) => resolve({ output, code }));
  });
}

const beyond = { VERDICT_HOST: '127.0.0.2.nip.invalid', VERDICT_TLS: 'terminated-elsewhere' };

describe('P7: with no usable credential configured, the service', () => {
  it.each([
    ['none', () => ({})],
    ['one that has expired', () => ({ VERDICT_API_KEYS_FILE: keysFile('expired.yaml', ', expires: "2020-01-01"') })],
  ])(
    'refuses to listen beyond loopback, and exits 78: %s',
    async (_name, env) => {
      for (const host of ['0.0.0.0', '::', beyond.VERDICT_HOST]) {
        const { output, code } = await run({ ...beyond, VERDICT_HOST: host, ...env() });
        expect(code, output).toBe(78);
        expect(output).toContain('no usable credential is configured');
        expect(output).not.toContain('verdict listening on');
      }
    },
    60_000,
  );

  it('starts on loopback, where a first key can be made, and refuses every call', async () => {
    const { output, code } = await run({});
    expect(code).toBe(0);
    expect(output).toContain('so every call is refused');
  }, 30_000);

  it.each(['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.org'])(
    'is not talked out of it by VERDICT_AUTH=none: %s',
    async (host) => {
      const { output, code } = await run({ ...beyond, VERDICT_AUTH: 'none', VERDICT_HOST: host });
      expect(code).toBe(78);
      expect(output).toContain('accepted only when VERDICT_HOST is a loopback address');
    },
    30_000,
  );

  it('does not speak plain HTTP beyond loopback by itself, also with a key', async () => {
    const { output, code } = await run({ VERDICT_HOST: '0.0.0.0', VERDICT_API_KEYS_FILE: keysFile('good.yaml', '') });
    expect(code).toBe(78);
    expect(output).toContain('VERDICT_TLS=terminated-elsewhere');
  }, 30_000);
});

describe('with a certificate, the service', () => {
  it('speaks TLS beyond loopback, has a plain port beside it, and stops with both', async () => {
    const authority = await makeAuthority('Verdict test CA');
    const { cert, key: certKey } = await authority.issue('localhost', { server: true });
    writeFileSync(join(directory, 'cert.pem'), cert);
    writeFileSync(join(directory, 'key.pem'), certKey);
    const { output, code } = await run({
      VERDICT_API_KEYS_FILE: keysFile('good.yaml', ''),
      VERDICT_TLS_CERT: join(directory, 'cert.pem'),
      VERDICT_TLS_KEY: join(directory, 'key.pem'),
      VERDICT_PLAIN_PORT: '0',
    });
    expect(output).toMatch(/verdict listening on https:\/\/127\.0\.0\.1:\d+/);
    expect(code, output).toBe(0);
  }, 30_000);

  it("does not start with a key that is not the certificate's, and does not show it", async () => {
    const authority = await makeAuthority('Verdict test CA');
    const [one, other] = [await authority.issue('localhost'), await authority.issue('localhost')];
    writeFileSync(join(directory, 'cert.pem'), one.cert);
    writeFileSync(join(directory, 'key.pem'), other.key);
    const { output, code } = await run({
      VERDICT_API_KEYS_FILE: keysFile('good.yaml', ''),
      VERDICT_TLS_CERT: join(directory, 'cert.pem'),
      VERDICT_TLS_KEY: join(directory, 'key.pem'),
    });
    expect(code).toBe(78);
    expect(output).toMatch(/VERDICT_TLS_CERT, VERDICT_TLS_KEY cannot be used: .*key values mismatch/);
    expect(output).not.toContain(other.key.split('\n')[1]);
  }, 30_000);

  it('does not start when files that the configuration names are missing or wrong, and tells all of it', async () => {
    const missing = (name: string) => join(directory, `no-${name}`);
    const { output, code } = await run({
      VERDICT_API_KEYS_FILE: missing('keys.yaml'),
      VERDICT_TLS_CERT: missing('cert.pem'),
      VERDICT_TLS_KEY: missing('key.pem'),
    });
    expect(code).toBe(78);
    for (const name of ['VERDICT_API_KEYS_FILE', 'VERDICT_TLS_CERT', 'VERDICT_TLS_KEY']) {
      expect(output).toContain(`${name} cannot be read: ENOENT`);
    }
    const wrong = await run({ VERDICT_API_KEYS_FILE: keysFile('wrong.yaml', ', set: [invoices]}\n- {name: web') });
    expect(wrong.code).toBe(78);
    expect(wrong.output).toMatch(/VERDICT_API_KEYS_FILE: .*wrong\.yaml:1:\d+: error unknown_key/);
    expect(wrong.output).toMatch(/VERDICT_API_KEYS_FILE: .*wrong\.yaml:2:\d+: error missing_value/);
  }, 30_000);
});

it('a proxy that speaks TLS and is not trusted to say who its clients are is warned of: all share its address', () => {
  const warned = (env: Record<string, string>) => {
    const warn = vi.fn();
    warnOfOneAddress(readConfig({ VERDICT_POLICY_DIR: 'policies', ...env }).config, { warn });
    return warn.mock.calls.flat().join();
  };
  expect(warned({ VERDICT_TLS: 'terminated-elsewhere' })).toContain('VERDICT_TRUSTED_PROXIES');
  expect(warned({ VERDICT_TLS: 'terminated-elsewhere', VERDICT_TRUSTED_PROXIES: '10.0.0.0/8' })).toBe('');
  expect(warned({})).toBe('');
});
