/** P8: a rollback of a set of bundles on one replica is followed by all that share a PostgreSQL, the one that never had it too. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import { LateArchive } from '../../../src/policy-store/archive/late-archive.js';
import { PostgresPolicyArchive } from '../../../src/policy-store/archive/postgres/postgres-policy-archive.js';
import { packBundle } from '../../../src/policy-store/bundle/bundle.js';
import { signArchive } from '../../../src/policy-store/bundle/bundle-signature.js';
import { PostgresBundlePins } from '../../../src/policy-store/bundle/postgres/postgres-bundle-pins.js';
import { versionOf } from '../../../src/policy-store/policy-set-files.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { Link } from '../../database/postgres/link.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { temporaryDirectory } from '../folders.js';
import { brief, openArchive } from '../store.js';
import { type BundleFolder, bundleFolder, publicationOf, setOf } from './published.js';
import { type Replica, startedReplica } from './replica.js';
import { newKey, type TestKey } from './signing-keys.js';

const ana = setOf('ana');
const ben = setOf('ben');
const versions = { ana: versionOf(ana.files), ben: versionOf(ben.files) };

describe.skipIf(!hasPostgres)('rollbacks of bundles (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();
  let ours: TestKey;
  let foreign: TestKey;
  beforeAll(async () => {
    [ours, foreign] = [await newKey(), await newKey()];
  });

  const push = (folder: BundleFolder, set: ReturnType<typeof setOf>) => folder.publisher().push([publicationOf(set)]);

  /** With the archive of the fleet, or with one of its own, which is never away. */
  async function replicaOf(
    folder: BundleFolder,
    database: PostgresDatabase,
    { shelf, isShared = true }: { readonly shelf?: string; readonly isShared?: boolean } = {},
  ): Promise<Replica> {
    const archive = isShared
      ? new LateArchive({ archive: await PostgresPolicyArchive.open(database), onProblem: () => undefined })
      : await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    const pins = await PostgresBundlePins.open(database);
    const own = shelf === undefined ? {} : { shelf };
    return startedReplica(folder.transport, { keys: ours.publicPem, pins, store: { archive }, ...own });
  }

  /** Who may read, and the state: `ana, acl active`. */
  function seen({ store }: Replica): string {
    const request = (id: string) => ({ subject: { id }, action: { name: 'read' }, resource: { id: 'data' } });
    const allowed = ['ana', 'ben', 'eve'].filter(
      (id) => store.served('acl')?.compiled.decide(request(id), { now: 0 }).decision === 'allow',
    );
    const { pinned } = store.status('acl');
    return `${allowed.join()}, ${brief(store.status('acl'))}${pinned ? ', pinned' : ''}`;
  }

  /** Two replicas on the second of two bundles that were published. */
  async function fleet() {
    const url = server().newSchema();
    const folder = bundleFolder({ signing: ours.signing });
    await push(folder, ana);
    const replicas = [await replicaOf(folder, openDatabase(url)), await replicaOf(folder, openDatabase(url))] as const;
    await push(folder, ben);
    for (const { store } of replicas) await store.reload();
    expect(replicas.map(seen)).toEqual(['ben, acl active', 'ben, acl active']);
    return { url, folder, replicas };
  }

  async function rolledBack() {
    const made = await fleet();
    const [one, two] = made.replicas;
    await one.store.rollback('acl', versions.ana, 'ops');
    await two.store.followRollbacks();
    expect(made.replicas.map(seen)).toEqual(['ana, acl active, pinned', 'ana, acl active, pinned']);
    return made;
  }

  it('hold on all, over restarts, and on one that never had the bundle, whose source has lost it', async () => {
    const { url, folder, replicas } = await rolledBack();
    await replicas[1].store.stop();
    const again = await replicaOf(folder, openDatabase(url), { shelf: replicas[1].shelf });
    expect(seen(again)).toBe('ana, acl active, pinned');
    // Nothing lies there but what the index names.
    keepNamedAlone(folder);
    const fresh = await replicaOf(folder, openDatabase(url));
    expect(seen(fresh)).toBe('ana, acl active, pinned');
    expect(fresh.store.resolve('acl')).toMatchObject({ version: versions.ana, revision: 2 });
    // It has both bundles by now.
    await fresh.store.stop();
    rmSync(folder.path, { recursive: true });
    const restarted = await replicaOf(folder, openDatabase(url), { shelf: fresh.shelf });
    expect(seen(restarted)).toBe('ana, acl stale [.:1 bundle_missing], pinned');
    await restarted.store.rollback('acl', versions.ben, 'ops');
    expect(seen(restarted)).toBe('ben, acl stale [.:1 bundle_missing]');
  });

  it('end on all by a rollback to what the index names', async () => {
    const { replicas } = await rolledBack();
    const [one, two] = replicas;
    await two.store.rollback('acl', versions.ben, 'ops');
    await one.store.followRollbacks();
    expect(replicas.map(seen)).toEqual(['ben, acl active', 'ben, acl active']);
  });

  it('end with the next bundle, and hold meanwhile on a replica that is behind', async () => {
    const { folder, replicas } = await rolledBack();
    const [one, two] = replicas;
    await push(folder, setOf('eve'));
    await one.store.reload();
    await two.store.followRollbacks();
    expect(replicas.map(seen)).toEqual(['eve, acl active', 'ana, acl active, pinned']);
    await two.store.reload();
    expect(replicas.map(seen)).toEqual(['eve, acl active', 'eve, acl active']);
  });

  it('do not come back when the bundle that they were over is published again', async () => {
    const { url, folder, replicas } = await rolledBack();
    const archive = readFileSync(join(folder.path, folder.addressOf('acl')));
    await push(folder, setOf('eve'));
    for (const { store } of replicas) await store.reload();
    await folder.publisher().push([{ kind: 'archive', archive, signature: undefined }], { rollback: true });
    for (const { store } of replicas) await store.reload();
    await replicas[0].store.followRollbacks();
    const fresh = await replicaOf(folder, openDatabase(url));
    expect([...replicas, fresh].map(seen)).toEqual(Array(3).fill('ben, acl active'));
  });

  it('are those that were made last, wherever they were made', async () => {
    const { folder, replicas } = await rolledBack();
    const [one, two] = replicas;
    await push(folder, setOf('eve'));
    for (const { store } of replicas) await store.reload();
    await Promise.all([one.store.rollback('acl', versions.ana, 'ops'), two.store.rollback('acl', versions.ben, 'ops')]);
    await Promise.all(replicas.map(({ store }) => store.followRollbacks()));
    expect(seen(one)).toBe(seen(two));
    expect(seen(one)).toMatch(/^(ana|ben), acl active, pinned$/);
  });

  it('hold on a replica that is started while PostgreSQL is away, as it knew them', async () => {
    const { url, folder, replicas } = await rolledBack();
    await replicas[1].store.stop();
    const link = await Link.to(server().port);
    link.cut();
    const again = await replicaOf(folder, openDatabase(link.through(url)), {
      shelf: replicas[1].shelf,
    });
    expect(seen(again)).toBe('ana, acl active, pinned');
    await replicas[0].store.rollback('acl', versions.ben, 'ops');
    await expect(again.store.followRollbacks()).rejects.toThrow();
    expect(seen(again)).toBe('ana, acl active, pinned');
    link.open();
    await expect
      .poll(async () => again.store.followRollbacks().then(() => seen(again), String), { timeout: 10_000 })
      .toBe('ben, acl active');
  });

  it('are refused, and change nothing, while PostgreSQL is away: no other replica would follow', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const folder = bundleFolder({ signing: ours.signing });
    await push(folder, ana);
    const replica = await replicaOf(folder, openDatabase(link.through(url)), { isShared: false });
    await push(folder, ben);
    await replica.store.reload();
    link.cut();
    await expect(replica.store.rollback('acl', versions.ana, 'ops')).rejects.toMatchObject({ isUnavailable: true });
    expect(seen(replica)).toBe('ben, acl active');
  });

  describe('whose bytes in the database somebody changed', () => {
    async function freshAfter(change: (content: Buffer) => Promise<{ content?: Buffer; signature?: string | null }>) {
      const { url, folder } = await rolledBack();
      const database = openDatabase(url);
      const table = database.table('bundle_pin');
      const [row] = await database.query<{ content: Buffer }>(`SELECT content FROM ${table}`);
      for (const [column, value] of Object.entries(await change(row!.content))) {
        await database.write(`UPDATE ${table} SET ${column} = $1`, [value]);
      }
      return replicaOf(folder, database);
    }
    const pinned = packBundle(ana, { revision: 1, created: '2026-03-03T10:00:00.000Z', gitCommit: 'a'.repeat(40) });

    it.each<[string, string, () => Promise<{ content?: Buffer; signature?: string | null }>]>([
      ['unsigned', 'bundle_unsigned', async () => ({ signature: null })],
      [
        'signed by another',
        'bundle_key_unknown',
        async () => ({ signature: await signArchive(pinned, foreign.signing) }),
      ],
      ['no archive', 'bundle_archive_invalid', async () => ({ content: Buffer.from('x') })],
    ])('%s: are not served, with keys', async (_, code, change) => {
      const fresh = await freshAfter(change);
      expect(fresh.store.served('acl')).toBeUndefined();
      expect(fresh.store.status('acl')).toMatchObject({ state: 'failed', problems: [{ code }] });
    });
  });

  it('P1: of a row that is not in its form are said, and what serves goes on', async () => {
    const { url, replicas } = await rolledBack();
    const database = openDatabase(url);
    await database.write(`UPDATE ${database.table('bundle_pin')} SET bundle = '{}'`);
    await expect(replicas[1].store.followRollbacks()).rejects.toMatchObject({ code: 'bundle_index_invalid' });
    expect(seen(replicas[1])).toBe('ana, acl active, pinned');
  });

  /** Removes the archives that the index does not name. */
  function keepNamedAlone(folder: BundleFolder): void {
    const named = folder.addressOf('acl');
    for (const file of readdirSync(join(folder.path, 'acl'))) {
      if (!join('acl', file).startsWith(named)) rmSync(join(folder.path, 'acl', file));
    }
  }
});
