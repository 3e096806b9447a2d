/** Who may do what, asked of the service, of the command line and by AuthZEN: three doors to one enumeration (P9). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { verdict } from '../cli/run.js';
import { type Service, startService } from '../http/service.js';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = (g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && regexMatch(r.act, p.act)) || (r.sub == "root" && p.eft == "allow" && r.obj.level >= 3)
`;
const rules = `p, editor, plan, (read)|(write), allow
p, editor, drafts/*, ^(read)$, allow
p, ann, drafts/old/*, ^(read)$, deny
g, ann, editor
g, ben, editor
`;

let service: Service;
let folder: string;

beforeAll(async () => {
  service = await startService({
    'docs/model.conf': model,
    'docs/rules.csv': rules,
    'docs/entities.yaml': '- { type: doc, id: drafts/7, attributes: { level: 2 } }\n',
  });
  folder = join(service.directory, 'policies/docs');
});
afterAll(() => service.stop());

const ask = async (route: string, body: object) => (await service.post(`/v1/policy-sets/docs/${route}`, body)).body;
const at = '2026-03-03T10:00:00Z';

/** What a permission says, as JSON; witnesses and conditions included. */
const bare = (permissions: readonly object[]) => permissions.map((each) => JSON.parse(JSON.stringify(each)));

it.each([
  ['who-can', { action: 'read' }, ['--action', 'read']],
  ['what-can', { subject: 'ann' }, ['--subject', 'ann']],
  ['what-can', { subject: 'root' }, ['--subject', 'root']],
  ['access-review', {}, []],
  ['access-review', { resource: { type: 'doc', id: 'drafts/7' } }, ['--resource', 'doc:drafts/7']],
])('%s of %j is the same from the service and from the command line', async (route, body, options) => {
  const answered = await ask(route, { ...body, at });
  const printed = await verdict([route, folder, ...options, '--at', at, '--output', 'json'], { cwd: folder });
  const said = JSON.parse(printed.stdout);
  expect(bare(answered.permissions)).toEqual(bare(said.permissions));
  const { examined, complete, limits, rolesLeftOut } = said;
  expect(answered).toMatchObject({ examined, complete, limits, rolesLeftOut, policySet: 'docs' });
  expect(answered.permissions.length).toBeGreaterThan(0);
});

it('AuthZEN finds the names that are always allowed, and no witness', async () => {
  const { permissions } = await ask('access-review', { at });
  const always = permissions.filter((each: { if?: string; witness?: object }) => !each.if && !each.witness);
  for (const name of ['ann', 'ben', 'root']) {
    const found = await service.post('/sets/docs/access/v1/search/resource', {
      subject: { type: 'user', id: name },
      action: { name: 'read' },
      resource: { type: 'doc' },
    });
    const listed = always
      .filter(
        ({ subject, action }: { subject: { id: string }; action: string }) => subject.id === name && action === 'read',
      )
      .map(({ resource }: { resource: { id: string } }) => resource.id);
    expect(found.body.results.map(({ id }: { id: string }) => id)).toEqual([...new Set(listed)].sort());
  }
});

it('says always, and under which condition, and has a witness for each region', async () => {
  const { permissions, complete } = await ask('access-review', { at });
  const text = permissions.map(
    ({
      subject,
      action,
      resource,
      witness,
      ...found
    }: Record<string, Record<string, string>> & { action: string; if?: string }) =>
      `${subject!.id} ${action} ${JSON.stringify(witness?.resource ?? resource!.id)}${found.if === undefined ? '' : ` if ${found.if}`}`,
  );
  expect(complete).toBe(true);
  expect(text).toEqual(
    expect.arrayContaining([
      'ann read "plan"',
      'ann read {"id":"any other in \\"drafts/*\\""}',
      'ben read {"id":"any other in \\"drafts/*\\" and \\"drafts/old/*\\""}',
      'root read "plan" if r.obj.level >= 3',
    ]),
  );
  expect(text).not.toContain('ann read {"id":"any other in \\"drafts/*\\" and \\"drafts/old/*\\""}');
  expect(text.some((line: string) => line.startsWith('root') && line.includes('drafts/7'))).toBe(false);
});

it('lists as many as it is told to, and says that there are more', async () => {
  const { permissions } = await ask('access-review', { at });
  const whole = await ask('access-review', { at, limit: permissions.length + 1 });
  expect(whole).toMatchObject({ complete: true, limits: [] });
  const most = permissions.length - 1;
  const cut = await ask('access-review', { at, limit: most });
  expect(cut).toMatchObject({ complete: false, limits: [`only the first ${most} permissions are listed`] });
  expect(cut.permissions).toHaveLength(most);
});

it('asks an older version', async () => {
  const { policyVersion } = await ask('who-can', { action: 'read', resource: 'plan' });
  writeFileSync(join(folder, 'rules.csv'), rules.replace('g, ben, editor\n', ''));
  await service.post('/v1/policy-sets/docs/reload', {});
  const who = async (version?: string) =>
    (await ask('who-can', { action: 'read', resource: 'plan', ...(version && { version }) })).permissions.map(
      ({ subject }: { subject: { id: string } }) => subject.id,
    );
  expect(await who()).toEqual(['ann', 'root']);
  expect(await who(policyVersion)).toEqual(['ann', 'ben', 'root']);
});

it.each([
  ['who-can', {}, '/action'],
  ['what-can', { action: 'read' }, '/subject'],
  ['access-review', { limit: 10_001 }, '/limit'],
  ['access-review', { version: 'HEAD' }, '/version'],
  ['access-review', { colour: 'red' }, '/colour'],
])('%s refuses %j, with the place', async (route, body, pointer) => {
  const refused = await service.post(`/v1/policy-sets/docs/${route}`, body);
  expect(refused.status).toBe(400);
  expect(refused.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
});
