/** `PUT` and `DELETE` of policy sets, on SQLite: what is written is served, and what would not be served is not written. */

import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { packBundle } from '../../src/policy-store/bundle/bundle.js';
import { packArchive } from '../../src/policy-store/bundle/bundle-archive.js';
import { signArchive } from '../../src/policy-store/bundle/bundle-signature.js';
import { PolicyWriting } from '../../src/policy-store/database/policy-writing.js';
import { defaultSourceLimits } from '../../src/policy-store/source-limits.js';
import { StockPolicySet } from '../../src/stock-casbin/stock-policy-set.js';
import { onePolicySet, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { setOf } from '../policy-store/bundle/published.js';
import { newKey, type TestKey } from '../policy-store/bundle/signing-keys.js';
import { temporaryDirectory } from '../policy-store/folders.js';

const rules = (subject: string) => ({ 'model.conf': idModel, 'rules.csv': `p, ${subject}, data1, read\n` });

describe('PUT /v1/policy-sets/{set}', () => {
  const folder = temporaryDirectory();
  const databaseUrl = `sqlite:${join(folder, 'verdict.sqlite')}`;
  let service: Service;
  const start = () => startService({}, { databaseUrl, policySource: 'database', auth: 'none' });

  beforeAll(async () => {
    service = await start();
  });
  afterAll(() => service.stop());

  const send = async (method: 'PUT' | 'DELETE', set: string, body?: unknown, headers: Record<string, string> = {}) => {
    const answer = await service.app.inject({
      method,
      url: `/v1/policy-sets/${set}`,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { payload: JSON.stringify(body) }),
    });
    return { status: answer.statusCode, headers: answer.headers, body: answer.body === '' ? undefined : answer.json() };
  };
  const put = (set: string, files: object, ifMatch?: string) =>
    send('PUT', set, { files }, ifMatch === undefined ? {} : { 'if-match': ifMatch });
  const decide = async (subject: string, policySet?: string) =>
    (await service.post('/v1/decide', { subject, action: 'read', resource: 'data1', policySet })).body;

  it('starts with a database without sets, is ready, and says that there is none', async () => {
    expect((await service.get('/health/ready')).status).toBe(200);
    expect(await decide('alice')).toMatchObject({ status: 400, detail: 'There is no policy set.' });
    expect(await decide('alice', 'acl')).toMatchObject({ status: 404 });
  });

  it('writes a new set, which answers at once, with its revision', async () => {
    const written = await put('acl', rules('alice'));
    expect(written).toMatchObject({ status: 200, body: { set: 'acl', revision: 1 }, headers: { etag: '"1"' } });
    const answer = await decide('alice');
    expect(answer).toMatchObject({ allowed: true, revision: 1, policyVersion: written.body.version });
    const record = (await service.get(`/v1/decisions/${answer.decisionId}`)).body;
    expect(record).toMatchObject({ revision: 1, policyVersion: written.body.version });
  });

  it('wants to know what is replaced: 428 without, 412 with something else', async () => {
    expect(await put('acl', rules('bob'))).toMatchObject({
      status: 428,
      body: { detail: expect.stringContaining('at revision 1') },
    });
    expect(await put('acl', rules('bob'), '"2"')).toMatchObject({ status: 412 });
    expect(await put('other', rules('bob'), '*')).toMatchObject({ status: 412 });
    expect(await decide('alice')).toMatchObject({ allowed: true, revision: 1 });
    expect(await put('acl', rules('bob'), '"1"')).toMatchObject({ status: 200, body: { revision: 2 } });
    expect(await decide('alice')).toMatchObject({ allowed: false, revision: 2 });
    expect(await put('acl', rules('carol'), '*')).toMatchObject({ status: 200, body: { revision: 3 } });
  });

  for (const ifMatch of ['W/"3"', '"3", "4"', '3.5', '0', '"-1"', 'x', '""', '99999999999999999']) {
    it(`refuses If-Match: ${ifMatch} by name`, async () => {
      const answer = await put('acl', rules('dave'), ifMatch);
      expect(answer).toMatchObject({ status: 400, body: { detail: expect.stringContaining('If-Match') } });
    });
  }

  const faulty: readonly (readonly [string, object, string, string])[] = [
    [
      'a rule that is too short',
      { ...rules('a'), 'rules.csv': 'p, a\n' },
      '/files/rules.csv',
      'rules.csv:1:4: error wrong_field_count',
    ],
    [
      'a file under a wrong name',
      { ...rules('a'), 'policy-set.yml': 'x: 1' },
      '/files/policy-set.yml',
      'misnamed_file',
    ],
    ['a file that is none of a set', { ...rules('a'), '../x.csv': 'p' }, '/files/..~1x.csv', 'unknown_file'],
    ['no model', { 'rules.csv': 'p, a, b, c\n' }, '/files', 'model_missing'],
    ['no file', {}, '/files', 'model_missing'],
    ['a NUL', { ...rules('a'), 'rules.csv': 'p, a, b, c\u0000' }, '/files/rules.csv', 'NUL'],
    [
      'a test that fails',
      {
        ...rules('a'),
        'tests/t.yaml':
          'subjects: { b: { id: b } }\nresources: { data1: { id: data1 } }\n' +
          'tests: [{ name: b reads, subject: b, action: read, resource: data1, expect: allow }]\n',
      },
      '/files/tests~1t.yaml',
      'failing_test',
    ],
  ];
  for (const [what, files, pointer, detail] of faulty) {
    it(`P1: refuses ${what} with its place, and changes nothing`, async () => {
      const answer = await put('acl', files, '*');
      expect(answer.status).toBe(400);
      const { errors } = answer.body as { errors: { pointer: string; detail: string }[] };
      expect(errors).toContainEqual({ pointer, detail: expect.stringContaining(detail) });
      expect(await decide('carol')).toMatchObject({ allowed: true, revision: 3 });
    });
  }

  for (const body of [{}, { files: [] }, { files: { 'model.conf': 1 } }, { files: rules('a'), more: 1 }, [], 'x']) {
    it(`refuses the body ${JSON.stringify(body).slice(0, 40)}`, async () => {
      expect((await send('PUT', 'acl', body, { 'if-match': '*' })).status).toBe(400);
    });
  }

  it('gives back the files as they were written, tests and all', async () => {
    const files = { ...rules('carol'), 'tests/t.yaml': 'tests: []\n', 'schema.yaml': '\ufeff{}\n' };
    const written = await send('PUT', 'whole', { files });
    expect(written.status).toBe(200);
    const read = await service.get('/v1/policy-sets/whole/files');
    expect(read).toMatchObject({ status: 200, headers: { etag: '"1"' } });
    expect(read.body).toEqual({ revision: 1, version: written.body.version, files });
    expect((await service.get('/v1/policy-sets/none/files')).status).toBe(404);
    await send('DELETE', 'whole');
  });

  it('keeps the commit that the files come from, and refuses what is none', async () => {
    const files = { ...rules('carol'), 'entities.yaml': '- { type: user, id: carol }\n' };
    const bad = await send('PUT', 'acl', { files, gitCommit: 'main' }, { 'if-match': '*' });
    expect(bad).toMatchObject({ status: 400, body: { errors: [{ pointer: '/gitCommit' }] } });
    const gitCommit = 'c0ffee0000000000000000000000000000000000';
    const written = await send('PUT', 'noted', { files, gitCommit });
    const { body } = await service.get(`/v1/policy-sets/noted/versions/${written.body.version}`);
    expect(body).toMatchObject({ gitCommit });
    await send('DELETE', 'noted');
  });

  it('refuses a name that no set can have', async () => {
    expect(await put('.hidden', rules('a'))).toMatchObject({
      status: 400,
      body: { type: expect.stringMatching(/policy_set_invalid$/) },
    });
  });

  it('looks at what is replaced before it compiles what is written', async () => {
    const broken = { ...rules('a'), 'rules.csv': 'p, a\n' };
    expect((await put('acl', broken, '"77"')).status).toBe(412);
    expect((await put('acl', broken)).status).toBe(428);
    expect((await put('other', broken, '*')).status).toBe(412);
  });

  it('P10: checks one set at a time, lets a few wait, and refuses others until there is room', async () => {
    // A check of such a set has a thread and an engine of its own; one more of them may be put into service meanwhile.
    const load = StockPolicySet.load.bind(StockPolicySet);
    let [running, most] = [0, 0];
    const loads = vi.spyOn(StockPolicySet, 'load').mockImplementation(async (view) => {
      most = Math.max(most, ++running);
      return load(view).finally(() => running--);
    });
    onTestFinished(() => loads.mockRestore());
    const files = { ...rules('alice'), 'policy-set.yaml': 'engine: casbin\n' };
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => put(`stock-${n}`, files)));
    const [written, refused] = [200, 503].map((status) => answers.filter((answer) => answer.status === status));
    expect(written!.length).toBeGreaterThanOrEqual(4);
    expect(refused!.length).toBe(20 - written!.length);
    expect(refused![0]).toMatchObject({
      body: { type: 'urn:verdict:problem:policy_writes_in_progress' },
      headers: { 'retry-after': '1' },
    });
    expect(most).toBeLessThanOrEqual(2);
    for (const { body } of written!) expect((await send('DELETE', body.set)).status).toBe(204);
    expect((await put('stock-0', files)).status).toBe(200);
    await send('DELETE', 'stock-0');
  });

  it('takes a set that is larger than other bodies may be', async () => {
    const many = Array.from({ length: 60_000 }, (_, n) => `p, user-number-${n}, data1, read\n`).join('');
    const written = await put('large', { 'model.conf': idModel, 'rules.csv': many });
    expect(written).toMatchObject({ status: 200 });
    expect(await decide('user-number-59999', 'large')).toMatchObject({ allowed: true });
  });

  it('rolls back to an earlier version as a new revision, until the set is written again', async () => {
    const { items } = (await service.get('/v1/policy-sets/acl/versions')).body;
    const alices = items.at(-1).version;
    const answer = await service.post('/v1/policy-sets/acl/rollback', { version: alices });
    expect(answer).toMatchObject({
      status: 200,
      body: { version: alices, revision: 4, pinned: true, state: 'active' },
    });
    expect(await decide('alice', 'acl')).toMatchObject({ allowed: true, revision: 4 });
    await service.stop();
    service = await start();
    expect(await decide('alice', 'acl')).toMatchObject({ allowed: true, revision: 4 });
    expect(await put('acl', rules('carol'), '"4"')).toMatchObject({ status: 200, body: { revision: 5 } });
    expect(await decide('carol', 'acl')).toMatchObject({ allowed: true, revision: 5 });
    expect((await service.get('/v1/policy-sets/acl')).body).toMatchObject({ pinned: false, revision: 5 });
  });

  it('notes who wrote what, from which version to which', async () => {
    const { items } = (await service.get('/v1/audit-events?type=policy_set_written')).body;
    const event = items.find(({ policySet }: { policySet: string }) => policySet === 'acl');
    expect(event).toMatchObject({
      policySet: 'acl',
      fromVersion: expect.any(String),
      toVersion: expect.any(String),
    });
  });

  it('removes a set, whose revisions go on when it is written again', async () => {
    expect(await send('DELETE', 'large', undefined, { 'if-match': '"7"' })).toMatchObject({ status: 412 });
    expect(await send('DELETE', 'large')).toMatchObject({ status: 204 });
    expect(await send('DELETE', 'large')).toMatchObject({ status: 404 });
    expect(await decide('user-number-1', 'large')).toMatchObject({ status: 404 });
    expect(await put('large', rules('alice'))).toMatchObject({ status: 200, body: { revision: 3 } });
  });
});

