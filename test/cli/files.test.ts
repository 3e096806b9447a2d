/** Commands that write, and folders that mean no good. */
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verdict, workFolder } from './run.js';

const model = readFileSync(new URL('../../policies/default/model.conf', import.meta.url), 'utf8');
const rules = 'p,nurse, chart,read\n\n\n# roles\ng,dana,nurse\ng2, x,  chart\n';

function setFolder(files: Readonly<Record<string, string | Buffer>>): string {
  const folder = workFolder({ policies: false });
  for (const [name, content] of Object.entries({ 'model.conf': model, 'rules.csv': rules, ...files })) {
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

describe('fmt', () => {
  it('writes the one form and keeps mode and links', async () => {
    const cwd = setFolder({});
    chmodSync(join(cwd, 'rules.csv'), 0o640);
    const elsewhere = join(cwd, '..elsewhere');
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, 'more.csv'), 'p,a,b,c\n');
    symlinkSync('..elsewhere/more.csv', join(cwd, 'more.csv'));
    const ran = await verdict(['fmt'], { cwd });
    expect(ran).toMatchObject({ code: 0, stderr: '', stdout: 'formatted more.csv\nformatted rules.csv\n' });
    expect(readFileSync(join(cwd, 'rules.csv'), 'utf8')).toBe(
      'p, nurse, chart, read\n\n# roles\ng, dana, nurse\ng2, x, chart\n',
    );
    expect(statSync(join(cwd, 'rules.csv')).mode & 0o777).toBe(0o640);
    expect(readFileSync(join(elsewhere, 'more.csv'), 'utf8')).toBe('p, a, b, c\n');
    expect(
      readdirSync(cwd)
        .sort()
        .filter((name) => !name.startsWith('.')),
    ).toEqual(['model.conf', 'more.csv', 'rules.csv']);
    expect(await verdict(['fmt', '--check'], { cwd })).toMatchObject({ code: 0, stdout: 'every file is in form\n' });
  });

  it('with --check writes nothing and ends with 1', async () => {
    const cwd = setFolder({});
    const ran = await verdict(['fmt', '--check'], { cwd });
    expect(ran).toMatchObject({ code: 1, stdout: 'would change rules.csv\n1 file: run `verdict fmt`\n' });
    expect(readFileSync(join(cwd, 'rules.csv'), 'utf8')).toBe(rules);
  });
});

