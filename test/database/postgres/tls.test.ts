import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeAuthority } from '../../security/certificates.js';
import { openDatabase } from './databases.js';
import { hasPostgres, PostgresServer } from './postgres-server.js';

describe.skipIf(!hasPostgres)('TLS to PostgreSQL (skipped where it is not installed)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'verdict-postgres-tls-'));
  const file = (name: string) => join(folder, name);
  let server: PostgresServer;

  beforeAll(async () => {
    const [authority, stranger] = [await makeAuthority('authority'), await makeAuthority('stranger')];
    const issued = await authority.issue('db.example', { server: true });
    const client = await authority.issue('postgres');
    const texts = {
      'ca.pem': authority.cert,
      'stranger.pem': stranger.cert,
      'server.pem': issued.cert,
      'server.key': issued.key,
      'client.pem': client.cert,
      'client.key': client.key,
    };
    for (const [name, text] of Object.entries(texts)) writeFileSync(file(name), text, { mode: 0o600 });
    // PostgreSQL wants its key to be its own.
    if (process.getuid?.() === 0) execFileSync('chown', ['-R', 'postgres', folder]);
    server = await PostgresServer.start({
      settings: {
        ssl: 'on',
        ssl_cert_file: file('server.pem'),
        ssl_key_file: file('server.key'),
        ssl_ca_file: file('ca.pem'),
      },
      access: [
        'hostssl certified all 127.0.0.1/32 cert',
        'hostssl secure all 127.0.0.1/32 trust',
        'host postgres all 127.0.0.1/32 trust',
      ].join('\n'),
    });
    for (const name of ['secure', 'certified']) await server.query(`CREATE DATABASE ${name}`);
  });
  afterAll(async () => {
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const encrypted = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
  const ask = (database: string, parameters: string, host = '127.0.0.1') =>
    openDatabase(server.url(database, parameters).replace('127.0.0.1', host)).query<{ ssl: boolean }>(encrypted);

  it.each([
    ['sslmode=require', '127.0.0.1'],
    ['sslmode=verify-ca&sslrootcert=CA', 'localhost'],
    ['sslmode=require&sslrootcert=CA', 'localhost'],
    ['sslmode=verify-full&sslrootcert=CA', '127.0.0.1'],
  ])('%s is encrypted, to %s', async (parameters, host) => {
    expect(await ask('secure', `?${parameters.replace('CA', file('ca.pem'))}`, host)).toEqual([{ ssl: true }]);
  });

  it.each([
    ['sslmode=verify-full&sslrootcert=CA', 'localhost', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['sslmode=verify-ca&sslrootcert=STRANGER', '127.0.0.1', /^(UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)/],
    ['sslmode=require&sslrootcert=STRANGER', '127.0.0.1', /^(UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)/],
    ['sslmode=verify-full', '127.0.0.1', /^(UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)/],
    ['sslmode=disable', '127.0.0.1', '28000'],
  ])('%s to %s is refused: %s', async (parameters, host, code) => {
    const query = `?${parameters.replace('CA', file('ca.pem')).replace('STRANGER', file('stranger.pem'))}`;
    await expect(ask('secure', query, host)).rejects.toMatchObject({
      code: expect.stringMatching(code),
      isUnavailable: true,
      isAway: false,
    });
  });

  it('shows a certificate of its own where it is wanted, read anew for each connection', async () => {
    const parameters = `?sslmode=verify-ca&sslrootcert=${file('ca.pem')}`;
    await expect(ask('certified', parameters)).rejects.toMatchObject({ code: '28000' });
    const own = `${parameters}&sslcert=${file('own.pem')}&sslkey=${file('own.key')}`;
    const database = openDatabase(server.url('certified', own), { maxConnections: 1 });
    // Also those that wait until the first one has failed.
    const failures = Array.from({ length: 5 }, () => database.query(encrypted).catch((error: unknown) => error));
    for (const failure of await Promise.all(failures)) {
      expect(failure).toMatchObject({ code: 'ENOENT', isUnavailable: true, isAway: false });
    }
    execFileSync('cp', [file('client.pem'), file('own.pem')]);
    execFileSync('cp', [file('client.key'), file('own.key')]);
    expect(await database.query(encrypted)).toEqual([{ ssl: true }]);
  });
});
