/** Live data over HTTP: what is changed is in the answer after it, and what is refused says where and changes nothing. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { maxChangedEntries } from '../../src/policy-store/data/live-data-writing.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { type Answer, type Service, startService } from '../http/service.js';
import { temporaryDirectory } from '../policy-store/folders.js';
import { liveSets } from './live-data-sets.js';

const g = (name: string, role: string) => ['g', name, role];
const problem = (code: string) => ({ type: `urn:verdict:problem:${code}` });

/** Questions and changes of one service. */
function asker(service: Service, authorization?: string) {
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const change = (body: unknown, more: Record<string, string> = {}, set = 'desk') =>
    service.post(`/v1/policy-sets/${set}/changes`, body, { ...headers, ...more });
  return {
    change,
    grant: (name: string, role: string, more?: Record<string, string>) =>
      change({ add: { roles: [g(name, role)] } }, more),
    take: (name: string, role: string, more?: Record<string, string>) =>
      change({ remove: { roles: [g(name, role)] } }, more),
    list: (path: string, set = 'desk') => service.get(`/v1/policy-sets/${set}/${path}`, headers),
    edits: async (id: string, atLeast?: number) => {
      const question = { subject: { type: 'user', id }, action: 'edit', resource: 'article', policySet: 'desk' };
      return (await service.post('/v1/decide', { ...question, ...(atLeast !== undefined && { atLeast }) }, headers))
        .body;
    },
  };
}

const roles = ({ body }: Answer): string[][] => body.items.map(({ role }: { role: string[] }) => role);