describe('a hostile folder gets a clear message and stays as it is', () => {
  const cases: [that: string, name: string, content: string | Buffer, says: string][] = [
    ['a binary file', 'bad.csv', Buffer.from([0, 1, 2, 255]), 'binary_file'],
    ['UTF-16', 'bad.csv', Buffer.from('\uFEFFp, a, b, c\n', 'utf16le'), 'utf16_text'],
    ['bytes that are no UTF-8', 'bad.csv', Buffer.from([0x70, 0x2c, 0xff, 0xfe, 0x41]), 'not_utf8'],
    ['a model that is none', 'model.conf', 'hello', 'missing_equals'],
    ['a line of 70,000 characters', 'bad.csv', `p, ${'a'.repeat(70_000)}, b, c\n`, 'line_too_long'],
    ['YAML that names itself', 'entities.yaml', '&a [*a]', 'yaml_alias'],
    ['YAML that is none', 'policy-set.yaml', 'a: [', 'yaml_syntax'],
  ];

  it.each(cases)('%s', async (_that, name, content, says) => {
    const cwd = setFolder({ [name]: content });
    for (const command of ['lint', 'fmt', 'test']) {
      const ran = await verdict([command], { cwd });
      expect([0, 1, 2]).toContain(ran.code);
      if (command === 'lint') {
        expect(ran.code).toBe(1);
        expect(ran.stdout).toContain(says);
      }
      expect(`${ran.stdout}${ran.stderr}`).not.toContain('    at ');
    }
    expect(readFileSync(join(cwd, name))).toEqual(Buffer.from(content));
  });

  it.each([
    [['lint'], 1],
    [['fmt'], 1],
    [['test'], 1],
    [['decide', '--subject', 'a', '--action', 'b', '--resource', 'c'], 2],
    [['diff', '.', '.'], 2],
    [['init', 'new', '--from-casbin', 'model.conf', 'huge.csv'], 2],
    [['decide', '--request', 'huge.csv'], 2],
  ])('a line of a gigabyte: %j', async (args, code) => {
    const cwd = setFolder({ 'huge.csv': 'p, a' });
    truncateSync(join(cwd, 'huge.csv'), 1024 ** 3);
    const ran = await verdict(args, { cwd });
    expect(ran.code).toBe(code);
    expect(`${ran.stdout}${ran.stderr}`).toMatch(/policy_set_too_large|huge\.csv: this file is not text|allowed/);
    expect(`${ran.stdout}${ran.stderr}`).not.toContain('    at ');
    expect(statSync(join(cwd, 'huge.csv')).size).toBe(1024 ** 3);
    expect(readdirSync(cwd).sort()).toEqual(['huge.csv', 'model.conf', 'rules.csv']);
  });

  // Root is bound by no permission, so the command runs as somebody else there.
  const uid = process.getuid?.() === 0 ? 65_534 : undefined;
  const as = (args: string[], cwd: string) => verdict(args, { cwd, ...(uid !== undefined && { uid }) });

  it('files and folders without permission', async () => {
    const cwd = setFolder({});
    chmodSync(cwd, 0o755);
    expect((await as(['fmt', '--check'], cwd)).stdout).toContain('would change rules.csv');
    // Neither the file nor its folder is for them to write.
    chmodSync(cwd, 0o555);
    const fmt = await as(['fmt'], cwd);
    expect(fmt).toMatchObject({ code: 2, stdout: '' });
    expect(fmt.stderr).toContain('rules.csv cannot be written: EACCES');
    expect(await as(['init', 'new'], cwd)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('new cannot be made: EACCES'),
    });
    chmodSync(join(cwd, 'rules.csv'), 0o000);
    const lint = await as(['lint'], cwd);
    expect(lint.code).toBe(1);
    expect(lint.stdout).toContain('rules.csv:1:1: error unreadable_file');
    chmodSync(cwd, 0o000);
    const nothing = await as(['lint', cwd], tmpdir());
    expect([nothing.code, nothing.stdout]).toEqual([2, '']);
    expect(nothing.stderr).toMatch(/cannot be read/);
    chmodSync(cwd, 0o755);
    chmodSync(join(cwd, 'rules.csv'), 0o644);
    expect(readFileSync(join(cwd, 'rules.csv'), 'utf8')).toBe(rules);
    expect(readdirSync(cwd).sort()).toEqual(['model.conf', 'rules.csv']);
  });

  it('control characters, and what turns letters round, are shown and not obeyed', async () => {
    const cwd = setFolder({ 'bad.csv': 'q\u001b[2J\r\u009b31m\u202e, a\np, a\n', 'a\u001b]0;x\u0007.csv': 'p, a\n' });
    const shown = 'q\\u001b[2J\\r\\u009b31m\\u202e';
    const ran = await verdict(['lint'], { cwd });
    expect(ran.stdout).toContain(shown);
    for (const args of [
      ['lint'],
      ['test'],
      ['lint', '--output', 'sarif'],
      ['fmt'],
      ['decide', '--request', 'bad.csv'],
    ]) {
      const { stdout, stderr } = await verdict(args, { cwd });
      expect(`${stdout}${stderr}`).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/);
    }
  });

  it('links that lead in a circle, and to nothing', async () => {
    const cwd = setFolder({});
    symlinkSync('loop.csv', join(cwd, 'loop.csv'));
    symlinkSync('nowhere', join(cwd, 'none.csv'));
    mkdirSync(join(cwd, 'tests'));
    symlinkSync('..', join(cwd, 'tests', 'up.yaml'));
    const ran = await verdict(['lint'], { cwd });
    expect(ran.code).toBe(1);
    expect(ran.stdout).toContain('unreadable_file');
    expect(ran.stdout).toContain('not_a_file');
  });

  it('a byte order mark and CRLF are told of or put right', async () => {
    const cwd = setFolder({ 'rules.csv': '\uFEFFp,nurse,chart,read\r\n' });
    expect((await verdict(['lint'], { cwd })).stdout).toContain('byte_order_mark');
    expect((await verdict(['fmt'], { cwd })).code).toBe(0);
    expect(readFileSync(join(cwd, 'rules.csv'), 'utf8')).toBe('p, nurse, chart, read\n');
  });

  it('a byte order mark and CRLF in YAML mean nothing, and fmt leaves YAML to the byte', async () => {
    const manifest = '\uFEFFrequest:\r\n    obj:   resource.type   # kind\r\n';
    const cwd = setFolder({
      'policy-set.yaml': manifest,
      'entities.yaml': manifest.replace(/request[\s\S]*/, '[]\r\n'),
    });
    const ran = await verdict(['lint'], { cwd });
    expect(ran.stdout).toContain('0 errors, 1 warning');
    expect((await verdict(['fmt'], { cwd })).stdout).toBe('formatted rules.csv\n');
    expect(readFileSync(join(cwd, 'policy-set.yaml'), 'utf8')).toBe(manifest);
  });
});