describe('PUT /v1/policy-sets/{set} with a bundle', () => {
  const commit = 'c0ffee0000000000000000000000000000000000';
  const about = { revision: 7, gitCommit: commit };
  const databaseIn = (folder: string) => `sqlite:${join(folder, 'verdict.sqlite')}`;
  const sendTo = async (service: Service, set: string, payload: Buffer, headers: Record<string, string> = {}) => {
    const answer = await service.app.inject({
      method: 'PUT',
      url: `/v1/policy-sets/${set}`,
      headers: { 'content-type': 'application/x-tar', ...headers },
      payload,
    });
    return { status: answer.statusCode, headers: answer.headers, body: answer.json() };
  };
  const bundleOf = (subject: string, name = 'acl', more: Record<string, string> = {}) =>
    packBundle(setOf(subject, name, more), about);
  const reads = async (service: Service, subject: string) =>
    (await service.post('/v1/decide', { subject, action: 'read', resource: 'data', policySet: 'acl' })).body;

  describe('where nothing has to be signed', () => {
    let service: Service;
    beforeAll(async () => {
      const settings = {
        databaseUrl: databaseIn(temporaryDirectory()),
        policySource: 'database',
        auth: 'none',
      } as const;
      service = await startService({}, settings);
    });
    afterAll(() => service.stop());
    const send = (payload: Buffer, headers: Record<string, string> = {}, set = 'acl') =>
      sendTo(service, set, payload, headers);

    it('writes its files under a revision of the database, with the commit that it names', async () => {
      const written = await send(bundleOf('alice'));
      expect(written).toMatchObject({ status: 200, body: { set: 'acl', revision: 1 }, headers: { etag: '"1"' } });
      expect(await reads(service, 'alice')).toMatchObject({ allowed: true, revision: 1 });
      const { body } = await service.get(`/v1/policy-sets/acl/versions/${written.body.version}`);
      expect(body).toMatchObject({ gitCommit: commit });
      const files = (await service.get('/v1/policy-sets/acl/files')).body.files;
      expect(Object.keys(files)).toEqual(['model.conf', 'rules.csv']);
    });

    it('wants to know what is replaced, as with files', async () => {
      expect((await send(bundleOf('bob'))).status).toBe(428);
      expect((await send(bundleOf('bob'), { 'if-match': '"5"' })).status).toBe(412);
      expect(await send(bundleOf('bob'), { 'if-match': '"1"' })).toMatchObject({ status: 200, body: { revision: 2 } });
      expect(await send(bundleOf('bob'), { 'if-match': '*' })).toMatchObject({ status: 200, body: { revision: 2 } });
    });

    const cut = (archive: Buffer) => archive.subarray(0, archive.length - 512);
    const refusals: readonly (readonly [string, () => Buffer, string])[] = [
      ['bytes that are no archive', () => Buffer.from('no archive'), 'bundle_archive_invalid: '],
      ['no bytes', () => Buffer.alloc(0), 'bundle_archive_invalid: '],
      ['a compressed archive', () => gzipSync(bundleOf('x')), 'bundle_archive_invalid: '],
      ['an archive that was cut off', () => cut(bundleOf('x')), 'ends before its end'],
      ['an archive without a manifest', () => packArchive(setOf('x').files), 'there is no bundle.json'],
      ['the bundle of another set', () => bundleOf('x', 'other'), 'bundle.json names the set other, and acl is to be'],
    ];
    for (const [what, payload, detail] of refusals) {
      it(`P1: refuses ${what}, and changes nothing`, async () => {
        const answer = await send(payload(), { 'if-match': '*' });
        expect(answer).toMatchObject({
          status: 400,
          body: {
            type: 'urn:verdict:problem:bundle_refused',
            errors: [{ pointer: '', detail: expect.stringContaining(detail) }],
          },
        });
        expect(await reads(service, 'bob')).toMatchObject({ allowed: true, revision: 2 });
      });
    }

    it('names the file that leads out of the set', async () => {
      const archive = bundleOf('x', 'acl', { 'aa/bb.csv': 'p, x, y, z' });
      // The header's own checksum is over its bytes: `/` and `.` are 47 and 46.
      const evil = Buffer.from(archive);
      evil.write('../bb.csv', archive.indexOf('aa/bb.csv'), 'latin1');
      const answer = await send(evil, { 'if-match': '*' });
      expect(answer).toMatchObject({
        status: 400,
        body: { errors: [{ detail: expect.stringContaining('../bb.csv') }] },
      });
    });

    it('P1: refuses what would not be served with its place', async () => {
      const answer = await send(bundleOf('x', 'acl', { 'rules.csv': 'p, x\n', 'policy-set.yml': '{}' }), {
        'if-match': '*',
      });
      expect(answer).toMatchObject({
        status: 400,
        body: { errors: [{ pointer: '/files/policy-set.yml', detail: expect.stringContaining('misnamed_file') }] },
      });
      const failing = await send(bundleOf('x', 'acl', { 'rules.csv': 'p, x\n' }), { 'if-match': '*' });
      expect(failing).toMatchObject({
        status: 400,
        body: { errors: [{ pointer: '/files/rules.csv', detail: expect.stringContaining('rules.csv:1:4') }] },
      });
    });

    it('P10: unpacks nothing, and takes no more files and bytes than a set may have', async () => {
      const encoded = await send(gzipSync(Buffer.alloc(50_000_000)), { 'if-match': '*', 'content-encoding': 'gzip' });
      expect(encoded).toMatchObject({ status: 400, body: { detail: 'No encoded body is unpacked.' } });
      const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`r${n}.csv`, '']));
      expect((await send(bundleOf('x', 'acl', many), { 'if-match': '*' })).status).toBe(413);
      const large = await send(Buffer.alloc(defaultSourceLimits.maxBytes + 1), { 'if-match': '*' });
      expect(large).toMatchObject({ status: 413, body: { type: 'urn:verdict:problem:payload_too_large' } });
    });

    it('takes a set of the most files', async () => {
      const many = Object.fromEntries(Array.from({ length: 9_998 }, (_, n) => [`r${n}.csv`, '']));
      expect((await send(bundleOf('x', 'many', many), {}, 'many')).status).toBe(200);
    });

    it('takes a bundle on no other route, and files of no other type', async () => {
      const headers = { 'content-type': 'application/x-tar' };
      const answer = await service.app.inject({ method: 'POST', url: '/v1/decide', headers, payload: bundleOf('x') });
      expect(answer.statusCode).toBe(400);
      const other = await send(bundleOf('x'), { 'content-type': 'application/gzip' });
      expect(other).toMatchObject({ status: 400, body: { type: 'urn:verdict:problem:malformed_request' } });
    });
  });

  describe('where VERDICT_BUNDLE_KEYS says whose signatures count', () => {
    let service: Service;
    let [key, other]: TestKey[] = [];
    const folder = temporaryDirectory();
    const bundleKeys = join(folder, 'keys.pem');
    beforeAll(async () => {
      [key, other] = [await newKey(), await newKey('p256')];
      writeFileSync(bundleKeys, key.publicPem);
      const settings = { databaseUrl: databaseIn(folder), policySource: 'database', auth: 'none', bundleKeys } as const;
      service = await startService({}, settings);
    });
    afterAll(() => service.stop());
    const send = (payload: Buffer, signature?: string, headers: Record<string, string> = {}) =>
      sendTo(service, 'acl', payload, {
        ...(signature !== undefined && { 'verdict-bundle-signature': signature }),
        ...headers,
      });
    const refusal = (detail: string) => ({
      status: 400,
      body: {
        type: 'urn:verdict:problem:bundle_refused',
        errors: [{ pointer: '', detail: expect.stringContaining(detail) }],
      },
    });

    it('takes nothing unsigned, neither a bundle nor files', async () => {
      expect(await send(bundleOf('alice'))).toMatchObject(refusal('bundle_unsigned: '));
      const answer = await service.app.inject({
        method: 'PUT',
        url: '/v1/policy-sets/acl',
        headers: { 'content-type': 'application/json' },
        payload: JSON.stringify({ files: rules('alice') }),
      });
      expect({ status: answer.statusCode, body: answer.json() }).toMatchObject(refusal('bundle_unsigned: '));
      expect(await reads(service, 'alice')).toMatchObject({ status: 404 });
    });

    it('takes a bundle that a key of them signed, and no other', async () => {
      const archive = bundleOf('alice');
      const signature = await signArchive(archive, key!.signing);
      const foreign = await signArchive(archive, other!.signing);
      expect(await send(archive, foreign)).toMatchObject(refusal('bundle_key_unknown: '));
      expect(await send(bundleOf('bob'), signature)).toMatchObject(refusal('bundle_signature_invalid: '));
      for (const broken of ['x', '', `${signature}, ${signature}`, signature.slice(0, -4)]) {
        expect(await send(archive, broken)).toMatchObject(refusal('bundle_signature_invalid: '));
      }
      expect(await reads(service, 'alice')).toMatchObject({ status: 404 });
      expect(await send(archive, signature)).toMatchObject({ status: 200, body: { revision: 1 } });
      expect(await reads(service, 'alice')).toMatchObject({ allowed: true, revision: 1 });
    });

    it('holds what is replaced against If-Match before it verifies anything', async () => {
      expect((await send(bundleOf('bob'))).status).toBe(428);
      expect((await send(bundleOf('bob'), undefined, { 'if-match': '"9"' })).status).toBe(412);
    });

    it('reads the keys anew for each bundle, and says when it cannot', async () => {
      const archive = bundleOf('bob');
      const signature = await signArchive(archive, other!.signing);
      writeFileSync(bundleKeys, 'no key');
      expect(await send(archive, signature, { 'if-match': '*' })).toMatchObject({
        status: 503,
        body: { type: 'urn:verdict:problem:bundle_keys_unavailable' },
      });
      writeFileSync(bundleKeys, other!.publicPem);
      expect(await send(archive, signature, { 'if-match': '*' })).toMatchObject({ status: 200, body: { revision: 2 } });
    });
  });
});