describe('POST /v1/policy-sets/{set}/changes', () => {
  let service: Service;
  let ask: ReturnType<typeof asker>;

  beforeAll(async () => {
    service = await startService(liveSets);
    ask = asker(service);
  });
  afterAll(() => service.stop());

  it('gives and takes a role, each with its revision, which an answer can be demanded at', async () => {
    const given = await ask.grant('user:ana', 'editor');
    expect(given).toMatchObject({ status: 200, body: { set: 'desk', added: 1, removed: 0 } });
    const { revision, version } = given.body;
    expect(given.headers.etag).toBe(`"${revision}"`);
    expect(await ask.edits('ana', revision)).toMatchObject({ allowed: true, revision, policyVersion: version });
    const taken = await ask.take('user:ana', 'editor');
    expect(taken.body).toMatchObject({ added: 0, removed: 1 });
    expect(taken.body.revision).toBeGreaterThan(revision);
    expect(await ask.edits('ana', taken.body.revision)).toMatchObject({
      allowed: false,
      revision: taken.body.revision,
    });
  });

  it('changes nothing where nothing is new, and says so', async () => {
    const { body: first } = await ask.grant('user:ben', 'editor');
    expect(await ask.grant('user:ben', 'editor')).toMatchObject({ status: 200, body: { ...first, added: 0 } });
    expect((await ask.change({})).body).toEqual({ ...first, added: 0 });
  });

  it('makes all of a change or nothing', async () => {
    const before = (await ask.change({})).body;
    const answer = await ask.change({ add: { roles: [g('user:cy', 'editor'), ['g9', 'user:cy', 'editor']] } });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer: '/add/roles/1/0' }] } });
    expect((await ask.change({})).body).toEqual(before);
    expect(await ask.edits('cy')).toMatchObject({ allowed: false });
  });

  it('gives an entity other attributes by removing and adding it in one change', async () => {
    const level = (level: number) => [{ type: 'user', id: 'ana', attributes: { level } }];
    expect((await ask.change({ add: { entities: level(1) } })).body).toMatchObject({ added: 1 });
    const conflict = await ask.change({ add: { entities: level(2) } });
    expect(conflict).toMatchObject({
      status: 409,
      body: { ...problem('conflict'), errors: [{ pointer: '/add/entities/0' }] },
    });
    const changed = await ask.change({
      add: { entities: level(2) },
      remove: { entities: [{ type: 'user', id: 'ana' }] },
    });
    expect(changed.body).toMatchObject({ added: 1, removed: 1 });
    expect((await ask.list('entities?type=user&id=ana')).body.items).toMatchObject([{ attributes: { level: 2 } }]);
  });

  it.each<[what: string, change: object | string, status: number, code: string, pointer: string]>([
    ['a cycle', { add: { roles: [g('user:x', 'editor'), g('author', 'editor')] } }, 409, 'conflict', '/add/roles/1'],
    ['a link of a file', { remove: { roles: [g('user:root', 'editor')] } }, 409, 'defined_in_files', '/remove/roles/0'],
    [
      'an entity of a file',
      { remove: { entities: [{ type: 'robot', id: 'r2' }] } },
      409,
      'defined_in_files',
      '/remove/entities/0',
    ],
    [
      'entities of another type',
      { add: { entities: [{ type: 'robot', id: 'r3' }] } },
      409,
      'not_live_data',
      '/add/entities/0/type',
    ],
    ['a link of two columns', { add: { roles: [['g', 'user:x']] } }, 400, 'invalid_request', '/add/roles/0'],
    ['a link with a number', { add: { roles: [['g', 'user:x', 7]] } }, 400, 'invalid_request', '/add/roles/0/2'],
    ['a control character', { add: { roles: [g('user:\u0001', 'editor')] } }, 400, 'invalid_request', '/add/roles/0/1'],
    ['an unknown member', { add: { role: [] } }, 400, 'invalid_request', '/add/role'],
    ['an unknown member of the change', { added: {} }, 400, 'invalid_request', '/added'],
    ['a list that is none', { remove: { roles: 'g' } }, 400, 'invalid_request', '/remove/roles'],
    ['an entity without an id', { add: { entities: [{ type: 'user' }] } }, 400, 'invalid_request', '/add/entities/0'],
    ['a change that is a list', [], 400, 'invalid_request', ''],
    ['null', 'null', 400, 'invalid_request', ''],
    ['an add that is null', { add: null }, 400, 'invalid_request', '/add'],
    [
      'a number that is too large to be exact',
      '{"add":{"entities":[{"type":"user","id":"n","attributes":{"n":9007199254740993}}]}}',
      400,
      'invalid_request',
      '/add/entities/0/attributes/n',
    ],
    [
      'an attribute that stands there twice',
      '{"add":{"entities":[{"type":"user","id":"n","attributes":{"n":1,"n":2}}]}}',
      400,
      'malformed_request',
      '/add/entities/0/attributes/n',
    ],
  ])('refuses %s with its place', async (_what, change, status, code, pointer) => {
    const before = (await ask.change({})).body;
    const answer = await ask.change(change);
    expect(answer).toMatchObject({ status, body: problem(code) });
    expect(answer.body.errors.map((each: { pointer: string }) => each.pointer)).toContain(pointer);
    expect((await ask.change({})).body).toEqual(before);
  });

  it('is 409 for a set without live data, and 404 for one that is not there', async () => {
    const add = { add: { roles: [g('user:ana', 'editor')] } };
    expect(await ask.change(add, {}, 'plain')).toMatchObject({ status: 409, body: problem('not_live_data') });
    expect(await ask.change(add, {}, 'none')).toMatchObject({ status: 404, body: problem('policy_set_not_found') });
    for (const set of ['plain', 'none']) {
      expect((await ask.change(add, { 'if-match': '"7"' }, set)).status).toBe(set === 'plain' ? 409 : 404);
    }
  });

  it('holds to the revision of If-Match', async () => {
    const { revision } = (await ask.change({})).body;
    const wrong = await ask.grant('user:dee', 'editor', { 'if-match': `"${revision + 1}"` });
    expect(wrong).toMatchObject({ status: 412, body: { detail: expect.stringContaining(`at revision ${revision}`) } });
    expect(await ask.grant('user:dee', 'editor', { 'if-match': `"${revision}"` })).toMatchObject({ status: 200 });
    expect(await ask.take('user:dee', 'editor', { 'if-match': `"${revision}"` })).toMatchObject({ status: 412 });
    expect(await ask.take('user:dee', 'editor', { 'if-match': '*' })).toMatchObject({ status: 200 });
    expect(await ask.grant('user:dee', 'editor', { 'if-match': 'W/"1"' })).toMatchObject({ status: 400 });
  });

  it('lets one of two changes on the same revision pass', async () => {
    const { revision } = (await ask.change({})).body;
    const match = { 'if-match': `"${revision}"` };
    const answers = await Promise.all(['x', 'y', 'z'].map((name) => ask.grant(`user:${name}`, 'editor', match)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412]);
  });

  it('makes a change once under one key, also when it comes twice at once, and never anew', async () => {
    const key = { 'idempotency-key': 'grant-eve-1' };
    const [one, two] = await Promise.all([ask.grant('user:eve', 'editor', key), ask.grant('user:eve', 'editor', key)]);
    expect([one.status, two.status]).toEqual([200, 200]);
    expect(one.body.revision).toBe(two.body.revision);
    expect(one.body.added + two.body.added).toBe(1);
    const taken = await ask.take('user:eve', 'editor');
    // The answer got lost, say, and the client asks again: what was taken back meanwhile stays so.
    const again = await ask.grant('user:eve', 'editor', key);
    expect(again).toMatchObject({ status: 200, body: { revision: one.body.revision, added: 0 } });
    expect(await ask.edits('eve', taken.body.revision)).toMatchObject({ allowed: false });
    for (const other of [
      () => ask.grant('user:fay', 'editor', key),
      () => ask.take('user:eve', 'editor', key),
      () => ask.change({ add: { roles: [g('user:eve', 'editor'), g('user:eve', 'editor')] } }, key),
      () => ask.grant('user:eve', 'editor', { ...key, 'if-match': `"${taken.body.revision}"` }),
    ]) {
      expect(await other()).toMatchObject({ status: 409, body: problem('idempotency_key_reused') });
    }
  });

  it.each(['', 'two words', 'é', 'x'.repeat(129)])('refuses the key %j', async (key) => {
    const answer = await ask.grant('user:gus', 'editor', { 'idempotency-key': key });
    expect(answer).toMatchObject({ status: 400, body: { detail: expect.stringContaining('Idempotency-Key') } });
  });

  it('takes names of 4,096 bytes together, and not of one more', async () => {
    const long = (bytes: number) => g('é'.repeat(1_000) + 'x'.repeat(bytes - 2_000 - 7), 'editor');
    expect(await ask.change({ add: { roles: [long(4_096)] } })).toMatchObject({ status: 200, body: { added: 1 } });
    const answer = await ask.change({ add: { roles: [g('user:x', 'editor'), long(4_097)] } });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer: '/add/roles/1' }] } });
    const entity = await ask.change({ remove: { entities: [{ type: 'user', id: 'x'.repeat(4_093) }] } });
    expect(entity).toMatchObject({ status: 400, body: { errors: [{ pointer: '/remove/entities/0' }] } });
    const listed = await ask.list('roles?limit=1');
    expect((await ask.list(`roles?limit=1&cursor=${listed.body.nextCursor}`)).status).toBe(200);
    expect((await ask.change({ remove: { roles: [long(4_096)] } })).body).toMatchObject({ removed: 1 });
  });

  it('P10: takes as many entries as a change may have, in a body longer than others, and not one more', async () => {
    const many = (count: number) => ({
      add: { roles: Array.from({ length: count }, (_, n) => g(`user:with-a-longer-name-${n}`, 'author')) },
    });
    expect(JSON.stringify(many(maxChangedEntries)).length).toBeGreaterThan(1024 * 1024);
    const answer = await ask.change(many(maxChangedEntries + 1), {}, 'shop');
    expect(answer).toMatchObject({
      status: 413,
      body: { detail: expect.stringContaining(`${maxChangedEntries + 1}`) },
    });
    expect(await ask.change(many(maxChangedEntries), {}, 'shop')).toMatchObject({
      status: 200,
      body: { added: maxChangedEntries },
    });
  }, 30_000);

  it('takes an entity of 64 KiB, and none that is longer', async () => {
    const entity = (length: number) => {
      const empty = { type: 'user', id: 'long', attributes: { text: '' } };
      return { ...empty, attributes: { text: 'x'.repeat(length - JSON.stringify(empty).length) } };
    };
    const padding = Array.from({ length: 3_000 }, (_, n) => g(`user:padding-${n}`, 'author'));
    const change = (length: number) => ({ add: { entities: [entity(length)] }, remove: { roles: padding } });
    expect(await ask.change(change(64 * 1024))).toMatchObject({ status: 200, body: { added: 1 } });
    const answer = await ask.change(change(64 * 1024 + 1));
    expect(answer).toMatchObject({ status: 413, body: { errors: [{ pointer: '/add/entities/0' }] } });
  });

  it('is noted with the versions before and after', async () => {
    const before = (await ask.change({})).body;
    const { body } = await ask.grant('user:noted', 'editor');
    const { items } = (await service.get('/v1/audit-events?type=policy_set_data_changed&policySet=desk&limit=1')).body;
    expect(items).toMatchObject([
      { actor: 'anonymous', policySet: 'desk', fromVersion: before.version, toVersion: body.version },
    ]);
  });
});

