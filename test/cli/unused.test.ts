/** `verdict unused` as people run it: on a log of one service, of replicas, over HTTP, and on an export. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PostgresDecisionLog } from '../../src/decision-log/postgres/postgres-decision-log.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { type Service, startService } from '../http/service.js';
import { verdict, workFolder } from './run.js';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
`;
const rules = `p, editor, doc, read, allow
p, editor, doc, write, allow
p, dan, doc, read, allow
p, boss, doc, read, deny
`;
const links = `g, ann, staff
g, ben, editor
g, staff, editor
g, cy, editor
`;
const policies = { 'docs/model.conf': model, 'docs/rules.csv': rules, 'docs/roles.csv': links };

function folderOf(files: Readonly<Record<string, string>> = policies): string {
  const cwd = workFolder({ policies: false });
  mkdirSync(join(cwd, 'docs'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
  return cwd;
}

/** ann reads over two links, dan by himself, ben and cy nothing that is allowed. */
async function decideAll(service: Service): Promise<void> {
  for (const [subject, action] of [
    ['ann', 'read'],
    ['ann', 'read'],
    ['dan', 'read'],
    ['ben', 'delete'],
  ]) {
    const asked = { subject, action, resource: 'doc', policySet: 'docs' };
    expect((await service.post('/v1/decide', asked)).status).toBe(200);
  }
}

const unused = {
  rules: { total: 3, unused: [{ rule: ['p', 'editor', 'doc', 'write', 'allow'], file: 'rules.csv', line: 2 }] },
  links: {
    total: 4,
    unused: [
      { rule: ['g', 'ben', 'editor'], file: 'roles.csv', line: 2 },
      { rule: ['g', 'cy', 'editor'], file: 'roles.csv', line: 4 },
    ],
  },
};

describe.each([
  ['SQLite', true],
  ['PostgreSQL', hasPostgres],
] as const)('verdict unused on %s', (kind, isThere) => {
  const server = postgresForTests();
  let service: Service;
  let database: string;

  beforeAll(async () => {
    if (!isThere) return;
    const url = kind === 'PostgreSQL' ? await server().createDatabase() : undefined;
    const spoolDir = mkdtempSync(join(tmpdir(), 'verdict-spool-'));
    service = await startService(policies, url === undefined ? {} : { databaseUrl: url, spoolDir });
    database = url ?? join(service.directory, 'data', 'verdict.sqlite');
    await decideAll(service);
    if (url !== undefined) await (service.log as PostgresDecisionLog).shipped();
  }, 60_000);
  afterAll(() => service?.stop());

  it.skipIf(!isThere)('lists rules that decided nothing, and links that no decision went over', async () => {
    const ran = await verdict(['unused', 'docs', '--database', database, '--output', 'json'], { cwd: folderOf() });
    expect(ran.code).toBe(1);
    const found = JSON.parse(ran.stdout);
    expect(found).toMatchObject({ policySet: 'docs', decisions: 3, ...unused });
    // The log is younger than ninety days.
    expect(found.limits).toEqual([expect.stringContaining('what was used before is not known')]);
    expect(found.complete).toBe(false);
  });

  it.skipIf(!isThere)('says so for people, with the places', async () => {
    const ran = await verdict(['unused', 'docs', '--database', database, '--days', '1'], { cwd: folderOf() });
    expect(ran.code).toBe(1);
    const [head, ...rest] = ran.stdout.trim().split('\n');
    expect(head).toMatch(/^docs: 1 of 3 rules that allow and 2 of 4 role links used by none of 3 decisions since 20/);
    expect(rest).toEqual([
      '  rules.csv:2  p, editor, doc, write, allow',
      '  roles.csv:2  g, ben, editor',
      '  roles.csv:4  g, cy, editor',
    ]);
  });

  it.skipIf(!isThere)('reads what a rule allowed that is no longer there, and says that it was another', async () => {
    const changed = folderOf({
      ...policies,
      'docs/rules.csv': rules.replace('p, dan, doc, read', 'p, dan, doc, peek'),
    });
    const args = ['unused', 'docs', '--database', database, '--days', '1', '--output', 'json'];
    const found = JSON.parse((await verdict(args, { cwd: changed })).stdout);
    expect(found.limits).toEqual(['1 decision by rules that the folder does not have']);
    expect(found.rules.unused.map(({ line }: { line: number }) => line)).toEqual([2, 3]);
  });

  it.skipIf(!isThere)('is fine where all were used, and knows nothing of an empty log', async () => {
    const used = folderOf({
      ...policies,
      'docs/rules.csv': 'p, editor, doc, read, allow\np, dan, doc, read, allow\n',
      'docs/roles.csv': 'g, ann, staff\ng, staff, editor\n',
    });
    const fine = await verdict(['unused', 'docs', '--database', database, '--days', '1'], { cwd: used });
    expect(fine).toMatchObject({ code: 0 });
    const args = ['unused', 'docs', '--database', database, '--policy-set', 'others', '--output', 'json'];
    expect(JSON.parse((await verdict(args, { cwd: used })).stdout)).toMatchObject({
      decisions: 0,
      complete: false,
      limits: ['no decision that allows is in the log'],
    });
  });
});

describe('verdict unused on a service and on an export', () => {
  let service: Service;
  let url: string;

  beforeAll(async () => {
    service = await startService({
      ...policies,
      'docs/policy-set.yaml': 'decisionLog: { mask: [/subject/attributes/level] }\n',
    });
    await service.app.listen(0, '127.0.0.1');
    url = await service.app.getUrl();
    await decideAll(service);
  });
  afterAll(() => service.stop());

  it('says the same as the log itself', async () => {
    const cwd = folderOf();
    const ofService = await verdict(['unused', 'docs', '--url', url, '--days', '1', '--output', 'json'], { cwd });
    expect(JSON.parse(ofService.stdout)).toMatchObject({ ...unused, complete: true, limits: [] });
    const exported = await verdict(['log', 'export', '--url', url], { cwd });
    writeFileSync(join(cwd, 'log.ndjson'), exported.stdout);
    const args = ['unused', 'docs', '--file', 'log.ndjson', '--days', '1', '--output', 'json'];
    expect(JSON.parse((await verdict(args, { cwd })).stdout)).toMatchObject({ ...unused, complete: true });
  });

  it('says of how many decisions masked values hide the role links', async () => {
    const subject = { type: 'user', id: 'ben', attributes: { level: 5 } };
    const asked = { subject, action: 'read', resource: 'doc', policySet: 'docs' };
    expect((await service.post('/v1/decide', asked)).body.decision).toBe('allow');
    const args = ['unused', 'docs', '--url', url, '--days', '1', '--output', 'json'];
    const found = JSON.parse((await verdict(args, { cwd: folderOf() })).stdout);
    expect(found.limits).toEqual([expect.stringContaining('1 decision of which nobody can say over which role links')]);
    expect(found.links).toEqual(unused.links);
  });

  it.each([
    [['--days', '0'], 'It must be a whole number of days from 1 on.'],
    [['--file', 'nothing.ndjson'], 'nothing.ndjson cannot be read'],
    [['--file', 'docs/rules.csv'], 'docs/rules.csv:1 is no exported decision'],
    [['--file', 'a', '--url', 'http://127.0.0.1'], 'cannot be used with'],
  ])('refuses %j and says why', async (args, why) => {
    const ran = await verdict(['unused', 'docs', ...args], { cwd: folderOf() });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(why);
  });
});