describe('P10: GET /v1/policy-sets/{set}/files', () => {
  const mebibyte = 1024 * 1024;

  it('makes one answer at a time, and none while those before it are not read', async () => {
    const databaseUrl = `sqlite:${join(temporaryDirectory(), 'verdict.sqlite')}`;
    const service = await startService(
      {},
      { databaseUrl, policySource: 'database', auth: 'none', maxUnreadBytesOfCaller: mebibyte },
    );
    const sockets: Socket[] = [];
    onTestFinished(async () => {
      for (const socket of sockets) socket.destroy();
      await service.stop();
    });
    const { app } = service;
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    const files = { ...rules('alice'), 'long.csv': `# ${'\u00e4 "b" '.repeat(100)}\n`.repeat(30_000) };
    const written = await fetch(`http://127.0.0.1:${port}/v1/policy-sets/acl`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ files }),
    });
    expect(written.status).toBe(200);
    const path = '/v1/policy-sets/acl/files';
    const whole = (await (await fetch(`http://127.0.0.1:${port}${path}`)).json()) as { files: typeof files };
    expect(whole.files['long.csv'] === files['long.csv']).toBe(true);

    const made = vi.spyOn(app.get(PolicyWriting), 'read');
    for (let n = 0; n < 15; n++) {
      const socket = connect(port, '127.0.0.1');
      sockets.push(socket);
      socket.pause();
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    }
    await expect.poll(() => made.mock.calls.length).toBeGreaterThan(0);
    await made.mock.results[0]!.value;
    const refused = await service.get(path);
    expect([refused.status, refused.body.type]).toEqual([503, 'urn:verdict:problem:answers_unread']);
    // It waited behind those that came before it.
    expect(made.mock.calls.length).toBeLessThanOrEqual(2);
    const question = { subject: 'alice', action: 'read', resource: 'data1' };
    expect((await service.post('/v1/decide', question)).body).toMatchObject({ allowed: true });
  });
});