describe('GET /v1/policy-sets/{set}/roles and /entities', () => {
  let service: Service;
  let ask: ReturnType<typeof asker>;
  const all = [
    g('user:ana', 'author'),
    g('user:ana', 'editor'),
    g('user:ben', 'author'),
    ['g2', 'user:ana', 'lead', 'north'],
    ['g2', 'user:cy', 'lead', 'south'],
  ];

  beforeAll(async () => {
    service = await startService(liveSets);
    ask = asker(service);
    const entities = ['é', 'a b', 'z'].map((id) => ({ type: 'user', id, attributes: { letters: [id] } }));
    await ask.change({ add: { roles: all.toReversed(), entities } });
    await ask.change({ add: { roles: [g('user:x', 'author')], entities } }, {}, 'shop');
  });
  afterAll(() => service.stop());

  it('lists the links of live data in their order, with who added them and when', async () => {
    const answer = await ask.list('roles');
    expect(roles(answer)).toEqual(all);
    expect(answer.body.nextCursor).toBeUndefined();
    expect(answer.body.items[0]).toEqual({
      role: all[0],
      addedBy: 'anonymous',
      addedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      revision: 1,
    });
    expect((await ask.list('roles', 'plain')).body).toEqual({ items: [] });
    expect((await ask.list('roles', 'none')).status).toBe(404);
    expect((await ask.list('entities', 'none')).status).toBe(404);
  });

  it.each([
    ['definition=g2', [3, 4]],
    ['name=user:ana', [0, 1, 3]],
    ['role=author', [0, 2]],
    ['domain=south', [4]],
    ['definition=g&name=user:ana&role=editor', [1]],
    ['name=nobody', []],
  ])('filters by %s', async (query, found) => {
    expect(roles(await ask.list(`roles?${query}`))).toEqual(found.map((at) => all[at]));
  });

  it.each([1, 2, 3, 4, 5, 6])('gives each entry once, in pages of %i', async (limit) => {
    for (const [path, count] of [
      ['roles', all.length],
      ['entities', 3],
    ] as const) {
      const seen: unknown[] = [];
      let [cursor, pages] = ['', 0];
      do {
        const { body } = await ask.list(`${path}?limit=${limit}${cursor === '' ? '' : `&cursor=${cursor}`}`);
        seen.push(...body.items);
        cursor = body.nextCursor ?? '';
        pages++;
      } while (cursor !== '');
      expect(pages).toBe(Math.ceil(count / limit));
      expect(seen).toEqual((await ask.list(path)).body.items);
    }
  });

  it('lists entities by type and id', async () => {
    const ids = async (query: string) =>
      (await ask.list(`entities?${query}`)).body.items.map(({ id }: { id: string }) => id);
    expect(await ids('')).toEqual(['a b', 'z', 'é']);
    expect(await ids('type=user&id=%C3%A9')).toEqual(['é']);
    expect(await ids('type=robot')).toEqual([]);
  });

  it('P10: ends a page of large entities early', async () => {
    const entities = Array.from({ length: 60 }, (_, n) => ({
      type: 'user',
      id: `large-${100 + n}`,
      attributes: { text: 'x'.repeat(60_000) },
    }));
    for (let n = 0; n < 60; n += 15) await ask.change({ add: { entities: entities.slice(n, n + 15) } }, {}, 'shop');
    const ids: string[] = [];
    let [cursor, pages] = ['', 0];
    do {
      const { body } = await ask.list(`entities?limit=1000${cursor === '' ? '' : `&cursor=${cursor}`}`, 'shop');
      ids.push(...body.items.map(({ id }: { id: string }) => id));
      expect(JSON.stringify(body).length).toBeLessThan(3 * 1024 * 1024);
      cursor = body.nextCursor ?? '';
      pages++;
    } while (cursor !== '');
    expect(pages).toBeGreaterThan(1);
    expect(ids).toEqual(['a b', ...entities.map(({ id }) => id), 'z', 'é']);
  });

  it('refuses the cursor of another set, of other filters, of another list, and what is none', async () => {
    const cursorOf = async (path: string, set?: string) => (await ask.list(path, set)).body.nextCursor;
    const cursor = await cursorOf('roles?limit=1');
    expect((await ask.list(`roles?limit=2&cursor=${cursor}`)).status).toBe(200);
    const refused = [
      [`roles?cursor=${cursor}`, 'shop'],
      [`roles?name=user:ana&cursor=${cursor}`, 'desk'],
      [`entities?cursor=${cursor}`, 'desk'],
      [`roles?cursor=${await cursorOf('entities?limit=1')}`, 'desk'],
      [`roles?cursor=${cursor.slice(0, -2)}`, 'desk'],
      ['roles?cursor=x', 'desk'],
      [`roles?cursor=${Buffer.from(JSON.stringify(['0', 'g', 'a', 'b'])).toString('base64url')}`, 'desk'],
      [`roles?cursor=${Buffer.from(`1:5:${'0'.repeat(16)}`).toString('base64url')}`, 'desk'],
    ];
    for (const [path, set] of refused) {
      expect(await ask.list(path!, set), path).toMatchObject({
        status: 400,
        body: { errors: [{ pointer: '/cursor' }] },
      });
    }
  });
});

