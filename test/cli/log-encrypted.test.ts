/** `verdict log` on a log that a service encrypted (docs/encryption.md). */
import { randomBytes } from 'node:crypto';
import { cpSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { PostgresDecisionLog } from '../../src/decision-log/postgres/postgres-decision-log.js';
import type { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { EncryptionKeys } from '../../src/encryption/encryption-keys.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { startService } from '../http/service.js';
import { idModel } from '../models.js';
import { verdict, workFolder } from './run.js';

it('reads with the key of the variable or of its file, and without it says which key it needs', async () => {
  const key = randomBytes(32).toString('base64');
  const [fingerprint] = EncryptionKeys.of(key).fingerprints;
  const files = { 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc, read\n' };
  const service = await startService(files, { encryptionKey: key });
  onTestFinished(() => service.stop());
  for (const subject of ['ann', 'bob', 'carl']) {
    const { body } = await service.post('/v1/decide', { subject, action: 'read', resource: 'doc' });
    expect((await service.get(`/v1/decisions/${body.decisionId}`)).body.request.subject.id).toBe(subject);
  }
  await (service.log as SqliteDecisionLog).checkpoint();
  const cwd = workFolder({ policies: false });
  writeFileSync(join(cwd, 'key'), `${key}\n`);
  writeFileSync(join(cwd, 'keys.json'), JSON.stringify((await service.get('/v1/decisions/keys')).body));
  const database = join(service.directory, 'data/verdict.sqlite');
  const run = (args: string[], env = {}) => verdict(['log', ...args, '--database', database], { cwd, env });
  const withKey = { VERDICT_ENCRYPTION_KEY: key };

  for (const env of [withKey, { VERDICT_ENCRYPTION_KEY_FILE: 'key' }]) {
    const { code, stdout } = await run(['query', '--subject', 'bob'], env);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ request: { subject: { id: 'bob' } } });
  }
  expect((await run(['export', '--q', 'carl'], withKey)).stdout.trim().split('\n')).toHaveLength(1);
  expect(JSON.parse((await run(['stats', '--by', 'policySet'], withKey)).stdout).items).toEqual([
    { policySet: 'default', count: 3 },
  ]);
  const proved = await run(['export', '--proof'], withKey);
  writeFileSync(join(cwd, 'export.ndjson'), proved.stdout);
  expect((await verdict(['log', 'verify', '--keys', 'keys.json', '--file', 'export.ndjson'], { cwd })).code).toBe(0);

  const other = { VERDICT_ENCRYPTION_KEY: randomBytes(32).toString('base64') };
  for (const env of [{}, other]) {
    for (const args of [['query'], ['export'], ['export', '--proof'], ['stats', '--by', 'caller']]) {
      const ran = await run(args, env);
      expect(ran.code, args.join(' ')).toBe(2);
      expect(ran.stderr, args.join(' ')).toContain(`the key ${fingerprint} is needed to read it`);
    }
    const verified = await run(['verify', '--keys', 'keys.json', '--output', 'text'], env);
    expect(verified.code).toBe(0);
    expect(verified.stderr).toContain(`the structure alone is verified: ${database.replace('.sqlite', '')}`);
    expect(verified.stderr).toContain(`the key ${fingerprint} is needed to read it`);
    expect(verified.stdout).toContain('3 records and 1 checkpoint verified: structure alone');
  }
  const verified = await run(['verify', '--keys', 'keys.json', '--output', 'text'], withKey);
  expect(verified).toMatchObject({ code: 0, stderr: '' });
  expect(verified.stdout).toContain('structure and content');
  // The version that the records name is in the archive.
  const { policyVersion } = JSON.parse((await run(['query', '--subject', 'ann'], withKey)).stdout);
  const whoCan = (env: object) =>
    verdict(['who-can', '--action', 'read', '--output', 'json', '--database', database, '--version', policyVersion], {
      cwd,
      env: { ...env },
    });
  expect(await whoCan(withKey)).toMatchObject({ code: 0, stdout: expect.stringContaining('"ann"') });
  const archived = await whoCan({});
  expect(archived.code).toBe(2);
  expect(archived.stderr).toContain(`the key ${fingerprint} is needed to read it`);

  const newer = randomBytes(32).toString('base64');
  const rotating = { VERDICT_ENCRYPTION_KEY: `${newer},${key}` };
  expect(await run(['rotate-key'])).toMatchObject({ code: 2, stderr: expect.stringContaining('is not set') });
  expect(await run(['rotate-key'], other)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining(`the key ${fingerprint} is needed to read it`),
  });
  expect(await run(['rotate-key'], rotating)).toMatchObject({ code: 0, stdout: '2 files wrapped anew\n', stderr: '' });
  expect((await run(['rotate-key'], rotating)).stdout).toContain('2 files had the newest key already');
  const rewriting = await run(['rotate-key', '--rewrite'], rotating);
  expect(rewriting.code).toBe(2);
  expect(rewriting.stderr).toContain('stop the service first');
  await service.app.close();
  expect(await run(['rotate-key', '--rewrite'], rotating)).toMatchObject({
    code: 0,
    stdout: '2 files encrypted anew\n',
  });
  expect((await run(['query'], { VERDICT_ENCRYPTION_KEY: newer })).stdout.trim().split('\n')).toHaveLength(3);

  const wrong = await run(['query'], { VERDICT_ENCRYPTION_KEY: 'secret' });
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain('VERDICT_ENCRYPTION_KEY must be 32 random bytes in base64');
});