describe('VERDICT_MAX_POLICY_SETS', () => {
  it('lets that many sets be written and no more, and others be changed', async () => {
    const databaseUrl = `sqlite:${join(temporaryDirectory(), 'verdict.sqlite')}`;
    const settings = { databaseUrl, policySource: 'database', auth: 'none', maxPolicySets: 2 } as const;
    const service = await startService({}, settings);
    onTestFinished(() => service.stop());
    const put = async (set: string, subject: string, ifMatch?: string) => {
      const headers = { 'content-type': 'application/json', ...(ifMatch !== undefined && { 'if-match': ifMatch }) };
      const payload = JSON.stringify({ files: rules(subject) });
      const answer = await service.app.inject({ method: 'PUT', url: `/v1/policy-sets/${set}`, headers, payload });
      return { status: answer.statusCode, type: answer.json().type };
    };
    expect([(await put('a', 'ann')).status, (await put('b', 'ann')).status]).toEqual([200, 200]);
    expect(await put('c', 'ann')).toEqual({ status: 409, type: 'urn:verdict:problem:too_many_policy_sets' });
    expect((await put('a', 'ben', '"1"')).status).toBe(200);
    await service.app.inject({ method: 'DELETE', url: '/v1/policy-sets/b' });
    expect((await put('c', 'ann')).status).toBe(200);
  });
});

