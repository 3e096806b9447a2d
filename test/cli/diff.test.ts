/** `verdict diff` on folders and on git revisions, and the gate that it can be. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verdict, workFolder } from './run.js';

function edit(path: string, change: (text: string) => string): void {
  writeFileSync(path, change(readFileSync(path, 'utf8')));
}

/** The bundled sets, and a copy in which a nurse may dispense, Tomas is gone and finance approves more. */
function changedCopies(): string {
  const cwd = workFolder();
  cpSync(join(cwd, 'policies'), join(cwd, 'changed'), { recursive: true });
  change(join(cwd, 'changed'));
  return cwd;
}

function change(folder: string): void {
  edit(join(folder, 'default/permissions.csv'), (text) => `${text}p, nurse, prescription, dispense\n`);
  edit(join(folder, 'default/roles.csv'), (text) => text.replace('g, user:tomas, receptionist\n', ''));
  edit(join(folder, 'invoices/rules.csv'), (text) => text.replace('<= 50000', '<= 60000'));
}

const at = ['--at', '2026-11-18T10:00:00Z'];

it('of two folders shows rules, conditions, and what is gained and lost', async () => {
  const ran = await verdict(['diff', 'policies', 'changed', ...at], { cwd: changedCopies() });
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  await expect(ran.stdout).toMatchFileSnapshot('outputs/diff.txt');
});

it('as JSON has every permission', async () => {
  const ran = await verdict(['diff', 'policies/default', 'changed/default', '--output', 'json'], {
    cwd: changedCopies(),
  });
  const { sets } = JSON.parse(ran.stdout);
  expect(sets[0].access).toMatchObject({ complete: true, limits: [] });
  expect(sets[0].access.gained).toEqual([
    {
      subject: { type: 'user', id: 'dana' },
      action: 'dispense',
      resource: { type: 'prescription', id: 'R-5190' },
      context: {},
    },
  ]);
  expect(sets[0].access.lost).toHaveLength(4);
});

describe('--fail-on', () => {
  it.each([
    ['gain', 'default', 1],
    ['loss', 'default', 1],
    ['gain', 'workspaces', 0],
    // Whom a condition names by attributes alone may approve more.
    ['gain', 'invoices', 1],
    ['loss', 'invoices', 1],
  ])('%s in %s ends with %i', async (what, set, code) => {
    const args = ['diff', `policies/${set}`, `changed/${set}`, '--fail-on', what, ...at];
    expect((await verdict(args, { cwd: changedCopies() })).code).toBe(code);
  });
});

describe('a gate', () => {
  const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && keyMatch(r.obj, p.obj) && regexMatch(r.act, p.act) || r.sub == "root"
`;
  const gate = async (before: string, after: string, ...more: string[]) => {
    const cwd = workFolder();
    for (const [name, rules] of [
      ['one', before],
      ['two', after],
    ] as const) {
      mkdirSync(join(cwd, name));
      writeFileSync(join(cwd, name, 'model.conf'), model);
      writeFileSync(join(cwd, name, 'rules.csv'), rules);
    }
    return await verdict(['diff', 'one', 'two', '--fail-on', 'gain', ...more], { cwd });
  };
  const odd = 'p, ann, /a/*, ^[A-Z]+$\n';

  it('passes where something else changed than what could not be enumerated', async () => {
    const ran = await gate(`${odd}p, ben, /b/*, read\n`, odd);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toContain('0 gained, 1 lost');
  });

  it('does not pass on what could not be enumerated, unless it is told to, and says so', async () => {
    const narrower = odd.replace('/a/*', '/a/b/*');
    expect(await gate(odd, narrower)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('--fail-on gain does not pass; --allow-incomplete lets it'),
    });
    expect(await gate(odd, narrower, '--allow-incomplete')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('which --allow-incomplete allows'),
    });
    const json = await gate(odd, narrower, '--allow-incomplete', '--output', 'json');
    expect(JSON.parse(json.stdout)).toMatchObject({ allowIncomplete: true, sets: [{ access: { complete: false } }] });
  });

  it('does not pass on a change of rules whose roles are live data: nobody knows who will hold them', async () => {
    const cwd = workFolder();
    const roleModel = model
      .replace('[policy_effect]', '[role_definition]\ng = _, _\n[policy_effect]')
      .replace('r.sub == p.sub', 'g(r.sub, p.sub)');
    const write = (name: string, rules: string) => {
      mkdirSync(join(cwd, name));
      writeFileSync(join(cwd, name, 'model.conf'), roleModel);
      writeFileSync(join(cwd, name, 'rules.csv'), rules);
      const manifest = 'request: { sub: "${subject.type}:${subject.id}" }\ndata: { roles: [g] }\n';
      writeFileSync(join(cwd, name, 'policy-set.yaml'), manifest);
    };
    write('one', 'p, reader, /docs/*, ^read$\n');
    write('two', 'p, reader, /docs/*, ^read$\np, reader, /secrets/*, ^read$\n');
    const compare = (...args: string[]) => verdict(['diff', ...args, '--fail-on', 'gain'], { cwd });
    const ran = await compare('one', 'two');
    expect(ran.code).toBe(1);
    expect(ran.stdout).toContain('links of "g" are live data: who holds the roles that changed was not asked');
    expect(await compare('one', 'one')).toMatchObject({ code: 0, stderr: '' });
    expect(await compare('one', 'two', '--allow-incomplete')).toMatchObject({ code: 0 });
  });

  it('sees what a disjunction, a pattern and methods of one expression give', async () => {
    const rules = 'p, ann, /a/*, (GET)|(POST)\n';
    expect((await gate(rules, rules.replace('/a/*', '/*'))).code).toBe(1);
    expect((await gate(rules, rules.replace('(GET)|(POST)', 'GET'))).code).toBe(0);
    expect((await gate(rules.replace('(GET)|(POST)', 'GET'), rules)).code).toBe(1);
  });
});

describe('of git revisions', () => {
  function repository(): string {
    const cwd = workFolder();
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], { cwd, stdio: 'pipe' });
    git('init', '-q', '-b', 'main');
    git('add', '.');
    git('commit', '-q', '-m', 'one');
    git('checkout', '-q', '-b', 'branch');
    change(join(cwd, 'policies'));
    rmSync(join(cwd, 'policies/deployments'), { recursive: true });
    git('add', '-A');
    git('commit', '-q', '-m', 'two');
    return cwd;
  }

  it('compares a range', async () => {
    const ran = await verdict(['diff', 'main..HEAD', ...at], { cwd: repository() });
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toContain('prescription:R-5190: dispense  (user:dana)');
    expect(ran.stdout).toMatch(/deployments {2}sha256:\w{12} → nothing/);
  });

  it('compares one set, and a revision with the work tree', async () => {
    const cwd = repository();
    expect((await verdict(['diff', 'main..', 'policies/default'], { cwd })).stdout).toMatch(/^default/);
    expect((await verdict(['diff', 'branch', 'policies/default'], { cwd })).stdout).toBe('default: no change\n');
    expect((await verdict(['diff', 'main', 'policies/default', '--fail-on', 'gain'], { cwd })).code).toBe(1);
  });

  it.each([
    [['diff', 'nobranch..HEAD'], 'git rev-parse failed'],
    [['diff', '--', '-x..HEAD'], 'is no git revision'],
    [['diff', 'main', 'elsewhere'], 'there is no elsewhere'],
  ])('that are none end with 2: %j', async (args, says) => {
    const ran = await verdict(args, { cwd: repository() });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(says);
  });
});
