/** An option is honoured or refused, never passed over; and `init --from-casbin` promises what it can do. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { verdict, workFolder } from './run.js';

const model = `[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act, cond
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act && eval(p.cond)
`;
const rules = `p, editor, acme, page, write, r.sub.level >= 2
g, ann, editor, acme
`;

function setFolder(files: Readonly<Record<string, string>> = {}): string {
  const cwd = workFolder({ policies: false });
  for (const [name, text] of Object.entries({ 'model.conf': model, 'rules.csv': rules, ...files })) {
    writeFileSync(join(cwd, name), text);
  }
  return cwd;
}

describe('--attr of who-can, what-can and access-review', () => {
  const entities = { 'entities.yaml': '- { type: user, id: ann, attributes: { level: 3 } }\n' };
  const env = { 'model.conf': model.replace('dom, obj, act\n', 'dom, obj, act, env\n') };
  const searches = [['who-can', '--action', 'write'], ['what-can', '--subject', 'ann'], ['access-review']];

  it.each(searches)('is a part of the questions: %s', async (...args) => {
    const cwd = setFolder(entities);
    const asked = async (attr: string) => (await verdict([...args, '--attr', attr], { cwd })).stdout;
    expect(await asked('tenant=acme')).toMatch(/ann .*tenant=acme/);
    expect(await asked('attributes.tenant=acme')).toMatch(/ann .*tenant=acme/);
    expect(await asked('tenant=other')).toContain('0 permissions');
  });

  it('a value that is JSON is read as JSON, as decide reads it', async () => {
    const cwd = setFolder({
      ...entities,
      ...env,
      'rules.csv': rules.replace('r.sub.level >= 2', 'r.env.amount <= 900'),
    });
    const asked = async (amount: string) => {
      const attributes = ['--attr', 'tenant=acme', '--attr', `amount=${amount}`];
      return (await verdict(['who-can', '--action', 'write', ...attributes], { cwd })).stdout;
    };
    expect(await asked('900')).toContain('1 permission ');
    expect(await asked('901')).toContain('0 permissions');
    expect(await asked('"900"')).toContain('0 permissions');
  });

  it.each([
    ['level=3', 'the policies read level of the subject'],
    ['subject.level=3', 'the policies read level of the subject'],
    ['resource.owner=ann', 'the policies read owner of the resource'],
    ['colour=red', 'the policies do not read colour'],
    ['tenant', 'is no attribute'],
  ])('is refused where it would change nothing: %s', async (attr, says) => {
    const cwd = setFolder(entities);
    for (const search of searches) {
      const ran = await verdict([...search, '--attr', attr], { cwd });
      expect({ code: ran.code, says: ran.stderr }).toEqual({ code: 2, says: expect.stringContaining(says) });
    }
  });
});

describe('options that do not go together are refused', () => {
  it.each([
    [['decide', '--request', 'request.json', '--subject', 'ann'], '--request is the whole request'],
    [['explain', '--request', 'request.json', '--attr', 'tenant=acme'], '--request is the whole request'],
    [['explain', '--plan', '--output', 'json'], '--plan is a text'],
    [['explain', '--plan', '--attr', 'tenant=acme'], 'a question needs --subject'],
    [['init', 'new', '--fix'], '--fix goes with --from-casbin'],
    [['init', 'new', '--template', 'rbac', '--from-casbin', 'model.conf', 'rules.csv'], 'cannot be used with'],
    [['who-can', '--action', 'write', '--set', 'x'], '--set goes with --url'],
  ])('%j', async (args, says) => {
    const cwd = setFolder({ 'request.json': '{"subject":"ann","action":"write","resource":"page"}' });
    const ran = await verdict(args, { cwd });
    expect({ code: ran.code, says: ran.stderr }).toEqual({ code: 2, says: expect.stringContaining(says) });
    expect(existsSync(join(cwd, 'new'))).toBe(false);
  });
});

describe('init --from-casbin', () => {
  const field = fileURLToPath(new URL('../cases/field/import-promises-a-repair/', import.meta.url));
  const command = (...more: string[]) => ['init', 'new', '--from-casbin', 'model.conf', 'policy.csv', ...more];

  function imported(policy?: string): string {
    const cwd = workFolder({ policies: false });
    const read = (file: string) => readFileSync(join(field, file), 'utf8');
    writeFileSync(
      join(cwd, 'model.conf'),
      policy === undefined ? read('model.conf') : read('model.conf').replace('nearBy(r.sub, p.sub)', 'r.sub == p.sub'),
    );
    writeFileSync(join(cwd, 'policy.csv'), policy ?? read('policy.csv'));
    return cwd;
  }

  it('promises no repair where nothing can be repaired, and --fix behind it says the same', async () => {
    const cwd = imported();
    const made = await verdict(command(), { cwd });
    expect(made).toMatchObject({ code: 1, stderr: '' });
    expect(made.stdout).toMatch(/new does not load yet: 1 problem\n$/);
    const fixed = await verdict(command('--fix'), { cwd });
    expect(fixed).toMatchObject({ code: 1, stderr: '', stdout: made.stdout });
    expect(readdirSync(join(cwd, 'new')).sort()).toEqual(['model.conf', 'policy.csv']);
  });

  it('with --fix repairs what the same command has just written', async () => {
    const cwd = imported('P, ann, doc\nP, ben, doc\n');
    const made = await verdict(command(), { cwd });
    expect(made.stdout).toContain('--fix repairs some of them');
    const fixed = await verdict(command('--fix'), { cwd });
    expect(fixed).toMatchObject({ code: 0, stderr: '' });
    expect(fixed.stdout).toContain(
      'fixed new/policy.csv:1: wrote "p" for "P"\nfixed new/policy.csv:2: wrote "p" for "P"',
    );
    expect(readFileSync(join(cwd, 'new/policy.csv'), 'utf8')).toBe('p, ann, doc\np, ben, doc\n');
  });

  it('with --fix overwrites nothing that it did not write', async () => {
    const cwd = imported('P, ann, doc\n');
    await verdict(command(), { cwd });
    writeFileSync(join(cwd, 'new/policy.csv'), 'p, mine, doc\n');
    const fixed = await verdict(command('--fix'), { cwd });
    expect({ code: fixed.code, says: fixed.stderr }).toEqual({
      code: 2,
      says: expect.stringContaining('remove it first'),
    });
    expect(readFileSync(join(cwd, 'new/policy.csv'), 'utf8')).toBe('p, mine, doc\n');
  });

  it('leaves nothing behind when it fails', async () => {
    const cwd = imported();
    mkdirSync(join(cwd, 'policies'));
    const long = `${'x'.repeat(250)}.csv.CSVX`;
    writeFileSync(join(cwd, long.slice(0, 252)), 'p, ann, doc\n');
    const ran = await verdict(['init', 'policies/new', '--from-casbin', 'model.conf', long.slice(0, 252)], { cwd });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('ENAMETOOLONG');
    expect(readdirSync(join(cwd, 'policies'))).toEqual([]);
  });

  it('reads no device to its end, which has none', async () => {
    const ran = await verdict(['init', 'new', '--from-casbin', 'model.conf', '/dev/zero'], { cwd: imported() });
    expect({ code: ran.code, says: ran.stderr }).toEqual({
      code: 2,
      says: expect.stringContaining('/dev/zero: policy_set_too_large'),
    });
  });
});
