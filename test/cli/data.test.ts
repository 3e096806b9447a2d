import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { liveSets } from '../api/live-data-sets.js';
import { type BuiltService, startBuilt } from '../built-service.js';
import { writePolicies } from '../http/service.js';
import { verdict } from './run.js';

const cwd = mkdtempSync(join(tmpdir(), 'verdict-data-'));
let service: BuiltService;
let url = '';

beforeAll(async () => {
  writePolicies(join(cwd, 'policies'), liveSets);
  service = await startBuilt(cwd, { VERDICT_LOG_LEVEL: 'error' });
  url = service.url;
});

afterAll(async () => {
  await service.stop();
  rmSync(cwd, { recursive: true });
});

const data = (...args: string[]) => verdict(['data', ...args, '--url', url], { cwd });
const asJson = async (...args: string[]) => {
  const { code, stdout } = await data(...args, '--output', 'json');
  return { code, json: JSON.parse(stdout) };
};
const write = (file: string, ...lines: string[]) => writeFileSync(join(cwd, file), `${lines.join('\n')}\n`);
const edits = (id: string) =>
  verdict(
    [
      ...['decide', '--url', url, '--set', 'desk', '--subject', `user:${id}`],
      ...['--action', 'edit', '--resource', 'article'],
    ],
    { cwd },
  );
const linksTo = async (role: string) =>
  (await asJson('list', 'desk', '--role', role)).json.map((each: { role: string[] }) => each.role[1]);

describe('verdict data add, remove and list', () => {
  it('gives a role and takes it back, and shows who did', async () => {
    const added = await data('add', 'desk', 'g, user:ana, editor', 'g2, user:ana, lead, "north, east"');
    expect(added).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/^desk at revision \d+: 2 added, 0 removed\n$/),
    });
    expect((await edits('ana')).code).toBe(0);
    const listed = await data('list', 'desk');
    expect(listed.code).toBe(0);
    expect(listed.stdout).toMatch(/^link +added by +at +revision\n/);
    expect(listed.stdout).toMatch(/g, user:ana, editor +anonymous +20\S+Z +\d+\n/);
    expect(listed.stdout).toContain('g2, user:ana, lead, "north, east"');
    expect(await asJson('list', 'desk', '--name', 'user:ana', '--domain', 'north, east')).toMatchObject({
      code: 0,
      json: [{ role: ['g2', 'user:ana', 'lead', 'north, east'], addedBy: 'anonymous' }],
    });
    expect(await asJson('remove', 'desk', 'g, user:ana, editor')).toMatchObject({
      code: 0,
      json: { set: 'desk', added: 0, removed: 1, version: expect.stringMatching(/^sha256:/) },
    });
    expect((await edits('ana')).code).toBe(1);
  });

  it('adds an entity with its attributes, and lists it', async () => {
    const added = await data('add', 'desk', '--entity', 'user:ana', '--attr', 'level=3', '--attr', 'at.city=Bern');
    expect(added).toMatchObject({ code: 0, stderr: '' });
    const listed = await data('list', 'desk', '--entities', '--type', 'user');
    expect(listed.stdout).toMatch(/user:ana +\{"level":3,"at":\{"city":"Bern"\}\} +anonymous/);
    expect((await asJson('list', 'desk', '--entities', '--id', 'nobody')).json).toEqual([]);
    expect(await data('remove', 'desk', '--entity', 'user:ana')).toMatchObject({ code: 0 });
  });

  it('ends with 1 and says why when the service refuses the change', async () => {
    const refused = await data('add', 'desk', 'g, author, editor');
    expect(refused).toMatchObject({ code: 1, stderr: '', stdout: expect.stringContaining('cycle') });
    expect(await asJson('remove', 'desk', 'g, user:root, editor')).toMatchObject({
      code: 1,
      json: { set: 'desk', result: 'refused', problems: [expect.stringContaining('a file has the link')] },
    });
    expect(await data('add', 'plain', 'g, user:ana, editor')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('no live data'),
    });
  });

  it('holds to --expect and --key', async () => {
    const { revision } = (await asJson('add', 'desk', 'g, user:ben, editor', '--key', 'ben-1')).json;
    expect(await data('add', 'desk', 'g, user:cy, editor', '--expect', String(revision + 1))).toMatchObject({
      code: 1,
      stdout: expect.stringContaining(`at revision ${revision}`),
    });
    await data('remove', 'desk', 'g, user:ben, editor', '--expect', String(revision));
    expect((await asJson('add', 'desk', 'g, user:ben, editor', '--key', 'ben-1')).json).toMatchObject({
      revision,
      added: 0,
    });
    expect(await linksTo('editor')).not.toContain('user:ben');
    expect(await data('add', 'desk', 'g, user:dee, editor', '--key', 'ben-1')).toMatchObject({ code: 1 });
  });

  it.each([
    [['add', 'desk'], 'say what'],
    [['add', 'desk', 'p, editor, article, edit'], 'is no role link: a line of "p"'],
    [['add', 'desk', 'g, user:ana'], 'not 1 fields'],
    [['add', 'desk', '# none'], 'it is empty'],
    [['add', 'desk', 'g, "user, ana'], 'does not end'],
    [['add', 'desk', '--entity', 'ana'], '--entity ana has no type'],
    [['add', 'desk', 'g, a, b', '--attr', 'level=3'], '--attr is for one --entity, and there are 0'],
    [['add', 'desk', 'g, a, b', '--expect', 'x'], '--expect is "x"'],
    [['remove', 'desk', 'g, a, b', '--attr', 'level=3'], "unknown option '--attr'"],
    [['list', 'desk', '--type', 'user'], '--type goes with --entities'],
    [['list', 'desk', '--entities', '--role', 'editor'], '--role goes with role links'],
    [['list', 'none'], '404'],
    [['add', 'none', 'g, a, b'], '404'],
  ])('%j is wrong usage', async (args, message) => {
    const ran = await data(...args);
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain(message);
  });

  it('wants a service', async () => {
    const ran = await verdict(['data', 'list', 'desk'], { cwd });
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('--url') });
  });
});

