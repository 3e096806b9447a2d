/** Tokens on the command line: claims where the question is answered here, else the token itself. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltService, startBuilt } from '../built-service.js';
import { temporaryDirectory } from '../policy-store/folders.js';
import { claimsOf, type Issuer, startIssuer } from '../security/world.js';
import { verdict, workFolder } from './run.js';

const files = {
  'model.conf': `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = p.sub in r.token.user.roles && r.obj == p.obj && r.act == p.act
`,
  'rules.csv': 'p, editor, doc, write\n',
  'policy-set.yaml': 'tokens: { user: { audience: shop, claims: [sub, roles] } }\n',
  'tests/tokens.yaml': `tokens: { user: { sub: ann, roles: [editor] } }
subjects: [ann]
resources: [doc]
tests:
  - { name: an editor writes, subject: ann, action: write, resource: doc, expect: allow }
  - { name: a reader does not, tokens: { user: { roles: [reader] } }, subject: ann, action: write, resource: doc, expect: deny }
  - { name: the same in a matrix, allow: { ann: { doc: write } } }
`,
};

function write(folder: string, more: Readonly<Record<string, string>> = {}): void {
  for (const [name, text] of Object.entries({ ...files, ...more })) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}
function setFolder(more: Readonly<Record<string, string>> = {}): string {
  const folder = workFolder({ policies: false });
  write(folder, more);
  return folder;
}

const asked = ['--subject', 'ann', '--action', 'write', '--resource', 'doc'];
const roles = (...names: string[]) => ['--token', `user=${JSON.stringify({ sub: 'ann', roles: names })}`];

describe('a folder', () => {
  it('is asked with claims, of the command line, of a file, and within a whole request', async () => {
    const cwd = setFolder({
      'claims.json': '{"roles": ["editor"]}\n',
      'question.json':
        '{"subject": "ann", "action": "write", "resource": "doc", "tokens": {"user": {"roles": ["editor"]}}}',
    });
    expect((await verdict(['decide', ...asked, ...roles('editor')], { cwd })).code).toBe(0);
    expect((await verdict(['decide', ...asked, ...roles('reader')], { cwd })).code).toBe(1);
    expect((await verdict(['decide', ...asked], { cwd })).code).toBe(1);
    expect((await verdict(['decide', ...asked, '--token', 'user=@claims.json'], { cwd })).code).toBe(0);
    expect((await verdict(['decide', '--request', 'question.json'], { cwd })).code).toBe(0);
    expect((await verdict(['explain', ...asked, ...roles('reader')], { cwd })).stdout).toContain('r.token.user.roles');
  });

  it.each([
    ['a token, which nothing here verifies', ['--token', 'user=eyJ.eyJ.x'], 'nothing is verified here'],
    ['a token that the set does not declare', ['--token', 'usr={}'], 'declares no token "usr"'],
    ['no name', ['--token', '{}'], 'needs a name and a value'],
    ['no JSON', ['--token', 'user={'], 'no JSON object'],
    ['a number that no double holds', ['--token', 'user={"id":9007199254740993}'], 'too large to be exact'],
    ['a file that is not there', ['--token', 'user=@nowhere'], 'cannot be read'],
  ])('refuses %s', async (_what, more, says) => {
    const { code, stderr } = await verdict(['decide', ...asked, ...more], { cwd: setFolder() });
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(says) });
  });

  it('has tests that declare claims', async () => {
    const cwd = setFolder();
    expect(await verdict(['test'], { cwd })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('3 of 3 tests passed'),
    });
  });

  it.each([
    ['undeclared_token', '{ usr: { roles: [editor] } }'],
    ['undeclared_claim', '{ user: { email: ann } }'],
    ['wrong_type', '{ user: eyJ }'],
  ])('has no tests with %s', async (problem, tokens) => {
    const cwd = setFolder({
      'tests/tokens.yaml': files['tests/tokens.yaml'].replace('{ user: { roles: [reader] } }', tokens),
    });
    expect(await verdict(['test'], { cwd })).toMatchObject({ code: 1, stdout: expect.stringContaining(problem) });
  });

  it('is reviewed without tokens: who would be allowed by a claim is allowed if it is there', async () => {
    const cwd = setFolder({ 'entities.yaml': '- { type: user, id: ann }\n' });
    const { stdout } = await verdict(['who-can', '--action', 'write', '--resource', 'doc'], { cwd });
    expect(stdout).toMatch(/user:ann .*"editor" in r\.token\.user\.roles/);
  });
});

describe('a service', () => {
  let issuer: Issuer;
  let service: BuiltService;
  const directory = temporaryDirectory();
  beforeAll(async () => {
    issuer = await startIssuer();
    mkdirSync(join(directory, 'policies/default'), { recursive: true });
    write(join(directory, 'policies/default'));
    service = await startBuilt(directory, { VERDICT_JWT_ISSUER: issuer.url, VERDICT_JWT_AUDIENCE: 'verdict' });
  }, 60_000);
  afterAll(async () => {
    await service.stop();
    await issuer.stop();
  });

  it('is sent the token, and verifies it', async () => {
    const cwd = workFolder({ policies: false });
    const sign = (names: string[]) => issuer.sign(claimsOf(issuer, { aud: 'shop', roles: names }));
    writeFileSync(join(cwd, 'token.jwt'), `${await sign(['editor'])}\n`);
    const decide = (...more: string[]) => verdict(['decide', '--url', service.url, ...asked, ...more], { cwd });
    expect((await decide('--token', 'user=@token.jwt')).code).toBe(0);
    expect((await decide('--token', `user=${await sign(['reader'])}`)).code).toBe(1);
    expect(await decide('--token', 'user=eyJ')).toMatchObject({ stderr: expect.stringContaining('user') });
    const claims = await decide(...roles('editor'));
    expect(claims).toMatchObject({ code: 2, stderr: expect.stringContaining('as it was signed') });
  });

  it('gives the tests that its log has, with the claims of their time', async () => {
    const cwd = setFolder({ 'tests/tokens.yaml': 'tests: []\n' });
    const ran = await verdict(['test', 'generate', '.', '--url', service.url, '--policy-set', 'default'], { cwd });
    expect(ran).toMatchObject({ code: 0, stderr: expect.any(String) });
    const written = readFileSync(join(cwd, 'tests/logged.yaml'), 'utf8');
    expect(written).toContain('tokens: { user: { roles: [editor], sub: robot } }');
    expect(await verdict(['test'], { cwd })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('2 of 2 tests passed'),
    });
  });
});
