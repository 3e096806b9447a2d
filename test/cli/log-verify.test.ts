/** `verdict log verify` (P5): on the database of a service, on a backup, against checkpoints from elsewhere. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SqliteConnection } from '../../src/database/sqlite/sqlite-connection.js';
import type { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { FleetCheckpoints } from '../../src/fleet/checkpoints/fleet-checkpoints.js';
import { startService } from '../http/service.js';
import { idModel } from '../models.js';
import { verdict, workFolder } from './run.js';

it('verifies what a service recorded, and names what was changed or is missing', async () => {
  const service = await startService({ 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc, read\n' });
  for (const subject of ['ann', 'bob', 'carl']) {
    await service.post('/v1/decide', { subject, action: 'read', resource: 'doc' });
  }
  await service.app.get(FleetCheckpoints).make();
  const cwd = workFolder({ policies: false });
  writeFileSync(join(cwd, 'keys.json'), JSON.stringify((await service.get('/v1/decisions/keys')).body));
  writeFileSync(join(cwd, 'checkpoints.json'), JSON.stringify((await service.get('/v1/decisions/checkpoints')).body));
  const database = join(service.directory, 'data/verdict.sqlite');
  const verify = (...args: string[]) => verdict(['log', 'verify', '--keys', 'keys.json', ...args], { cwd });

  const whole = await verify('--database', database, '--output', 'text');
  expect(whole).toMatchObject({ code: 0, stderr: '' });
  // How many events the questions of this test have made by now, nobody can say.
  expect(whole.stdout.replace(/^\d+ audit events? verified.*\n/m, '')).toBe(
    '3 records and 1 checkpoint verified: structure and content\n' +
      '1 checkpoint of the fleet verified\n' +
      '1 archived version of policy sets verified\nnothing is wrong or missing\n',
  );
  const backup = join(cwd, 'backup');
  expect((await verdict(['backup', backup], { cwd, env: { VERDICT_DATABASE_URL: `sqlite:${database}` } })).code).toBe(
    0,
  );
  const structure = await verify('--database', backup, '--depth', 'structure', '--against', 'checkpoints.json');
  expect(structure.code).toBe(0);
  expect(JSON.parse(structure.stdout)).toMatchObject({ depth: 'structure', records: 3, found: 0 });

  const copy = await SqliteConnection.open({ path: join(backup, 'verdict.decisions.sqlite'), busyTimeoutMs: 0 });
  await copy.query(`UPDATE journal SET records = replace(records, '"bob"', '"ann"')`);
  await copy.close();
  const beside = await SqliteConnection.open({ path: join(backup, 'verdict.sqlite'), busyTimeoutMs: 0 });
  await beside.query(`INSERT INTO audit_event (id, time, type, count) VALUES (0, 5, 'limit_hit', 1)`);
  await beside.close();
  const changed = await verify('--database', backup, '--output', 'text');
  expect(changed.code).toBe(1);
  expect(changed.stdout.split('\n')[0]).toMatch(/^wrong: sequence 2.*verdict\.decisions\.sqlite: the record/);
  expect(changed.stdout).toContain('1 audit event without proof, from an earlier release or from somebody else\n');

  // A backup from before the newest records, against a checkpoint from after them.
  const old = join(cwd, 'old');
  expect((await verdict(['backup', old], { cwd, env: { VERDICT_DATABASE_URL: `sqlite:${database}` } })).code).toBe(0);
  await service.post('/v1/decide', { subject: 'dora', action: 'read', resource: 'doc' });
  const note = await (service.log as SqliteDecisionLog).checkpoint();
  writeFileSync(join(cwd, 'later'), note!);
  const short = await verify('--database', old, '--against', 'later', '--output', 'text');
  expect(short.code).toBe(1);
  expect(short.stdout).toContain('missing: sequence 4');

  // An export that proves itself, with the hashes of the records that it leaves out.
  const exported = await verdict(['log', 'export', '--proof', '--subject', 'ann', '--database', database], { cwd });
  expect(exported).toMatchObject({ code: 0, stderr: '' });
  expect(exported.stdout).not.toContain('"bob"');
  const file = join(cwd, 'export.ndjson');
  writeFileSync(file, exported.stdout);
  const ofFile = await verify('--file', file, '--against', 'later');
  expect(ofFile.code).toBe(0);
  expect(JSON.parse(ofFile.stdout)).toMatchObject({ records: 4, found: 0, unsigned: 0 });
  for (const [from, to, sequence] of [
    ['"ann"', '"bob"', expect.any(Number)],
    ['"sequence":1', '"sequence":2', 1],
    [/\{"entry":1,.*\n/, '', 2],
    [/\{"end":true\}\n/, '', 5],
    ['"records":[', '"records"[', expect.any(Number)],
  ] as const) {
    expect(exported.stdout).not.toBe(exported.stdout.replace(from, to));
    writeFileSync(file, exported.stdout.replace(from, to));
    const wrong = await verify('--file', file);
    expect(wrong.code).toBe(1);
    expect(JSON.parse(wrong.stdout).findings[0]).toMatchObject({ sequence });
  }
  await service.stop();
});

it('says what is wrong with its arguments', async () => {
  const cwd = workFolder({ policies: false });
  writeFileSync(join(cwd, 'wrong.json'), '{"keys": []}');
  const verify = (...args: string[]) => verdict(['log', 'verify', ...args], { cwd });
  const wrongs: readonly (readonly [string[], string])[] = [
    [['--database', 'none.sqlite'], '--keys'],
    [['--database', 'none.sqlite', '--keys', 'none.json'], 'none.json cannot be read'],
    [['--database', 'none.sqlite', '--keys', 'wrong.json'], 'wrong.json holds no keys'],
  ];
  for (const [args, text] of wrongs) {
    const { code, stderr } = await verify(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(text);
  }
  const service = await startService({ 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc, read\n' });
  writeFileSync(join(cwd, 'keys.json'), JSON.stringify((await service.get('/v1/decisions/keys')).body));
  await service.stop();
  const nowhere = await verify('--database', 'none.sqlite', '--keys', 'keys.json');
  expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no decision log') });
  const nothing = await verify('--database', cwd, '--keys', 'keys.json', '--against', 'wrong.json');
  expect(nothing).toMatchObject({ code: 2, stderr: expect.stringContaining('wrong.json holds no checkpoints') });
  expect(readFileSync(join(cwd, 'wrong.json'), 'utf8')).toBe('{"keys": []}');
});