describe('init', () => {
  it.each(['rbac', 'abac', 'tenants', 'gateway', 'rest'])(
    'makes a set of %s that lints clean and passes',
    async (name) => {
      const cwd = workFolder({ policies: false });
      expect((await verdict(['init', 'set', '--template', name], { cwd })).code).toBe(0);
      expect(await verdict(['lint', 'set'], { cwd })).toMatchObject({
        code: 0,
        stdout: '0 errors, 0 warnings in 1 policy set\n',
      });
      expect((await verdict(['test', 'set'], { cwd })).stdout).toContain(', 0 failed');
      expect((await verdict(['fmt', '--check', 'set'], { cwd })).code).toBe(0);
      for (const file of ['policy-set.yaml', 'entities.yaml', 'schema.yaml']) {
        const schema = /\$schema=(\S+)/.exec(readFileSync(join(cwd, 'set', file), 'utf8'))?.[1];
        expect(readdirSync(join(cwd, 'set', '.schemas')).map((path) => `.schemas/${path}`)).toContain(schema);
      }
    },
  );

  it('--from-casbin takes files over as they are, and --fix repairs what can only be meant in one way', async () => {
    const cwd = workFolder({ policies: false });
    const policy = 'P, a, d, read\np, a, d, read\ng, x, y, z\n# kept\ng2, u, v\n';
    writeFileSync(join(cwd, 'm.conf'), model);
    writeFileSync(join(cwd, 'p.csv'), policy);
    const asIs = await verdict(['init', 'one', '--from-casbin', 'm.conf', 'p.csv'], { cwd });
    expect(asIs.code).toBe(1);
    expect(asIs.stdout).toContain('one/p.csv:1:1: error unknown_ptype');
    expect(readFileSync(join(cwd, 'one/p.csv'), 'utf8')).toBe(policy);
    const fixed = await verdict(['init', 'two', '--from-casbin', 'm.conf', 'p.csv', '--fix'], { cwd });
    expect(fixed.stdout).toContain('fixed two/p.csv:1: wrote "p" for "P"');
    expect(fixed.stdout).toContain('removed a repeated rule');
    expect(readFileSync(join(cwd, 'two/p.csv'), 'utf8')).toBe('p, a, d, read\ng, x, y, z\n# kept\ng2, u, v\n');
    expect(fixed.code).toBe(0);
  });
});

describe('a question that could mean another one', () => {
  const question = ['decide', '--subject', 'a', '--action', 'b', '--resource', 'c'];
  it.each([
    [[...question, '--attr', 'n=9007199254740993'], '9007199254740993'],
    [[...question, '--attr', 'n={"m":[9007199254740993]}'], 'too large to be exact'],
    [[...question, '--attr', 'n=1e400'], 'too large to be exact'],
    [['decide', '--subject', 'a\tb', '--action', 'b', '--resource', 'c'], 'subject.id holds a control character'],
    [['decide', '--subject', 'a', '--action', 'b\n', '--resource', 'c'], 'action.name holds a control character'],
    [['decide', '--request', 'request.json'], '/resource/attributes/n is a number that is too large to be exact'],
  ])('is refused: %j', async (args, says) => {
    const cwd = workFolder({ policies: false });
    writeFileSync(join(cwd, 'model.conf'), model);
    writeFileSync(join(cwd, 'rules.csv'), 'p, a, c, b\n');
    const resource = '{"id":"c","attributes":{"n":9007199254740993}}';
    writeFileSync(join(cwd, 'request.json'), `{"subject":"a","action":"b","resource":${resource}}`);
    const ran = await verdict(args, { cwd });
    expect({ code: ran.code, says: ran.stderr }).toEqual({ code: 2, says: expect.stringContaining(says) });
  });

  it('a text of digits is a text, and a fraction a number', async () => {
    const cwd = workFolder({ policies: false });
    writeFileSync(join(cwd, 'model.conf'), model.replace(/m = .*/, 'm = r.sub.n == "9007199254740993" && r.sub.f > 1'));
    writeFileSync(join(cwd, 'rules.csv'), 'p, a, c, b\n');
    const attributes = ['--attr', 'subject.n="9007199254740993"', '--attr', 'subject.f=9007199254740993.0'];
    expect((await verdict([...question, ...attributes], { cwd })).code).toBe(0);
  });
});

