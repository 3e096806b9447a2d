/** `--version` and `--at`: the versions that a service served earlier, from the service and from its database. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { versionAt } from '../../src/cli/sources/version-at.js';
import { type Service, startService, writePolicies } from '../http/service.js';
import { idModel, roleModel } from '../models.js';
import { type Ran, verdict, workFolder } from './run.js';

let service: Service;
let database: string;
let url: string;
let earlier: string;
let between: string;

beforeAll(async () => {
  service = await startService({ 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc, read\n' });
  await service.app.listen(0, '127.0.0.1');
  url = await service.app.getUrl();
  database = join(service.directory, 'data/verdict.sqlite');
  const { version, since } = (await service.get('/v1/policy-sets/default')).body;
  earlier = version;
  between = since;
  await writeFile(join(service.directory, 'policies/default/rules.csv'), 'p, bob, doc, read\n');
  await service.post('/v1/policy-sets/default/reload', {});
});

afterAll(() => service.stop());

const run = (...args: string[]): Promise<Ran> => verdict(args, { cwd: workFolder({ policies: false }) });
const subjectsOf = ({ stdout }: Ran): string[] =>
  JSON.parse(stdout).permissions.map(({ subject }: { subject: { id: string } }) => subject.id);

describe.each(['--url', '--database'] as const)('with %s', (where) => {
  const source = () => [where, where === '--url' ? url : database];
  const ask = ['--action', 'read', '--output', 'json'];

  it('who could is asked of the version that served then, or of one that is named', async () => {
    expect(subjectsOf(await run('who-can', ...ask, ...source()))).toEqual(['bob']);
    const then = await run('who-can', ...ask, '--at', between, ...source());
    expect(subjectsOf(then), then.stderr).toEqual(['ann']);
    expect(then.stderr).toContain(`of default, version ${earlier}`);
    expect(subjectsOf(await run('who-can', ...ask, '--version', earlier.slice(0, 20), ...source()))).toEqual(['ann']);
    expect(subjectsOf(await run('who-can', ...ask, '--at', new Date().toISOString(), ...source()))).toEqual(['bob']);
    const review = await run('access-review', '--output', 'json', '--version', earlier, ...source());
    expect(subjectsOf(review)).toEqual(['ann']);
    const what = await run('what-can', '--subject', 'ann', '--output', 'json', '--version', earlier, ...source());
    expect(subjectsOf(what)).toEqual(['ann']);
  });

  it('a question is answered on the version that is named, and not recorded', async () => {
    const question = ['--subject', 'ann', '--action', 'read', '--resource', 'doc', '--output', 'json'];
    const before = (await service.get('/v1/decisions/stats')).body.total;
    for (const command of ['decide', 'explain']) {
      const ran = await run(command, ...question, '--version', earlier, ...source());
      expect(ran.code, ran.stderr).toBe(0);
      expect(JSON.parse(ran.stdout)).toMatchObject({ decision: 'allow' });
    }
    expect((await service.get('/v1/decisions/stats')).body.total).toBe(before);
  });

  it('says what is wrong', async () => {
    for (const [args, said] of [
      [['--at', '2001-01-01T00:00:00Z'], 'no version of default that served at 2001-01-01T00:00:00.000Z is kept'],
      [['--version', 'sha256:00000'], 'no version of default begins with sha256:00000'],
      [['--version', `sha256:${'0'.repeat(64)}`], 'default never served'],
      [['--at', 'yesterday'], '--at yesterday is no time'],
    ] as const) {
      const ran = await run('who-can', ...ask, ...args, ...source());
      expect(ran, ran.stdout).toMatchObject({ code: 2, stdout: '' });
      expect(ran.stderr).toContain(said);
    }
  });
});

it('live data are those of the version that is asked; --url, which does not give them, says so', async () => {
  const folder = workFolder({ policies: false });
  const path = join(folder, 'data/verdict.sqlite');
  const set = {
    'default/model.conf': roleModel,
    'default/rules.csv': 'p, reader, doc, read\n',
    'default/policy-set.yaml': 'data: { roles: [g] }\n',
  };
  const live = await startService(set, { databaseUrl: `sqlite:${path}` });
  try {
    await live.app.listen(0, '127.0.0.1');
    const change = (what: object) => live.post('/v1/policy-sets/default/changes', what);
    const { version } = (await change({ add: { roles: [['g', 'ann', 'reader']] } })).body;
    await change({ add: { roles: [['g', 'bob', 'reader']] }, remove: { roles: [['g', 'ann', 'reader']] } });
    const ask = ['who-can', '--action', 'read', '--output', 'json'];
    const now = await run(...ask, '--database', path);
    expect(now.code, now.stderr).toBe(0);
    expect(subjectsOf(now)).toContain('bob');
    expect(subjectsOf(now)).not.toContain('ann');
    const then = await run(...ask, '--database', path, '--version', version);
    expect(subjectsOf(then), then.stderr).toContain('ann');
    expect(subjectsOf(then)).not.toContain('bob');
    const refused = await run(...ask, '--url', await live.app.getUrl());
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain('serves with live data');
    // The folder would take away what bob has, by his role alone.
    writePolicies(join(folder, 'next'), { ...set, 'default/rules.csv': 'p, reader, doc, list\n' });
    const diff = await run('diff', join(folder, 'next/default'), '--database', path, '--output', 'json');
    const [{ access }] = JSON.parse(diff.stdout).sets;
    const lost = access.lost.map(({ subject, action }: { subject: { id: string }; action: string }) => [
      subject.id,
      action,
    ]);
    expect(lost, diff.stderr).toContainEqual(['bob', 'read']);
  } finally {
    await live.stop();
  }
});

it('decide with --database is asked of the version that served then', async () => {
  const question = ['--subject', 'ann', '--action', 'read', '--resource', 'doc', '--database', database];
  expect((await run('decide', ...question)).code).toBe(1);
  expect((await run('decide', ...question, '--at', between)).code).toBe(0);
});

it('a folder has no earlier versions, and there is one place to ask', async () => {
  for (const [args, said] of [
    [['policies', '--version', earlier], '--version goes with --url or --database'],
    [['policies', '--database', database], `say which one to ask: policies, or --database ${database}`],
    [['--url', url, '--database', database], `say which one to ask: --url ${url}, or --database ${database}`],
  ] as const) {
    const ran = await run('who-can', '--action', 'read', ...args);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(said);
  }
  const ran = await run(
    'decide',
    '--url',
    url,
    '--version',
    earlier,
    '--at-least',
    '3',
    '--subject',
    'a',
    '--action',
    'b',
  );
  expect(ran.stderr).toContain('--at-least goes with --url');
});

describe('the version that served at a time', () => {
  const day = (n: number) => new Date(Date.UTC(2026, 2, n)).toISOString();
  /** Versions by when they were first and last put into service. */
  const at = async (served: Readonly<Record<string, readonly [number, number]>>, n: number) => {
    const list = async function* () {
      for (const [version, [first, last]] of Object.entries(served)) {
        yield { version, files: [], semantics: 2, firstServed: day(first), lastServed: day(last) };
      }
    };
    const versions = { list, served: async () => new Map(), files: async () => [], close: async () => undefined };
    return (await versionAt(versions, 'invoices', Date.parse(day(n)))).version;
  };

  it('is what was put into service last before it, to the millisecond', async () => {
    const served = { c: [9, 9], b: [5, 7], a: [1, 3] } as const;
    expect(await Promise.all([1, 3, 4, 5, 8, 9, 20].map((n) => at(served, n)))).toEqual([
      'a',
      'a',
      'a',
      'b',
      'b',
      'c',
      'c',
    ]);
    await expect(at(served, 0)).rejects.toThrow('no version of invoices that served at');
  });

  it('is not known where a version that had served before came back some time later', async () => {
    const served = { b: [5, 5], a: [1, 9] } as const;
    expect(await at(served, 4)).toBe('a');
    expect(await at(served, 9)).toBe('a');
    await expect(at(served, 7)).rejects.toThrow('b and a both served invoices before');
  });
});
