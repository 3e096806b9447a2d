/** `verdict log` on a log that a service encrypted (docs/encryption.md). */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { EncryptionKeys } from '../../src/encryption/encryption-keys.js';
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