describe('P7: who may change and see live data', () => {
  const keys = { writer: makeApiKey('test'), reader: makeApiKey('test'), policies: makeApiKey('test') };
  let service: Service;
  const as = (name: keyof typeof keys) => asker(service, `Bearer ${keys[name]}`);

  beforeAll(async () => {
    const apiKeysFile = join(temporaryDirectory(), 'keys.yaml');
    writeFileSync(
      apiKeysFile,
      `- {name: writer, sha256: ${digestOf(keys.writer)}, scopes: ['data:write:desk']}
- {name: reader, sha256: ${digestOf(keys.reader)}, scopes: ['data:read:desk', decide]}
- {name: policies, sha256: ${digestOf(keys.policies)}, scopes: ['policies:write', 'policies:read', 'decisions:read']}
`,
    );
    service = await startService(liveSets, { auth: 'required', env: 'test', apiKeysFile });
  });
  afterAll(() => service.stop());

  it('data:write changes, data:read lists, and neither does the other', async () => {
    expect(await as('writer').grant('user:ana', 'editor')).toMatchObject({ status: 200 });
    expect((await as('reader').list('roles')).body.items).toMatchObject([{ addedBy: 'writer' }]);
    expect(await as('writer').list('roles')).toMatchObject({ status: 403 });
    expect(await as('writer').list('entities')).toMatchObject({ status: 403 });
    expect(await as('reader').grant('user:ben', 'editor')).toMatchObject({ status: 403, body: problem('forbidden') });
    expect(await as('policies').grant('user:ben', 'editor')).toMatchObject({ status: 403 });
    expect(await as('policies').list('roles')).toMatchObject({ status: 403 });
    expect(await as('reader').edits('ben')).toMatchObject({ allowed: false });
  });

  it('cannot tell the set of another from one that is not there', async () => {
    const same = { 'x-request-id': 'same' };
    for (const look of [
      (set: string) => as('writer').change({ add: { roles: [g('a', 'b')] } }, same, set),
      (set: string) => service.get(`/v1/policy-sets/${set}/roles`, { authorization: `Bearer ${keys.reader}`, ...same }),
      (set: string) =>
        service.get(`/v1/policy-sets/${set}/entities`, { authorization: `Bearer ${keys.reader}`, ...same }),
    ]) {
      const [hidden, missing] = [await look('shop'), await look('none')];
      expect(hidden.status).toBe(404);
      expect(JSON.stringify(hidden.body).replaceAll('shop', 'none')).toBe(JSON.stringify(missing.body));
    }
  });
});