describe('a service whose sets come from a directory', () => {
  it('refuses to write them, with 409', async () => {
    const service = await startService(onePolicySet, { auth: 'none' });
    const payload = JSON.stringify({ files: rules('a') });
    const headers = { 'content-type': 'application/json' };
    const answer = await service.app.inject({ method: 'PUT', url: '/v1/policy-sets/default', headers, payload });
    expect({ status: answer.statusCode, body: answer.json() }).toMatchObject({
      status: 409,
      body: { type: expect.stringMatching(/policy_source_read_only$/) },
    });
    await service.stop();
  });
});

describe('P7: who may write a set', () => {
  it('a key for one set writes that one, and finds no other', async () => {
    const folder = temporaryDirectory();
    const [writer, reader] = [makeApiKey('test'), makeApiKey('test')];
    const apiKeysFile = join(folder, 'keys.yaml');
    writeFileSync(
      apiKeysFile,
      `- {name: writer, sha256: ${digestOf(writer)}, scopes: ['policies:write:acl']}
- {name: reader, sha256: ${digestOf(reader)}, scopes: ['policies:read', decide]}
`,
    );
    const service = await startService(
      {},
      {
        databaseUrl: `sqlite:${join(folder, 'verdict.sqlite')}`,
        policySource: 'database',
        auth: 'required',
        apiKeysFile,
      },
    );
    const put = async (set: string, key?: string) => {
      const headers = {
        'content-type': 'application/json',
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
      };
      const payload = JSON.stringify({ files: rules('a') });
      return (await service.app.inject({ method: 'PUT', url: `/v1/policy-sets/${set}`, headers, payload })).statusCode;
    };
    expect(await put('acl')).toBe(401);
    expect(await put('acl', reader)).toBe(403);
    expect(await put('other', writer)).toBe(404);
    expect(await put('acl', writer)).toBe(200);
    await service.stop();
  });
});
