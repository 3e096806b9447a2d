import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { currentSemantics, type Semantics } from '../../src/core/semantics.js';
import { SqliteConnection } from '../../src/database/sqlite/sqlite-connection.js';
import { replay } from '../../src/pdp/replay.js';
import { loadPolicySet } from '../../src/policy-store/load-policy-set.js';
import { exampleRecord, noon } from '../decision-log/example-records.js';
import { idModel } from '../models.js';
import { temporaryDirectory, writeTree } from './folders.js';
import { openArchive, startedStore } from './store.js';

/** A service that served a set, and whose archive then says that it was under another number. */
async function servedUnder(semantics: number | null) {
  const directory = join(temporaryDirectory(), 'policies');
  const database = join(temporaryDirectory(), 'verdict.sqlite');
  await writeTree(directory, { 'acl/model.conf': idModel, 'acl/rules.csv': 'p, alice, data1, read\n' });
  const start = async () => (await startedStore(directory, { archive: await openArchive(database) })).store;
  const store = await start();
  const { version } = store.resolve('acl');
  await store.stop();
  const connection = await SqliteConnection.open({ path: database, busyTimeoutMs: 1_000 });
  await connection.query('UPDATE policy_version SET semantics = ?', [semantics]);
  await connection.close();
  return { directory, start, version };
}

const record = (version: string, semantics: number) => ({
  ...exampleRecord({ nextId: () => '0199c2f6-3d41-7003-8a41-90b7c3d9e211' }),
  time: new Date(noon).toISOString(),
  clock: new Date(noon).toISOString(),
  policySet: 'acl',
  policyVersion: version,
  semantics,
  writer: 1,
  sequence: 1,
});

describe('the number of the defaults that a set is read with', () => {
  it('is that of today for what a folder holds, also after it served under another', async () => {
    const { start } = await servedUnder(null);
    const store = await start();
    expect(store.resolve('acl').compiled.semantics).toBe(currentSemantics);
    await store.stop();
    const again = await start();
    expect(again.resolve('acl').compiled.semantics).toBe(currentSemantics);
  });

  it('is the one that a version served under, where its folder no longer loads', async () => {
    const { directory, start, version } = await servedUnder(null);
    await writeFile(join(directory, 'acl/rules.csv'), 'p, nobody\n');
    const store = await start();
    expect(store.status('acl')).toMatchObject({ state: 'stale', version });
    expect(store.resolve('acl').compiled.semantics).toBe(1);
    // Once the same version loads again it is read as today.
    await writeFile(join(directory, 'acl/rules.csv'), 'p, alice, data1, read\n');
    await store.reload('acl');
    expect(store.status('acl')).toMatchObject({ state: 'active', version });
    expect(store.resolve('acl').compiled.semantics).toBe(currentSemantics);
  });

  it('is that of the record in a replay, whatever serves', async () => {
    const { start, version } = await servedUnder(null);
    const store = await start();
    for (const semantics of [1, currentSemantics]) {
      const { recorded, replayed } = await replay(store, record(version, semantics));
      expect([recorded.semantics, replayed.semantics]).toEqual([semantics, semantics]);
    }
  });

  it('makes a decision of 0.1 what it was, though each of its files means something else today', async () => {
    const tree = {
      'model.conf': idModel
        .replace(/r = .*/, 'r = sub, obj, act')
        .replace(/m = .*/, 'm = r.obj == p.obj && r.obj.owner == r.sub'),
      'rules.csv': 'p, anyone, a:b:c, read\n',
      'policy-set.yaml': 'request: { obj: "${resource.type}:${resource.id}" }\n',
      'entities.yaml': '- { type: "a:b", id: c, attributes: { owner: &who ann, n: 9007199254740993, also: *who } }\n',
      'schema.yaml': 'resource: { "a:b": { properties: { owner: { type: integer }, n: {}, also: {} } } }\n',
    };
    const files = Object.entries(tree).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
    const at = async (semantics: Semantics) => (await loadPolicySet({ name: 'acl', files }, { semantics })).served;
    // An alias, an integer that is not exact, and a value that the schema does not allow.
    await expect(at(currentSemantics)).rejects.toMatchObject({
      problems: [{ code: 'yaml_alias' }, {}, { code: 'yaml_alias' }],
    });
    const old = await at(1);
    const request = {
      subject: { id: 'bob' },
      action: { name: 'read' },
      resource: { type: 'a:b', id: 'c', attributes: { owner: 'bob' } },
    };
    const answered = {
      ...record(old.version, 1),
      request,
      ...(await old.evaluate(request, { now: 0, explain: 'none' })),
    };
    expect(answered.decision).toBe('allow');
    const version = async (_name: string, _version: string, semantics?: number) =>
      at((semantics ?? currentSemantics) as Semantics);
    const replayed = await replay({ version } as unknown as Parameters<typeof replay>[0], answered);
    expect(replayed).toMatchObject({ same: true, replayed: { decision: 'allow', semantics: 1 } });
  });

  it('makes a replay impossible where this engine does not know it, and says so', async () => {
    const { start, version } = await servedUnder(null);
    await expect(replay(await start(), record(version, 99))).rejects.toMatchObject({
      code: 'not_replayable',
      detail: expect.stringContaining('semantics 99'),
    });
  });

  it('keeps a version of a later engine from being served', async () => {
    const { directory, start } = await servedUnder(99);
    await writeFile(join(directory, 'acl/rules.csv'), 'p, nobody\n');
    expect((await start()).status('acl')).toMatchObject({ state: 'failed' });
  });
});