describe.skipIf(!hasPostgres)('live data of a fleet on PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  it('is changed on one replica, and holds on the other for whoever demands its revision', async () => {
    const databaseUrl = server().newSchema();
    const replicas = await Promise.all(
      [1, 2].map(async () => {
        const replica = await startService(liveSets, { databaseUrl, spoolDir: temporaryDirectory() });
        onTestFinished(() => replica.stop());
        return asker(replica);
      }),
    );
    const [one, two] = replicas as [ReturnType<typeof asker>, ReturnType<typeof asker>];
    const given = await one.grant('user:ana', 'editor', { 'idempotency-key': 'once' });
    expect(given).toMatchObject({ status: 200, body: { added: 1 } });
    const { revision, version } = given.body;
    await expect.poll(() => two.edits('ana', revision)).toMatchObject({ allowed: true, policyVersion: version });
    const again = await two.grant('user:ana', 'editor', { 'idempotency-key': 'once' });
    expect(again).toMatchObject({ status: 200, body: { revision, version, added: 0 } });
    // Both write at once: each sees what the other has written.
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) => replicas[n % 2]!.grant(`user:${n}`, n < 4 ? 'editor' : 'author')),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect(new Set(answers.map(({ body }) => body.revision)).size).toBe(8);
    const listed = await two.list('roles?limit=3');
    expect(roles(await one.list(`roles?limit=100&cursor=${listed.body.nextCursor}`))).toHaveLength(6);
  });
});
