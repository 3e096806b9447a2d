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

const version = `sha256:${'0'.repeat(64)}`;

describe('an option that would have no effect is refused, and named', () => {
  const ask = ['--subject', 'ann', '--action', 'write', '--resource', 'page'];
  const asking = (file: string) => ['--request', file];

  it.each<[string[], string]>([
    [['decide', ...asking('request.json'), '--subject', 'ann'], '--request is the whole request'],
    [['explain', ...asking('request.json'), '--attr', 'tenant=acme'], '--request is the whole request'],
    [['decide', ...asking('timed.json'), '--at', '2026-03-01T09:00:00Z'], 'timed.json has at already: --at'],
    [['decide', ...asking('named.json')], 'policySet goes with --url'],
    [['explain', ...asking('named.json')], 'policySet goes with --url'],
    [['decide', ...asking('named.json'), '--url', 'http://127.0.0.1:9', '--set', 'x'], 'has policySet already: --set'],
    [['decide', ...asking('unknown.json')], '"explain" would be passed over'],
    [['decide', ...asking('properties.json')], 'subject."properties" would be passed over'],
    [['decide', 'stock', ...ask, '--at', '2026-03-01T09:00:00Z'], 'stock Casbin, which has no clock'],
    [['decide', ...ask, '--set', 'x'], '--set goes with --url'],
    [['decide', '.', ...ask, '--url', 'http://127.0.0.1:9'], 'say which one to ask'],
    [['decide', ...ask, '--subject', 'ben'], '--subject is given twice'],
    [['lint', '--output', 'json', '--output', 'text'], '--output is given twice'],
    [['explain', '--plan', '--output', 'json'], '--output json does not go with it'],
    [['explain', '--plan', '--attr', 'tenant=acme'], 'a question needs --subject'],
    [['explain', '--plan', '--at', '2026-03-01T09:00:00Z'], '--at goes with a question'],
    [['init', 'new', '--fix'], '--fix goes with --from-casbin'],
    [['init', 'new', '--template', 'rbac', '--from-casbin', 'model.conf', 'rules.csv'], 'cannot be used with'],
    [['who-can', '--action', 'write', '--set', 'x'], '--set goes with --url'],
    [['diff', '.', 'stock', '--set', 'x'], '--set goes with --url or --database'],
    [['diff', '.', 'stock', '--url', 'http://127.0.0.1:9'], 'no effect on two folders'],
    [['diff', '.', '--url', 'http://127.0.0.1:9', '--database', 'x.sqlite'], 'cannot be used with'],
    [['diff', version, version], 'where is'],
    [
      ['gateway', 'try', '.', 'GET', '/', '--user', 'ann', '--token', '{"sub":"ben"}'],
      '--user does not go with --token',
    ],
    [['keys', 'rotate', 'shop', '--overlap', '1', '--overlap', '2'], '--overlap is given twice'],
    [['keys', 'rotate', 'shop', '--overlap', ''], '--overlap takes hours'],
    [['log', 'query', '--tz', 'Europe/Zurich'], '--tz goes with a day in --from or --to'],
    [['log', 'export', '--tz', 'UTC', '--from', '2026-03-01T09:00:00Z'], '--tz goes with a day in --from or --to'],
    [['log', 'stats', '--tz', 'UTC'], '--tz goes with a day in --from or --to, or with --bucket'],
    [['log', 'tail', '--from', '2026-03-01'], "unknown option '--from'"],
    [['log', 'query', '--url', 'http://127.0.0.1:9', '--database', 'x.sqlite'], 'cannot be used with'],
    [['policy', 'list'], 'say which service: --url'],
    [['backup', 'one', 'two'], 'too many arguments'],
    [['openapi', 'x'], 'too many arguments'],
    [['fmt', '--output', 'json'], "unknown option '--output'"],
    [['test', '--errors-only'], "unknown option '--errors-only'"],
  ])('%j', async (args, says) => {
    const request = '"subject":"ann","action":"write","resource":"page"';
    const cwd = setFolder({
      'request.json': `{${request}}`,
      'timed.json': `{${request},"at":"2026-03-01T09:00:00Z"}`,
      'named.json': `{${request},"policySet":"invoices"}`,
      'unknown.json': `{${request},"explain":"full"}`,
      'properties.json': '{"subject":{"id":"ann","properties":{}},"action":"write","resource":"page"}',
    });
    mkdirSync(join(cwd, 'stock'));
    const plain = model.replace(', cond', '').replace(' && eval(p.cond)', '');
    writeFileSync(join(cwd, 'stock/model.conf'), plain);
    writeFileSync(join(cwd, 'stock/rules.csv'), 'p, editor, acme, page, write\n');
    writeFileSync(join(cwd, 'stock/policy-set.yaml'), 'engine: casbin\n');
    const ran = await verdict(args, { cwd });
    expect({ code: ran.code, says: ran.stderr }).toEqual({ code: 2, says: expect.stringContaining(says) });
    expect(existsSync(join(cwd, 'new'))).toBe(false);
  });

  it('a time in the file of a request is the clock, as --at is', async () => {
    const condition = `"now() < timestamp('2026-03-01T00:00:00Z')"`;
    const cwd = setFolder({ 'rules.csv': `p, editor, acme, page, write, ${condition}\ng, ann, editor, acme\n` });
    const asked = async (at: string) => {
      const request = { subject: 'ann', action: 'write', resource: 'page', attributes: { tenant: 'acme' }, at };
      const ran = await verdict(['decide', '--request', '-'], { cwd, input: JSON.stringify(request) });
      return ran.stdout.split(' ')[0];
    };
    expect([await asked('2026-02-01 09:00:00Z'), await asked('2026-04-01T09:00:00Z')]).toEqual(['ALLOW', 'DENY']);
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