it('init --from-casbin writes what it would guess of two words for one thing', async () => {
  const cwd = workFolder({ policies: false });
  writeFileSync(
    join(cwd, 'm.conf'),
    model.replace(/r = .*/, 'r = sub, user, obj, act').replace(/m = .*/, 'm = r.sub == p.sub'),
  );
  writeFileSync(join(cwd, 'p.csv'), 'p, a, d, read\n');
  const made = await verdict(['init', 'set', '--from-casbin', 'm.conf', 'p.csv'], { cwd });
  expect({ code: made.code, says: made.stdout }).toEqual({
    code: 0,
    says: expect.stringContaining('guessed set/policy-set.yaml'),
  });
  expect(readFileSync(join(cwd, 'set/policy-set.yaml'), 'utf8')).toBe(
    'request:\n  # sub and user all name the subject by their names. Say what each of them is:\n' +
      '  sub: subject.id\n  user: attributes.user\n',
  );
});

describe('a set that runs on stock Casbin', () => {
  const stock = {
    'policy-set.yaml': 'engine: casbin\n',
    'tests/a.yaml':
      'subjects: [ann]\nresources: [x]\ntests: [{ name: a, subject: ann, action: "5", resource: x, expect: allow }]\n',
    // Node's Casbin makes a number of the text; Go's, and so Verdict's own engine, has an error.
    'model.conf': model.replace(/m = .*/, 'm = r.sub == p.sub && r.act > 3'),
    'rules.csv': 'p, ann, x, a\n',
  };

  function stockFolder(more: Readonly<Record<string, string>> = {}): string {
    const folder = workFolder({ policies: false });
    mkdirSync(join(folder, 'tests'));
    for (const [name, text] of Object.entries({ ...stock, ...more })) writeFileSync(join(folder, name), text);
    return folder;
  }

  it('is tested and asked on it, as the service does', async () => {
    const cwd = stockFolder();
    expect((await verdict(['test'], { cwd })).stdout).toContain('1 of 1 test passed');
    const decide = ['decide', '--subject', 'ann', '--action', '5', '--resource', 'x'];
    expect((await verdict(decide, { cwd })).stdout).toContain('ALLOW');
    const explained = await verdict(['explain', ...decide.slice(1)], { cwd });
    expect(explained.stderr).toContain("this is what Verdict's own engine says");
    expect((await verdict([...decide, '--attr', 'x'], { cwd })).code).toBe(2);
    for (const time of ['tomorrow', '2026-11-18', '2026-02-30T00:00:00Z', '2026-11-18T10:00:60Z']) {
      expect(await verdict([...decide, '--at', time], { cwd })).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`--at ${time} is no time`),
      });
    }
    writeFileSync(join(cwd, 'policy-set.yaml'), 'engine: verdict\n');
    expect((await verdict(['test'], { cwd })).code).toBe(1);
  });

  it('is told of what stock Casbin cannot do', async () => {
    const cwd = stockFolder({ 'model.conf': model.replace(/m = .*/, 'm = hasRole(r.sub.roles, p.sub)') });
    for (const command of ['lint', 'test']) {
      const ran = await verdict([command], { cwd });
      expect(ran).toMatchObject({ code: 1, stdout: expect.stringContaining('unsupported_by_stock_casbin') });
    }
    expect(await verdict(['decide', '--subject', 'a', '--action', 'b', '--resource', 'c'], { cwd })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('unsupported_by_stock_casbin'),
    });
  });
});