describe('verdict data import', () => {
  it('adds the role links of a CSV in several changes, says that they are not one, and goes on where it ended', async () => {
    const lines = Array.from({ length: 25 }, (_, n) => `g, user:import-${n}, author`);
    write('roles.csv', '# from the directory', '', ...lines);
    const done = await data('import', 'desk', 'roles.csv', '--per-change', '10');
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^desk at revision \d+: 25 added, 0 removed, in 3 changes\n$/),
      stderr: 'roles.csv: 25 entries in 3 changes. Each is made as a whole, but the import is not one change.\n',
    });
    expect(await linksTo('author')).toEqual(expect.arrayContaining(['user:import-0', 'user:import-24']));
    // What is taken back after an import stays so when the same import is run again, unless it is told otherwise.
    await data('remove', 'desk', 'g, user:import-3, author');
    const again = await data('import', 'desk', 'roles.csv', '--per-change', '10');
    expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining('25 of 25 entries changed nothing') });
    expect(await linksTo('author')).not.toContain('user:import-3');
    expect(await asJson('import', 'desk', 'roles.csv', '--again')).toMatchObject({
      code: 0,
      json: { set: 'desk', file: 'roles.csv', entries: 25, changes: 1, made: 1, added: 1, removed: 0 },
    });
    expect(await linksTo('author')).toContain('user:import-3');
  });

  it('adds entities of NDJSON and YAML, and gives them other attributes with --update alone', async () => {
    write(
      'users.ndjson',
      '{"type":"user","id":"import-1","attributes":{"level":1}}',
      '',
      '{"type":"user","id":"import-2"}',
    );
    expect((await asJson('import', 'desk', 'users.ndjson')).json).toMatchObject({ entries: 2, added: 2 });
    write('users.yaml', '- { type: user, id: import-1, attributes: { level: 2 } }', '- type: user', '  id: import-3');
    const conflict = await data('import', 'desk', 'users.yaml');
    expect(conflict).toMatchObject({ code: 1, stdout: expect.stringMatching(/^users\.yaml:1:1: error conflict: /) });
    const { json } = await asJson('import', 'desk', 'users.yaml', '--update');
    expect(json).toMatchObject({ entries: 2, added: 2, removed: 1 });
    const { json: users } = await asJson('list', 'desk', '--entities');
    expect(users).toMatchObject([
      { id: 'import-1', attributes: { level: 2 } },
      { id: 'import-2', attributes: {} },
      { id: 'import-3' },
    ]);
  });

  it('sends nothing of a file with a wrong line, and names each', async () => {
    write(
      'wrong.csv',
      'g, user:w1, author',
      'p, editor, article, edit',
      'g, user:w2',
      'g, "user:w3, author',
      'g, user:w4, a, b, c',
    );
    const wrong = await data('import', 'desk', 'wrong.csv');
    expect(wrong).toMatchObject({ code: 2, stderr: 'verdict: wrong.csv has 4 problems, so nothing was sent\n' });
    expect(wrong.stdout.match(/^wrong\.csv:\d+:\d+: error \w+/gm)).toEqual([
      'wrong.csv:2:1: error not_live_data',
      'wrong.csv:3:1: error wrong_field_count',
      'wrong.csv:4:4: error bad_quotes',
      'wrong.csv:5:1: error wrong_field_count',
    ]);
    expect(await linksTo('author')).not.toContain('user:w1');
  });

  it.each([
    ['x.ndjson', ['{"type":"user","id":"a"}', '{"type":"user"'], 'x.ndjson:2:1: error bad_entity'],
    ['x.ndjson', ['{"type":"user","id":7}'], 'x.ndjson:1:1: error bad_entity: the id must be a text'],
    ['x.ndjson', ['{"type":"user","id":"a","name":"A"}'], 'and no "name"'],
    ['x.ndjson', ['{"type":"user","id":"a","attributes":{"a":1,"a":2}}'], '/attributes/a: duplicate member name'],
    ['x.ndjson', ['{"type":"user","id":"a","attributes":{"n":9007199254740993}}'], '/attributes/n: no double'],
    [
      'x.ndjson',
      ['{"type":"user","id":"a"}', '[]', '{"type":"user","id":"a"}'],
      'x.ndjson:3:1: error duplicate_entity',
    ],
    ['x.yaml', ['- { type: user, id: 101 }'], 'x.yaml:1:'],
    ['x.yaml', ['- &a { type: user, id: a }', '- *a'], 'x.yaml:1:3: error'],
    ['x.json', ['[{"type":"user","id":"a"},{"type":"user","id":"a"}]'], 'x.json:1:1: error duplicate_entity'],
  ])('refuses %s with %j by its place', async (file, lines, place) => {
    write(file, ...lines);
    const wrong = await data('import', 'desk', file);
    expect(wrong).toMatchObject({ code: 2, stdout: expect.stringContaining(place) });
  });

  it('names the line of what the service refuses, and how far it came', async () => {
    const lines = Array.from({ length: 6 }, (_, n) => `g, user:line-${n}, author`);
    write('cycle.csv', ...lines.slice(0, 5), 'g, author, editor', lines[5]!);
    const refused = await data('import', 'desk', 'cycle.csv', '--per-change', '4');
    expect(refused).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^cycle\.csv:6:1: error conflict: .*cycle/),
      stderr: expect.stringContaining('1 of 2 changes of cycle.csv were made'),
    });
    const authors = await linksTo('author');
    expect([authors.includes('user:line-3'), authors.includes('user:line-4')]).toEqual([true, false]);
    write('cycle.csv', ...lines);
    expect((await asJson('import', 'desk', 'cycle.csv', '--per-change', '4')).json).toMatchObject({
      added: 2,
      made: 2,
    });
  });

  it.each([
    [['import', 'desk', 'nowhere.csv'], 'nowhere.csv cannot be read: ENOENT'],
    [['import', 'desk', 'roles.txt'], 'roles.txt is no .csv'],
    [['import', 'desk', 'roles.csv', '--per-change', '0'], 'say a number from 1 to 50000'],
    [['import', 'desk', 'roles.csv', '--per-change', '50001'], 'say a number from 1 to 50000'],
    [['import', 'desk', 'users.ndjson', '--update', '--per-change', '25001'], 'say a number from 1 to 25000'],
    [['import', 'desk', 'roles.csv', '--update'], '--update is for entities'],
    [['import', 'none', 'roles.csv'], '404'],
  ])('%j is wrong usage', async (args, message) => {
    write('roles.csv', 'g, user:ana, author');
    const ran = await data(...args);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(message);
  });

  it('sends a change again, under the same key, that there is no room for', async () => {
    const keys: unknown[] = [];
    const busy: Server = createServer((request, response) => {
      keys.push(request.headers['idempotency-key']);
      const [status, body] =
        keys.length < 3
          ? [503, { type: 'urn:verdict:problem:policy_writes_in_progress' }]
          : [200, { set: 'desk', version: 'sha256:0', revision: 9, added: 1, removed: 0 }];
      request.resume().on('end', () => {
        response.writeHead(status as number, { 'content-type': 'application/json', 'retry-after': '0' });
        response.end(JSON.stringify(body));
      });
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void busy.close());
    await once(busy, 'listening');
    write('one.csv', 'g, user:ana, author');
    const { port } = busy.address() as AddressInfo;
    const ran = await verdict(['data', 'import', 'desk', 'one.csv', '--url', `http://127.0.0.1:${port}`], { cwd });
    expect(ran).toMatchObject({ code: 0, stdout: 'desk at revision 9: 1 added, 0 removed, in 1 change\n' });
    expect(keys).toEqual(Array(3).fill(expect.stringMatching(/^import-[0-9a-f]{64}$/)));
  });
});
