/** `verdict log hold`: in a database, beside a service that runs, and through the service. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { temporaryDirectory } from '../decision-log/temporary-log.js';
import { onePolicySet, startService } from '../http/service.js';
import { type KeyedService, startKeyedService } from '../security/keyed-service.js';
import { verdict, workFolder } from './run.js';

let keyed: KeyedService;
let url: string;
let database: string;

beforeAll(async () => {
  keyed = await startKeyedService({ legal: 'scopes: ["decisions:erase"]', reader: 'scopes: ["decisions:read"]' });
  await keyed.service.app.listen(0, '127.0.0.1');
  url = await keyed.service.app.getUrl();
  database = join(keyed.service.directory, 'data/verdict.sqlite');
}, 60_000);
afterAll(() => keyed.stop());

const hold = (args: readonly string[], key?: string) =>
  verdict(['log', 'hold', ...args], {
    cwd: workFolder({ policies: false }),
    env: key === undefined ? {} : { VERDICT_API_KEY: key },
  });

describe('verdict log hold', () => {
  it('adds in a database, where the service that runs sees it, and is released there', async () => {
    const added = await hold([
      ...[
        'add',
        '--database',
        database,
        '--policy-set',
        'invoices',
        '--policy-set',
        'salaries',
        '--from',
        '2026-03-01',
      ],
      ...['--to', '2026-03-31', '--tz', 'Europe/Zurich', '--reason', 'case 7', '--output', 'json'],
    ]);
    expect(added, added.stderr).toMatchObject({ code: 0 });
    const made = JSON.parse(added.stdout);
    expect(made).toMatchObject({
      policySets: ['invoices', 'salaries'],
      to: '2026-03-31T22:00:00.000Z',
      reason: 'case 7',
    });
    expect((await keyed.as('legal', 'GET', '/v1/holds')).json().items).toEqual([made]);
    const released = await hold(['release', made.id, '--url', url, '--output', 'json'], keyed.keys.legal);
    expect(JSON.parse(released.stdout)).toEqual({ ...made, released: expect.any(String), releasedBy: 'legal' });
    const list = await hold(['list', '--database', database, '--output', 'text']);
    expect(list.stdout).toMatch(/^ID +STATE +SETS/);
    expect(list.stdout).toMatch(/released/);
    const again = await hold(['release', made.id, '--database', database]);
    expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining('There is no hold') });
  });

  it('adds and lists through a service, and says what that refuses', async () => {
    const added = await hold(['add', '--url', url, '--reason', 'all of it', '--output', 'json'], keyed.keys.legal);
    expect(JSON.parse(added.stdout)).toMatchObject({ reason: 'all of it', by: 'legal' });
    const list = await hold(['list', '--url', url, '--output', 'json'], keyed.keys.legal);
    expect(JSON.parse(list.stdout)).toContainEqual(JSON.parse(added.stdout));
    const refused = await hold(['list', '--url', url], keyed.keys.reader);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('decisions:erase') });
  });

  it.each<[string, string[], RegExp]>([
    ['without a reason', ['add', '--database', 'DB'], /--reason/],
    [
      'of a set that never served',
      ['add', '--database', 'DB', '--reason', 'r', '--policy-set', 'none'],
      /policy set "none"/,
    ],
    ['with an empty reason', ['add', '--database', 'DB', '--reason', ''], /reason must not be empty/],
    ['with a control character', ['add', '--database', 'DB', '--reason', 'a\u0007'], /reason must not hold a control/],
    ['with a long reason', ['add', '--database', 'DB', '--reason', 'x'.repeat(513)], /at most 512 characters/],
    ['from what is no time', ['add', '--database', 'DB', '--reason', 'r', '--from', 'March'], /from is not a time/],
    [
      'that ends before it begins',
      ['add', '--database', 'DB', '--reason', 'r', '--from', '2026-03-02', '--to', '2026-03-01'],
      /to is not after from/,
    ],
    ['in a database that is not there', ['list', '--database', 'none.sqlite'], /there is no decision log/],
    ['of an id that is not there', ['release', 'none', '--database', 'DB'], /There is no hold "none"/],
  ])('refuses one %s with exit code 2', async (_name, args, message) => {
    const ran = await hold(args.map((arg) => (arg === 'DB' ? database : arg)));
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(message);
  });
});

describe.skipIf(!hasPostgres)('verdict log hold on PostgreSQL', () => {
  const server = postgresForTests();
  it('adds a hold that a replica lists, and lists those of replicas', async () => {
    const databaseUrl = await server().createDatabase();
    const replica = await startService(onePolicySet, { databaseUrl, spoolDir: temporaryDirectory() });
    const added = await hold(['add', '--database', databaseUrl, '--reason', 'r', '--output', 'json']);
    expect(added, added.stderr).toMatchObject({ code: 0 });
    expect((await replica.get('/v1/holds')).body.items).toEqual([JSON.parse(added.stdout)]);
    await replica.post('/v1/holds', { reason: 'other' });
    const list = await hold(['list', '--database', databaseUrl, '--output', 'json']);
    expect(JSON.parse(list.stdout).map(({ reason }: { reason: string }) => reason)).toEqual(['other', 'r']);
    await replica.stop();
  });
});