describe.skipIf(!hasPostgres)('of a log in PostgreSQL', () => {
  const server = postgresForTests();
  const key = randomBytes(32).toString('base64');
  const newer = randomBytes(32).toString('base64');
  const [fingerprint] = EncryptionKeys.of(key).fingerprints;
  const withKey = { VERDICT_ENCRYPTION_KEY: key };
  const rotating = { VERDICT_ENCRYPTION_KEY: `${newer},${key}` };
  const onlyNewer = { VERDICT_ENCRYPTION_KEY: newer };
  const other = { VERDICT_ENCRYPTION_KEY: randomBytes(32).toString('base64') };

  /** A service that recorded three decisions. It has both keys, so that it reads what is rotated while it runs. */
  async function started() {
    const url = await server().createDatabase();
    const cwd = workFolder({ policies: false });
    const spoolDir = join(cwd, 'spool');
    const files = { 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc, read\n' };
    const service = await startService(files, { encryptionKey: `${key},${newer}`, databaseUrl: url, spoolDir });
    onTestFinished(() => service.stop());
    for (const subject of ['ann', 'bob', 'carl'])
      await service.post('/v1/decide', { subject, action: 'read', resource: 'doc' });
    const log = service.log as PostgresDecisionLog;
    await log.checkpoint();
    const run = (args: string[], env: Record<string, string> = {}, at = ['--database', url]) =>
      verdict(['log', ...args, ...at], { cwd, env });
    return { service, log, url, cwd, spoolDir, run };
  }

  it('reads with the key, says without it which key it needs, and such a replica does not start', async () => {
    const { service, url, cwd, run } = await started();
    writeFileSync(join(cwd, 'keys.json'), JSON.stringify((await service.get('/v1/decisions/keys')).body));
    const queried = await run(['query', '--subject', 'bob'], withKey);
    expect(queried).toMatchObject({ code: 0, stderr: '' });
    const { policyVersion, request } = JSON.parse(queried.stdout);
    expect(request.subject.id).toBe('bob');
    const counted = JSON.parse((await run(['stats', '--by', 'policySet'], withKey)).stdout);
    expect(counted.items).toEqual([{ policySet: 'default', count: 3 }]);
    const proved = await run(['export', '--proof'], withKey);
    writeFileSync(join(cwd, 'export.ndjson'), proved.stdout);
    const verified = await run(['verify', '--keys', 'keys.json', '--file', 'export.ndjson'], {}, []);
    expect(verified.code).toBe(0);
    const drafted = await run(['erase', '--subject', 'bob', '--reason', 'asked'], withKey);
    expect(drafted).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(drafted.stdout).records).toMatchObject({ about: 1 });
    const verify = ['verify', '--keys', 'keys.json', '--output', 'text'];
    expect((await run(verify, withKey)).stdout).toContain('structure and content');
    const whoCan = (env: Record<string, string>) =>
      verdict(['who-can', '--action', 'read', '--output', 'json', '--version', policyVersion, '--database', url], {
        cwd,
        env,
      });
    expect(await whoCan(withKey)).toMatchObject({ code: 0, stdout: expect.stringContaining('"ann"') });

    const needed = `the key ${fingerprint} is needed to read it`;
    for (const args of [['query'], ['export', '--proof'], ['stats', '--by', 'caller']])
      expect(await run(args, other)).toMatchObject({ code: 2, stderr: expect.stringContaining(needed) });
    expect(await run(['export'])).toMatchObject({ code: 2, stderr: expect.stringContaining(needed) });
    expect(await whoCan({})).toMatchObject({ code: 2, stderr: expect.stringContaining(needed) });
    const structure = await run(verify);
    expect(structure.code).toBe(0);
    expect(structure.stdout).toContain('3 records and 1 checkpoint verified: structure alone');
    for (const env of [{}, other] as Record<string, string>[]) {
      const serving = { ...env, VERDICT_DATABASE_URL: url, VERDICT_PORT: '0' };
      const ended = await verdict(['serve', '--local'], { cwd: workFolder(), env: serving });
      expect(ended).toMatchObject({ code: 78, stderr: expect.stringContaining(`${needed}: VERDICT_ENCRYPTION_KEY`) });
    }
  }, 240_000);

  it('wraps its keys anew and those of journals, and encrypts it anew, while the service runs', async () => {
    const { service, log, url, cwd, spoolDir, run } = await started();
    // As workers have theirs.
    cpSync(spoolDir, join(cwd, 'copy'), { recursive: true });
    renameSync(join(cwd, 'copy'), join(spoolDir, '2'));
    const configured = { ...rotating, VERDICT_DATABASE_URL: url, VERDICT_SPOOL_DIR: spoolDir };
    // The key of the index, that of the writer's day, and that of the archive; then those of the journals.
    expect(await run(['rotate-key'], configured, [])).toMatchObject({
      code: 0,
      stdout: '3 keys in PostgreSQL wrapped anew\n2 files wrapped anew\n',
      stderr: '',
    });
    expect((await run(['rotate-key'], rotating)).stdout).toBe(
      '0 keys in PostgreSQL wrapped anew\n3 keys had the newest key already\n',
    );
    expect(await run(['rotate-key'])).toMatchObject({ code: 2, stderr: expect.stringContaining('is not set') });
    expect(await run(['rotate-key'], other)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('left as it is: the decision log in PostgreSQL is encrypted, and the key'),
    });
    expect(await run(['rotate-key', '--rewrite'], rotating)).toMatchObject({
      code: 0,
      stdout: '3 records in PostgreSQL encrypted anew\n',
    });
    await service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
    await log.shipped();
    expect((await service.get('/v1/decisions/stats')).body.total).toBe(4);
    await service.app.close();
    // What the service shipped after the rewrite is under the key that comes first there.
    expect((await run(['query'], onlyNewer)).stderr).toContain(`the key ${fingerprint} is needed`);
    expect((await run(['rotate-key'], rotating)).code).toBe(0);
    expect((await run(['query'], onlyNewer)).stdout.trim().split('\n')).toHaveLength(4);
    const empty = await server().createDatabase();
    expect(await run(['rotate-key'], rotating, ['--database', empty])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is no decision log in postgres://'),
    });
  }, 240_000);
});
