/** `verdict log export --about`: all that is kept about a person, from a database and from a service. */
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PersonLine } from '../../src/cli/sources/person-source.js';
import type { PostgresDecisionLog } from '../../src/decision-log/postgres/postgres-decision-log.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { temporaryDirectory } from '../decision-log/temporary-log.js';
import { idModel } from '../models.js';
import { type KeyedService, startKeyedService } from '../security/keyed-service.js';
import { type Ran, verdict, workFolder } from './run.js';

const scopes =
  '[decide, "decisions:read", "decisions:erase", "policies:read", "policies:write", "data:read", "data:write", "keys:admin"]';
const files = {
  'model.conf': idModel.replace('[policy_effect]', '[role_definition]\ng = _, _\n\n[policy_effect]'),
  'rules.csv': 'p, ann, doc, read\n',
  'policy-set.yaml': 'data: { roles: [g], entities: [user] }\n',
};

/** A service in which Dana left traces, and others too. */
async function startWithTraces(settings: object): Promise<KeyedService> {
  const keyed = await startKeyedService(
    { admin: `scopes: ${scopes}`, reader: 'scopes: ["decisions:read"]' },
    { policySource: 'database', ...settings },
  );
  const ask = async (method: 'POST' | 'DELETE', url: string, body: object, headers = {}) => {
    const answer = await keyed.as('admin', method, url, body, headers);
    expect(answer.statusCode, answer.body).toBeLessThan(300);
    return answer.json();
  };
  await keyed.inject({
    method: 'PUT',
    url: '/v1/policy-sets/acl',
    payload: { files },
    headers: { authorization: `Bearer ${keyed.keys.admin}` },
  } as never);
  const entities = [
    { type: 'user', id: 'dana', attributes: { level: 3 } },
    { type: 'user', id: 'ben', attributes: { manager: 'dana', deputies: [{ finn: 1 }] } },
    { type: 'user', id: 'dana2' },
  ];
  const roles = [
    ['g', 'user:dana', 'editor'],
    ['g', 'ben', 'editor'],
    ['g', 'user:eve', 'editor'],
  ];
  await ask('POST', '/v1/policy-sets/acl/changes', { add: { entities, roles } });
  await ask('POST', '/v1/decide', { subject: 'dana', action: 'read', resource: 'doc' });
  await ask('POST', '/v1/decide', {
    subject: 'ann',
    action: 'read',
    resource: { id: 'doc', attributes: { owner: 'dana' } },
  });
  await ask('POST', '/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
  await ask('POST', '/v1/api-keys', { name: 'dana', scopes: ['decide'] });
  await ask('POST', '/v1/api-keys', { name: 'till', owner: 'dana', scopes: ['decide'] });
  await ask('POST', '/v1/holds', { reason: 'what dana approved' });
  await ask('POST', '/v1/holds', { reason: 'another' });
  return keyed;
}

const about = (args: readonly string[], key?: string): Promise<Ran> =>
  verdict(['log', 'export', '--about', 'dana', ...args], {
    cwd: workFolder({ policies: false }),
    env: key === undefined ? {} : { VERDICT_API_KEY: key },
  });
const linesOf = ({ stdout }: Ran): PersonLine[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

function expectAllOfDana(ran: Ran): void {
  expect(ran.code, ran.stderr).toBe(0);
  const lines = linesOf(ran);
  const of = <Kind extends PersonLine['kind']>(kind: Kind) =>
    lines.filter((line): line is Extract<PersonLine, { kind: Kind }> => line.kind === kind);
  expect(of('decision')).toMatchObject([
    { relation: 'names', record: { request: { subject: { id: 'ann' }, resource: { attributes: { owner: 'dana' } } } } },
    { relation: 'about', record: { request: { subject: { id: 'dana' } } } },
  ]);
  expect(of('entity').map(({ policySet, entity }) => [policySet, entity.id])).toEqual([
    ['acl', 'ben'],
    ['acl', 'dana'],
  ]);
  expect(of('role_link')).toMatchObject([
    { policySet: 'acl', link: { role: ['g', 'user:dana', 'editor'], addedBy: 'admin' } },
  ]);
  expect(of('api_key').map(({ key }) => key.name)).toEqual(['dana', 'till']);
  expect(of('hold')).toMatchObject([{ hold: { reason: 'what dana approved' } }]);
  // Of a service the export itself is one.
  const events = of('audit_event').map(({ event }) => event.type);
  expect(events.filter((type) => type !== 'decisions_exported')).toEqual(['hold_added', 'api_key_created']);
  expect(of('not_searched').map(({ what }) => what)).toEqual(expect.arrayContaining(['backups']));
  expect(lines.at(-1)).toEqual({
    kind: 'end',
    about: 'dana',
    counts: { decision: 2, audit_event: events.length, role_link: 1, entity: 2, api_key: 2, hold: 1 },
  });
}

describe('verdict log export --about', () => {
  let keyed: KeyedService;
  let url: string;
  let database: string;
  beforeAll(async () => {
    keyed = await startWithTraces({});
    await keyed.service.app.listen(0, '127.0.0.1');
    url = await keyed.service.app.getUrl();
    database = join(keyed.service.directory, 'data/verdict.sqlite');
  }, 60_000);
  afterAll(() => keyed.stop());

  it('finds in a database all that is about the person or names it, each line with its kind', async () => {
    expectAllOfDana(await about(['--database', database]));
  });

  it('finds the same through the service', async () => {
    expectAllOfDana(await about(['--url', url], keyed.keys.admin));
  });

  it('finds live data that the preview of an erasure lists, too', async () => {
    for (const [subject, found] of [
      ['dana', ['acl']],
      ['eve', ['acl']],
      ['editor', ['acl']],
      ['finn', ['acl']],
      ['ev', []],
      ['nobody', []],
    ] as const) {
      const preview = (await keyed.as('admin', 'POST', '/v1/erasures/preview', { subject })).json();
      expect(preview.untouched, subject).toContainEqual(expect.objectContaining({ place: 'live_data', found }));
    }
  });

  it('says what the caller may not look at, gives the rest, and ends with exit code 1', async () => {
    const ran = await about(['--url', url], keyed.keys.reader);
    expect(ran.code).toBe(1);
    const lines = linesOf(ran);
    const missed = lines.flatMap((line) => (line.kind === 'not_searched' ? [line.what] : []));
    expect(missed).toEqual(expect.arrayContaining(['live data', 'API keys', 'holds']));
    expect(lines.filter(({ kind }) => kind === 'decision')).toHaveLength(2);
    expect(ran.stderr).toContain('live data could not be looked at');
  });

  it.each<[string, string[], RegExp]>([
    ['as CSV', ['--output', 'csv'], /NDJSON/],
    ['with a filter', ['--decision', 'deny'], /cannot be used with/],
    ['with a proof', ['--proof'], /cannot be used with/],
    ['of a database that is not there', ['--database', 'none.sqlite'], /there is no decision log/],
    ['of a service that is not there', ['--url', 'http://127.0.0.1:1'], /cannot be reached|ECONNREFUSED|refused/],
  ])('is refused %s', async (_name, args, message) => {
    const ran = await about(args);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(message);
  });

  it('says of a log without a database what it could not look at, and makes none', async () => {
    const folder = temporaryDirectory();
    for (const name of readdirSync(join(keyed.service.directory, 'data')))
      if (name.includes('decisions')) cpSync(join(keyed.service.directory, 'data', name), join(folder, name));
    const ran = await about(['--database', join(folder, 'verdict.sqlite')]);
    expect(ran.code).toBe(1);
    expect(linesOf(ran).filter(({ kind }) => kind === 'decision')).toHaveLength(2);
    expect(ran.stderr).toMatch(/audit events could not be looked at: there is no database/);
    expect(readdirSync(folder)).not.toContain('verdict.sqlite');
  });

  it('is refused without an id', async () => {
    const ran = await verdict(['log', 'export', '--about', '', '--database', database], {
      cwd: workFolder({ policies: false }),
    });
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('--about takes the id') });
  });
});

describe.skipIf(!hasPostgres)('verdict log export --about on PostgreSQL', () => {
  const server = postgresForTests();
  it('finds what all replicas shipped, and all else', async () => {
    const databaseUrl = await server().createDatabase();
    const keyed = await startWithTraces({ databaseUrl, spoolDir: temporaryDirectory() });
    await (keyed.service.log as PostgresDecisionLog).shipped();
    expectAllOfDana(await about(['--database', databaseUrl]));
    await keyed.stop();
  });
});
