import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { currentSemantics } from '../../../src/core/semantics.js';
import { digestOfArchive, packBundle } from '../../../src/policy-store/bundle/bundle.js';
import { packArchive } from '../../../src/policy-store/bundle/bundle-archive.js';
import { BundleError } from '../../../src/policy-store/bundle/bundle-error.js';
import { type BundleIndex, type IndexedBundle, writeIndex } from '../../../src/policy-store/bundle/bundle-index.js';
import { BundleKeys } from '../../../src/policy-store/bundle/bundle-keys.js';
import { keptBundles } from '../../../src/policy-store/bundle/bundle-shelf.js';
import { signArchive, signIndex } from '../../../src/policy-store/bundle/bundle-signature.js';
import { versionOf } from '../../../src/policy-store/policy-set-files.js';
import { temporaryDirectory, writeTree } from '../folders.js';
import { brief, openArchive, startedStore, until } from '../store.js';
import { type BundleFolder, bundleFolder, publicationOf, setOf } from './published.js';
import { type Replica, type ReplicaOptions, startedReplica, WatchedTransport } from './replica.js';
import { newKey, type TestKey } from './signing-keys.js';

let ours: TestKey;
let foreign: TestKey;

beforeAll(async () => {
  [ours, foreign] = [await newKey(), await newKey()];
});

const push = (folder: BundleFolder, subject: string, name = 'acl') =>
  folder.publisher().push([publicationOf(setOf(subject, name))]);

/** What waits for `passed` goes on when it is opened. */
function gate(): { passed: Promise<void>; open: () => void } {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

/** Who may read `data`, and the set's state: `ana, acl active`. */
function seen({ store }: Replica, name = 'acl'): string {
  const allowed = ['ana', 'ben', 'eve'].filter((id) => {
    const set = store.served(name);
    const request = { subject: { id }, action: { name: 'read' }, resource: { id: 'data' } };
    return set?.compiled.decide(request, { now: 0 }).decision === 'allow';
  });
  return `${allowed.join()}, ${brief(store.status(name))}`;
}

/** A signed folder with the set `acl`, revision 1, and a replica that serves it. */
async function serving(options: ReplicaOptions = {}): Promise<{ folder: BundleFolder; replica: Replica }> {
  const folder = bundleFolder({ signing: ours.signing });
  await push(folder, 'ana');
  const replica = await startedReplica(folder.transport, { keys: ours.publicPem, ...options });
  expect(seen(replica)).toBe('ana, acl active');
  return { folder, replica };
}

/** The index in the folder with some of it, and of its entry `acl`, changed, signed by us again. */
async function rewriteIndex(
  folder: BundleFolder,
  change: (entry: IndexedBundle) => object,
  more: (index: BundleIndex) => object = () => ({}),
): Promise<void> {
  const path = join(folder.path, 'index.json');
  const { payload } = JSON.parse(readFileSync(path, 'utf8'));
  const index = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const sets = index.sets.map((entry: IndexedBundle) => (entry.set === 'acl' ? { ...entry, ...change(entry) } : entry));
  const text = writeIndex({ removed: [], ...index, number: index.number + 1, ...more(index), sets });
  writeFileSync(path, await signIndex(text, ours.signing));
}

/** Puts other bytes in the place of the published archive of `acl`, signed, and named by an index that is signed. */
async function replaceArchive(folder: BundleFolder, archive: Buffer): Promise<void> {
  const address = folder.addressOf('acl');
  writeFileSync(join(folder.path, address), archive);
  writeFileSync(join(folder.path, `${address}.jws`), await signArchive(archive, ours.signing));
  const digest = await digestOfArchive(archive);
  await rewriteIndex(folder, () => ({ digest, size: archive.length }));
}

describe('bundles', () => {
  it('are served with their revision and commit, and taken anew when the index names new ones', async () => {
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    const { folder, replica } = await serving({ store: { archive } });
    expect(replica.store.resolve('acl')).toMatchObject({ revision: 1, version: versionOf(setOf('ana').files) });
    await push(folder, 'ben');
    await replica.store.reload();
    expect(seen(replica)).toBe('ben, acl active');
    expect(replica.store.resolve('acl').revision).toBe(2);
    const { items } = await archive.versions('acl', 10);
    expect(items.map(({ gitCommit }) => gitCommit)).toEqual(['a'.repeat(40), 'a'.repeat(40)]);
  });

  it('are looked for by the index alone, and fetched once', async () => {
    const { folder, replica } = await serving({ pollMs: 20 });
    const address = folder.addressOf('acl');
    const polls = () => replica.transport.asked.filter((path) => path === 'index.json').length;
    await until(polls, (count) => count > 3);
    expect(replica.transport.asked.filter((path) => path !== 'index.json')).toEqual([`${address}.jws`, address]);
    await push(folder, 'ben');
    await until(
      () => seen(replica),
      (state) => state === 'ben, acl active',
    );
  });

  it('appear and go with the index', async () => {
    const { folder, replica } = await serving();
    await push(folder, 'ben', 'other');
    await replica.store.reload();
    expect(seen(replica, 'other')).toBe('ben, other active');
    await folder.publisher().push([publicationOf(setOf('ben', 'other'))], { prune: true });
    await replica.store.reload();
    expect(replica.store.statuses().map(brief)).toEqual(['other active']);
    expect(readdirSync(join(replica.shelf, 'sets'))).toEqual(['other']);
    expect(await replica.store.latestRevision('acl')).toBe(1);
    await push(folder, 'ana');
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl active');
    expect(replica.store.status('acl').revision).toBe(2);
  });

  it('that went and came back are taken by a replica that did not see them go', async () => {
    const { folder, replica } = await serving();
    await push(folder, 'ben', 'other');
    await folder.publisher().push([publicationOf(setOf('ben', 'other'))], { prune: true });
    await push(folder, 'eve');
    await replica.store.reload();
    expect(seen(replica)).toBe('eve, acl active');
    expect(replica.store.status('acl').revision).toBe(2);
  });

  it('that are none are a good start, too', async () => {
    const folder = bundleFolder({ signing: ours.signing });
    await folder.publisher().push([]);
    const { store } = await startedReplica(folder.transport, { keys: ours.publicPem });
    expect(store.statuses()).toEqual([]);
    expect(store.problem).toBeUndefined();
    expect(store.isServing).toBe(true);
  });

  it('need no signature where no keys are configured', async () => {
    const folder = bundleFolder();
    await push(folder, 'ana');
    const replica = await startedReplica(folder.transport);
    expect(seen(replica)).toBe('ana, acl active');
    expect(replica.transport.asked.filter((path) => path.endsWith('.jws'))).toEqual([]);
  });

  it('are confirmed by every good look, from when it began', async () => {
    const before = Date.now();
    const { replica } = await serving();
    const first = replica.source.confirmedAt!;
    expect(first).toBeGreaterThanOrEqual(before - 1);
    replica.transport.fault = () => {
      throw new BundleError('bundle_unreachable', 'away');
    };
    await replica.store.reload();
    expect(replica.source.confirmedAt).toBeCloseTo(first, -2);
    const later = Date.now();
    replica.transport.fault = undefined;
    await replica.store.reload();
    expect(replica.source.confirmedAt).toBeGreaterThanOrEqual(later - 1);
  });

  it('say their latest revision when they are asked, before it serves', async () => {
    const { folder, replica } = await serving();
    await push(folder, 'ben');
    expect(await replica.store.latestRevision('acl')).toBe(2);
    expect(await replica.store.latestRevision('none')).toBeUndefined();
    // What was found out is taken, too.
    await until(
      () => seen(replica),
      (state) => state === 'ben, acl active',
    );
    await folder
      .publisher()
      .push([{ kind: 'archive', archive: packBundle(setOf('ana'), { revision: 1 }), signature: undefined }], {
        rollback: true,
      });
    expect(await replica.store.latestRevision('acl')).toBe(2);
    replica.transport.fault = () => {
      throw new BundleError('bundle_unreachable', 'away');
    };
    await expect(replica.store.latestRevision('acl')).rejects.toThrow('away');
  });
});

/** An attack on the folder, or an accident in it; `eve` is who must not get in. */
type Attack = [what: string, code: string, message: RegExp, attack: (folder: BundleFolder) => Promise<void> | void];

const onIndex: Attack[] = [
  ['is gone', 'bundle_missing', /index\.json/, ({ path }) => rmSync(join(path, 'index.json'))],
  ['is not JSON', 'bundle_index_invalid', /not JSON/, ({ path }) => writeFileSync(join(path, 'index.json'), '<html>')],
  [
    'has lost its signature',
    'bundle_unsigned',
    /the index is not signed/,
    ({ path }) => {
      const { payload } = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8'));
      writeFileSync(join(path, 'index.json'), Buffer.from(payload, 'base64url'));
    },
  ],
  [
    'was changed behind its signature',
    'bundle_signature_invalid',
    /not one of the key/,
    ({ path }) => {
      const jws = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8'));
      const payload = Buffer.from(Buffer.from(jws.payload, 'base64url').toString().replace('acl', 'evl'));
      writeFileSync(join(path, 'index.json'), JSON.stringify({ ...jws, payload: payload.toString('base64url') }));
    },
  ],
  [
    'is signed by a foreign key',
    'bundle_key_unknown',
    /names the key/,
    async ({ path, publisher }) => {
      rmSync(join(path, 'index.json'));
      await publisher({ signing: foreign.signing }).push([publicationOf(setOf('eve'))]);
    },
  ],
  [
    'is signed by a foreign key that claims our id',
    'bundle_signature_invalid',
    /not one of the key/,
    async ({ path, publisher }) => {
      rmSync(join(path, 'index.json'));
      const signing = { ...foreign.signing, kid: ours.signing.kid };
      const keys = BundleKeys.of([{ ...foreign.signing.verification, kid: ours.signing.kid }]);
      await publisher({ signing, keys }).push([publicationOf(setOf('eve'))]);
    },
  ],
  [
    'has expired',
    'bundle_index_expired',
    /the index expired at 2/,
    async ({ publisher }) => void (await publisher({ lifetimeMs: -1 }).push([publicationOf(setOf('eve'))])),
  ],
  [
    'has a lower number',
    'bundle_index_older',
    /number 1, and/,
    (folder) =>
      rewriteIndex(
        folder,
        () => ({}),
        () => ({ number: 1 }),
      ),
  ],
  [
    'is another one with the same number',
    'bundle_index_older',
    /another index with the number/,
    (folder) =>
      rewriteIndex(
        folder,
        () => ({}),
        ({ number }) => ({ number, created: '2026-01-01T00:00:00Z' }),
      ),
  ],
  [
    'names an address that leads out',
    'bundle_index_invalid',
    /address of entry 1/,
    // What `writeIndex` writes is not checked.
    (folder) => rewriteIndex(folder, () => ({ address: '../acl.tar' })),
  ],
];

const onArchive: Attack[] = [
  ['is gone', 'bundle_missing', /there is no .*\.tar$/, ({ path, addressOf }) => rmSync(join(path, addressOf('acl')))],
  [
    'has lost its signature',
    'bundle_unsigned',
    /the bundle of acl is not signed/,
    ({ path, addressOf }) => rmSync(join(path, `${addressOf('acl')}.jws`)),
  ],
  [
    'is cut off',
    'bundle_digest_mismatch',
    /sha256:.* was found/,
    ({ path, addressOf }) => {
      const file = join(path, addressOf('acl'));
      writeFileSync(file, readFileSync(file).subarray(0, 1_000));
    },
  ],
  [
    'is another one',
    'bundle_digest_mismatch',
    /sha256:.* was found/,
    ({ path, addressOf }) =>
      writeFileSync(join(path, addressOf('acl')), packBundle(setOf('eve'), { revision: 2 }).subarray()),
  ],
  [
    'has a byte too many',
    'bundle_too_large',
    /more than \d+ bytes/,
    ({ path, addressOf }) => writeFileSync(join(path, addressOf('acl')), 'x', { flag: 'a' }),
  ],
  [
    'is signed by a foreign key',
    'bundle_key_unknown',
    /the signature of acl names the key/,
    async ({ path, addressOf }) => {
      const file = join(path, addressOf('acl'));
      writeFileSync(`${file}.jws`, await signArchive(readFileSync(file), foreign.signing));
    },
  ],
  [
    'has the signature of another one',
    'bundle_signature_invalid',
    /not one of the key/,
    async ({ path, addressOf }) => {
      const other = packBundle(setOf('eve'), { revision: 2 });
      writeFileSync(join(path, `${addressOf('acl')}.jws`), await signArchive(other, ours.signing));
    },
  ],
  [
    'has the signature of an index',
    'bundle_signature_invalid',
    /typ is not verdict-bundle/,
    async ({ path, addressOf }) => {
      const jws = JSON.parse(await signIndex(readFileSync(join(path, addressOf('acl')), 'latin1'), ours.signing));
      writeFileSync(join(path, `${addressOf('acl')}.jws`), `${jws.protected}..${jws.signature}`);
    },
  ],
  [
    'holds a path that leads out',
    'bundle_archive_invalid',
    /"\.\.\/\.\.\/x\.csv" is absolute/,
    (folder) => {
      const archive = packBundle(setOf('eve'), { revision: 2 });
      // `rules.csv` and the bytes behind it, with the checksum of the header made right again.
      const at = archive.indexOf('rules.csv');
      archive.write('../../x.csv', at);
      archive.fill(' ', at + 148, at + 156);
      const sum = archive.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
      archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
      return replaceArchive(folder, archive);
    },
  ],
  [
    'is not a bundle',
    'bundle_manifest_invalid',
    /there is no bundle\.json/,
    (folder) => replaceArchive(folder, packArchive(setOf('eve').files)),
  ],
  [
    'is the bundle of another revision',
    'bundle_manifest_invalid',
    /the index names acl, revision 2; the bundle is the set acl, revision 3/,
    (folder) => replaceArchive(folder, packBundle(setOf('eve'), { revision: 3 })),
  ],
  [
    'is the bundle of another set',
    'bundle_manifest_invalid',
    /the bundle is the set evl/,
    (folder) => replaceArchive(folder, packBundle(setOf('eve', 'evl'), { revision: 2 })),
  ],
  [
    'is larger than a set may be',
    'bundle_too_large',
    /has 70000000000 bytes/,
    (folder) => rewriteIndex(folder, () => ({ size: 70_000_000_000 })),
  ],
  [
    'has a lower revision',
    'bundle_revision_lower',
    /names the revision 1 of acl, and 2 serves|another bundle of acl with the revision 1/,
    async (folder) => {
      const archive = packBundle(setOf('eve'), { revision: 1 });
      await replaceArchive(folder, archive);
      await rewriteIndex(folder, () => ({ revision: 1, version: versionOf(setOf('eve').files) }));
    },
  ],
];

describe('an index leaves what serves as it is, and says why, where it', () => {
  it.each(onIndex)('%s', async (_, code, message, attack) => {
    const { folder, replica } = await serving();
    const kept = temporaryDirectory();
    copyFileSync(join(folder.path, 'index.json'), join(kept, 'index.json'));
    await attack(folder);
    await replica.store.reload();
    const problem = { code, message: expect.stringMatching(message) };
    expect(replica.store.problem).toMatchObject(problem);
    expect(seen(replica)).toBe(`ana, acl stale [.:1 ${code}]`);
    expect(replica.log.filter(({ level }) => level === 'error')).toHaveLength(1);
    // Said once, however often it looks.
    await replica.store.reload();
    expect(replica.log.filter(({ level }) => level === 'error')).toHaveLength(1);
    // It heals when the good one is back.
    copyFileSync(join(kept, 'index.json'), join(folder.path, 'index.json'));
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl active');
    expect(replica.complaints).toEqual([]);
  });
});

describe('an archive leaves what serves as it is, and says why, where it', () => {
  it.each(onArchive)('%s', async (_, code, message, attack) => {
    const { folder, replica } = await serving();
    await push(folder, 'ben', 'other');
    await push(folder, 'eve');
    await attack(folder);
    await replica.store.reload();
    const [problem] = replica.store.status('acl').problems;
    expect(problem).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(seen(replica)).toBe(`ana, acl stale [.:1 ${code}]`);
    // Other sets of the index are served.
    expect(seen(replica, 'other')).toBe('ben, other active');
    expect(replica.store.problem).toBeUndefined();
    // The set's age grows, since what its source has is not served.
    expect(replica.store.ageOf('acl')).toBeGreaterThan(0);
    await push(folder, 'ben');
    await replica.store.reload();
    expect(seen(replica)).toBe('ben, acl active');
    expect(replica.complaints).toEqual([]);
  });

  it('holds a policy that does not load, with its place', async () => {
    const { folder, replica } = await serving();
    await folder.publisher().push([publicationOf(setOf('eve', 'acl', { 'rules.csv': 'p, eve\n' }))]);
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl stale [rules.csv:1 wrong_field_count]');
  });

  it('holds a file that is not text, with its place', async () => {
    const { folder, replica } = await serving();
    const files = setOf('eve').files.map((file) =>
      file.path === 'rules.csv' ? { ...file, bytes: Buffer.from([0xff]) } : file,
    );
    await push(folder, 'ben');
    await replaceArchive(folder, packBundle({ name: 'acl', files }, { revision: 2 }));
    await rewriteIndex(folder, () => ({ version: versionOf(files) }));
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl stale [rules.csv:1 not_utf8]');
  });
});

describe('the limits of what is fetched', () => {
  it('let a signature of 4,096 bytes through and no longer one', async () => {
    const { folder, replica } = await serving();
    const padded = async (subject: string, size: number) => {
      await push(folder, subject);
      const path = join(folder.path, `${folder.addressOf('acl')}.jws`);
      writeFileSync(path, readFileSync(path, 'utf8').padEnd(size));
      await replica.store.reload();
      return seen(replica);
    };
    expect(await padded('ben', 4_096)).toBe('ben, acl active');
    expect(await padded('eve', 4_097)).toBe('ben, acl stale [.:1 bundle_too_large]');
  });

  it('let an index of 8 MiB through and no longer one', async () => {
    const folder = bundleFolder();
    await push(folder, 'ana');
    const replica = await startedReplica(folder.transport);
    const path = join(folder.path, 'index.json');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.padEnd(8 * 1_048_576 + 1));
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl stale [.:1 bundle_too_large]');
    // Of the same number and with other blanks, it is another one.
    const { number } = JSON.parse(text);
    writeFileSync(path, text.replace(`${number}`, `${number + 1}`).padEnd(8 * 1_048_576));
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl active');
  });
});

describe('a lower revision', () => {
  const archiveOf = (subject: string, revision: number) =>
    ({ kind: 'archive', archive: packBundle(setOf(subject), { revision }), signature: undefined }) as const;

  it('is taken where it is signed as a rollback, and what follows is measured by it', async () => {
    const { folder, replica } = await serving();
    await push(folder, 'ben');
    await push(folder, 'eve');
    await replica.store.reload();
    await folder.publisher().push([archiveOf('ben', 2)], { rollback: true });
    await replica.store.reload();
    expect(seen(replica)).toBe('ben, acl active');
    expect(replica.store.resolve('acl').revision).toBe(2);
    await folder.publisher().push([archiveOf('ana', 3)]);
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl active');
  });

  it('than one that never loaded is taken: only what served counts', async () => {
    const { folder, replica } = await serving();
    await folder.publisher().push([publicationOf(setOf('eve', 'acl', { 'rules.csv': 'p, eve\n' }))]);
    await replica.store.reload();
    await rewriteIndex(folder, () => ({}));
    const good = packBundle(setOf('ana'), {
      revision: 1,
      created: '2026-03-03T10:00:00.000Z',
      gitCommit: 'a'.repeat(40),
    });
    const address = `acl/1-${(await digestOfArchive(good)).slice(7, 23)}.tar`;
    const entry = { revision: 1, version: versionOf(setOf('ana').files), digest: await digestOfArchive(good) };
    await rewriteIndex(folder, () => ({ ...entry, size: good.length, address }));
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl active');
  });
});

describe('after a restart', () => {
  /** Ends a replica, and starts the next one on what it kept. */
  async function restarted(replica: Replica, folder: BundleFolder, options: ReplicaOptions = {}): Promise<Replica> {
    await replica.store.stop();
    return startedReplica(folder.transport, { keys: ours.publicPem, shelf: replica.shelf, ...options });
  }

  const away = (folder: BundleFolder) => rmSync(folder.path, { recursive: true });

  it('bundles serve from the disk while their source is away, and are known to be of an earlier time', async () => {
    const { folder, replica } = await serving();
    away(folder);
    const next = await restarted(replica, folder);
    expect(seen(next)).toBe('ana, acl stale [.:1 bundle_missing]');
    expect(next.store.resolve('acl').revision).toBe(1);
    expect(next.source.confirmedAt).toBeUndefined();
    expect(next.store.ageOf('acl')).toBe(Number.POSITIVE_INFINITY);
  });

  it('bundles serve from the disk when their source takes too long, and the newest is fetched afterwards', async () => {
    const { folder, replica } = await serving();
    await push(folder, 'ben');
    await replica.store.stop();
    let isSlow = true;
    const slow = new WatchedTransport(folder.transport);
    slow.fault = (path, { signal }) => {
      if (!isSlow || !path.endsWith('.tar')) return undefined;
      return new Promise((_, reject) => {
        const giveUp = () => reject(new BundleError('bundle_unreachable', 'it took too long'));
        if (signal!.aborted) giveUp();
        else signal!.addEventListener('abort', giveUp);
      });
    };
    const options = { keys: ours.publicPem, shelf: replica.shelf, startPatienceMs: 50 };
    const next = await startedReplica(slow, options);
    expect(seen(next)).toBe('ana, acl stale [.:1 bundle_unreachable]');
    expect(next.store.ageOf('acl')).toBe(Number.POSITIVE_INFINITY);
    isSlow = false;
    await next.store.reload();
    expect(seen(next)).toBe('ben, acl active');
  });

  it('what did not load is passed over for what served', async () => {
    const { folder, replica } = await serving();
    await folder.publisher().push([publicationOf(setOf('eve', 'acl', { 'rules.csv': 'p, eve\n' }))]);
    await replica.store.reload();
    const there = await restarted(replica, folder);
    expect(seen(there)).toBe('ana, acl stale [rules.csv:1 wrong_field_count]');
    away(folder);
    const next = await restarted(there, folder);
    expect(seen(next)).toBe('ana, acl stale [.:1 bundle_missing]');
  });

  it('nothing is fetched again', async () => {
    const { folder, replica } = await serving();
    const next = await restarted(replica, folder);
    expect(seen(next)).toBe('ana, acl active');
    expect(next.transport.asked).toEqual(['index.json']);
  });

  it('an index that is older than one that was seen is still refused', async () => {
    const { folder, replica } = await serving();
    const old = readFileSync(join(folder.path, 'index.json'));
    await push(folder, 'ben');
    await replica.store.reload();
    writeFileSync(join(folder.path, 'index.json'), old);
    const next = await restarted(replica, folder);
    expect(seen(next)).toBe('ben, acl stale [.:1 bundle_index_older]');
  });

  it('a lower revision than the one that served is still refused', async () => {
    const { folder, replica } = await serving();
    await push(folder, 'ben');
    await replica.store.reload();
    const archive = packBundle(setOf('eve'), { revision: 1 });
    await replaceArchive(folder, archive);
    await rewriteIndex(folder, () => ({ revision: 1, version: versionOf(setOf('eve').files) }));
    const next = await restarted(replica, folder);
    expect(seen(next)).toBe('ben, acl stale [.:1 bundle_revision_lower]');
  });

  it('numbers of another place do not count', async () => {
    const { replica } = await serving();
    const other = bundleFolder({ signing: ours.signing, now: () => Date.now() - 1_000_000, lifetimeMs: 3_600_000 });
    await push(other, 'ben');
    expect(seen(await restarted(replica, other))).toBe('ben, acl active');
  });

  it('a bundle on the disk that was changed, or whose signature was, is not served', async () => {
    const { folder, replica } = await serving();
    away(folder);
    const files = readdirSync(join(replica.shelf, 'sets/acl'));
    for (const name of files) {
      const shelf = join(temporaryDirectory(), 'bundles');
      mkdirSync(join(shelf, 'sets/acl'), { recursive: true });
      copyFileSync(join(replica.shelf, 'state.json'), join(shelf, 'state.json'));
      for (const file of files) copyFileSync(join(replica.shelf, 'sets/acl', file), join(shelf, 'sets/acl', file));
      const bytes = readFileSync(join(shelf, 'sets/acl', name));
      bytes[100]! ^= 1;
      writeFileSync(join(shelf, 'sets/acl', name), bytes);
      const next = await startedReplica(folder.transport, { keys: ours.publicPem, shelf });
      expect(next.store.statuses()).toEqual([]);
      expect(next.store.isServing).toBe(false);
    }
  });

  it('a bundle by a key that does not count any more is not served', async () => {
    const { folder, replica } = await serving();
    away(folder);
    const next = await restarted(replica, folder, { keys: foreign.publicPem });
    expect(next.store.statuses()).toEqual([]);
  });

  it('a bundle that is damaged on the disk is fetched again', async () => {
    const { folder, replica } = await serving();
    for (const file of readdirSync(join(replica.shelf, 'sets/acl')))
      writeFileSync(join(replica.shelf, 'sets/acl', file), 'x');
    const next = await restarted(replica, folder);
    expect(seen(next)).toBe('ana, acl active');
    expect(next.transport.asked).toHaveLength(3);
  });

  it('what was taken is its owner’s alone', async () => {
    const { replica } = await serving();
    expect(statSync(replica.shelf).mode & 0o777).toBe(0o700);
    for (const file of readdirSync(replica.shelf, { recursive: true, encoding: 'utf8' })) {
      const stats = statSync(join(replica.shelf, file));
      expect((stats.mode & 0o777).toString(8), file).toBe(stats.isDirectory() ? '700' : '600');
    }
  });

  it.each(['', '{', '{"format": 2}', '{"format": 1, "place": 7}'])(
    'a state that is %j is said, and begins anew',
    async (text) => {
      const { folder, replica } = await serving();
      writeFileSync(join(replica.shelf, 'state.json'), text);
      const next = await restarted(replica, folder);
      expect(seen(next)).toBe('ana, acl active');
      expect(next.complaints).toEqual([expect.stringMatching(/is not known any more/)]);
    },
  );

  it('a disk that cannot be written is said, and bundles are served', async () => {
    const shelf = join(temporaryDirectory(), 'file');
    writeFileSync(shelf, '');
    const { replica } = await serving({ shelf: join(shelf, 'bundles') });
    expect(replica.complaints.join('\n')).toMatch(/could not be kept.*\n.*could not be noted/s);
  });
});

describe('the archive of versions (nothing unsigned is served)', () => {
  /** An archive in which another source served `eve`. */
  async function poisoned() {
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    const root = temporaryDirectory();
    const files = Object.fromEntries(setOf('eve').files.map(({ path, bytes }) => [`acl/${path}`, bytes]));
    await writeTree(root, files);
    const { store } = await startedStore(root, { archive });
    expect(store.status('acl').state).toBe('active');
    await store.stop();
    return archive;
  }

  it('serves nothing while the source is away and keys are configured', async () => {
    const archive = await poisoned();
    const { transport } = bundleFolder();
    const { store } = await startedReplica(transport, { keys: ours.publicPem, store: { archive } });
    expect(store.statuses().map(brief)).toEqual(['acl failed [.:1 bundle_missing]']);
    expect(() => store.resolve('acl')).toThrow(/could not be loaded/);
    expect(store.isServing).toBe(false);
  });

  it('serves nothing where the newest is refused and keys are configured', async () => {
    const archive = await poisoned();
    const folder = bundleFolder({ signing: ours.signing });
    await push(folder, 'ana');
    rmSync(join(folder.path, `${folder.addressOf('acl')}.jws`));
    const { store } = await startedReplica(folder.transport, { keys: ours.publicPem, store: { archive } });
    expect(store.statuses().map(brief)).toEqual(['acl failed [.:1 bundle_unsigned]']);
  });

  it('is not what a set is rolled back to', async () => {
    const archive = await poisoned();
    const { replica } = await serving({ store: { archive } });
    const version = versionOf(setOf('eve').files);
    await expect(replica.store.rollback('acl', version, 'ops')).rejects.toMatchObject({
      code: 'policy_version_invalid',
    });
    expect(seen(replica)).toBe('ana, acl active');
  });

  it('serves what served last where no keys are configured', async () => {
    const archive = await poisoned();
    const { transport } = bundleFolder();
    const { store } = await startedReplica(transport, { store: { archive } });
    expect(store.statuses().map(brief)).toEqual(['acl stale [.:1 bundle_missing]']);
  });
});

/** Has the state of a replica that ended say that it served a version under another number. */
function servedUnder(shelf: string, version: string, semantics: number): void {
  const path = join(shelf, 'state.json');
  const state = JSON.parse(readFileSync(path, 'utf8'));
  for (const shelved of state.sets.acl) {
    if (shelved.bundle.version === version) Object.assign(shelved, { served: true, semantics });
  }
  writeFileSync(path, JSON.stringify(state));
}

describe('a set that no longer loads under the defaults of today', () => {
  // An alias, which 0.1 took.
  const old = setOf('ana', 'acl', { 'entities.yaml': '- { type: user, id: ann, attributes: { a: &x 1, b: *x } }\n' });

  it.each(['with', 'without'])('is served under those that it served under, %s its source', async (how) => {
    const { folder, replica } = await serving();
    await replica.store.stop();
    // As a service of that time left it: published, taken, and served.
    await folder.publisher().push([publicationOf(old)]);
    const taken = await startedReplica(folder.transport, { keys: ours.publicPem, shelf: replica.shelf });
    expect(seen(taken)).toMatch(/^ana, acl stale \[entities.yaml/);
    await taken.store.stop();
    servedUnder(replica.shelf, versionOf(old.files), 1);
    if (how === 'without') rmSync(folder.path, { recursive: true });
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    const next = await startedReplica(folder.transport, {
      keys: ours.publicPem,
      shelf: replica.shelf,
      store: { archive },
    });
    expect(next.store.resolve('acl')).toMatchObject({ version: versionOf(old.files), revision: 2 });
    expect(next.store.resolve('acl').compiled.semantics).toBe(1);
    expect(next.store.status('acl').state).toBe('stale');
    await push(folder, 'ben').catch(() => undefined);
    await next.store.reload();
    expect(seen(next)).toMatch(how === 'with' ? /^ben, acl active/ : /^ana, acl stale/);
  });
});

describe('a rollback of a replica', () => {
  async function rolledBack() {
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    const { folder, replica } = await serving({ store: { archive } });
    await push(folder, 'ben');
    await replica.store.reload();
    const version = versionOf(setOf('ana').files);
    expect(await replica.store.rollback('acl', version, 'ops')).toMatchObject({ version, pinned: true, revision: 2 });
    expect(seen(replica)).toBe('ana, acl active');
    return { archive, folder, replica };
  }

  it('holds until the index names another bundle', async () => {
    const { folder, replica } = await rolledBack();
    await folder.publisher().refresh();
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl active');
    await push(folder, 'eve');
    await replica.store.reload();
    expect(seen(replica)).toBe('eve, acl active');
    expect(replica.store.status('acl').pinned).toBe(false);
  });

  it('survives a restart, with the source and without it', async () => {
    const { archive, folder, replica } = await rolledBack();
    await replica.store.stop();
    const options = { keys: ours.publicPem, shelf: replica.shelf, store: { archive } };
    const next = await startedReplica(folder.transport, options);
    expect(seen(next)).toBe('ana, acl active');
    expect(next.store.status('acl').pinned).toBe(true);
    await next.store.stop();
    rmSync(folder.path, { recursive: true });
    expect(seen(await startedReplica(folder.transport, options))).toBe('ana, acl stale [.:1 bundle_missing]');
  });

  it.each(['with', 'without'])(
    'holds while the newest does not load, and over a restart %s the source',
    async (how) => {
      const { archive, folder, replica } = await rolledBack();
      await folder.publisher().push([publicationOf(setOf('eve', 'acl', { 'rules.csv': 'q, broken\n' }))]);
      await replica.store.reload();
      expect(seen(replica)).toMatch(/^ana, acl stale/);
      await replica.store.stop();
      if (how === 'without') rmSync(folder.path, { recursive: true });
      const options = { keys: ours.publicPem, shelf: replica.shelf, store: { archive } };
      const next = await startedReplica(folder.transport, options);
      expect(seen(next)).toMatch(/^ana, acl stale/);
      expect(next.store.status('acl')).toMatchObject({ pinned: true, revision: 2 });
      if (how === 'without') return;
      await push(folder, 'eve');
      await next.store.reload();
      expect(seen(next)).toBe('eve, acl active');
      expect(next.store.status('acl').pinned).toBe(false);
    },
  );

  it('does not wait for a server that does not answer', async () => {
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    const { folder, replica } = await serving({ store: { archive } });
    await push(folder, 'eve');
    await replica.store.reload();
    replica.transport.fault = (_, { signal }) =>
      new Promise((_resolve, reject) => signal!.addEventListener('abort', () => reject(new Error('aborted'))));
    const look = replica.store.reload();
    await until(
      () => replica.transport.asked.at(-1),
      (path) => path === 'index.json',
    );
    await replica.store.rollback('acl', versionOf(setOf('ana').files), 'ops');
    expect(seen(replica)).toBe('ana, acl active');
    await replica.store.stop();
    await look;
  });

  it('holds over the bundle that came while its keys were fetched', async () => {
    const { folder, replica } = await rolledBack();
    await push(folder, 'eve');
    const fetched = gate();
    replica.keys.wait = fetched.passed;
    const rollingBack = replica.store.rollback('acl', versionOf(setOf('ben').files), 'ops');
    await until(
      () => replica.keys.wait,
      (wait) => wait === undefined,
    );
    await replica.store.reload();
    expect(seen(replica)).toBe('eve, acl active');
    fetched.open();
    expect(await rollingBack).toMatchObject({ pinned: true, revision: 3 });
    await replica.store.reload();
    expect(seen(replica)).toBe('ben, acl active');
  });

  it('holds over the bundle that is being loaded meanwhile', async () => {
    const { archive, folder, replica } = await rolledBack();
    const version = versionOf(setOf('ben').files);
    const [loading, loaded] = [gate(), gate()];
    const keep = archive.keep.bind(archive);
    archive.keep = async (...kept) => {
      loading.open();
      await loaded.passed;
      return keep(...kept);
    };
    await push(folder, 'eve');
    const look = replica.store.reload();
    await loading.passed;
    replica.keys.wait = Promise.resolve();
    const rollingBack = replica.store.rollback('acl', version, 'ops');
    await until(
      () => replica.keys.wait,
      (wait) => wait === undefined,
    );
    loaded.open();
    await Promise.all([look, rollingBack]);
    expect(seen(replica)).toBe('ben, acl active');
    await replica.store.stop();
    const next = await startedReplica(folder.transport, { keys: ours.publicPem, shelf: replica.shelf });
    expect(seen(next)).toBe('ben, acl active');
    expect(next.store.status('acl')).toMatchObject({ pinned: true, revision: 3 });
  });

  it('that cannot be archived is refused, and not made up for later', async () => {
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    const { folder, replica } = await serving({ store: { archive } });
    await push(folder, 'ben');
    await replica.store.reload();
    archive.setState = async () => {
      throw new Error('disk full');
    };
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const rollingBack = replica.store.rollback('acl', versionOf(setOf('ana').files), 'ops');
      await expect(rollingBack).rejects.toMatchObject({ code: 'database_unavailable' });
      // The store does not try it again.
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
    expect(seen(replica)).toBe('ben, acl active');
    expect(replica.store.status('acl').pinned).toBe(false);
  });

  it('reads the earlier bundle with the defaults that it served under, over a restart, too', async () => {
    const { archive, folder, replica } = await rolledBack();
    await replica.store.stop();
    servedUnder(replica.shelf, versionOf(setOf('ana').files), 1);
    const options = { keys: ours.publicPem, shelf: replica.shelf, store: { archive } };
    const next = await startedReplica(folder.transport, options);
    expect(next.store.resolve('acl').compiled.semantics).toBe(1);
    expect(seen(next)).toBe('ana, acl active');
    // What it was rolled back from is read as today, as what is published is.
    await next.store.rollback('acl', versionOf(setOf('ben').files), 'ops');
    expect(next.store.resolve('acl').compiled.semantics).toBe(currentSemantics);
    await next.store.rollback('acl', versionOf(setOf('ana').files), 'ops');
    expect(next.store.resolve('acl').compiled.semantics).toBe(1);
  });

  it('ends with a rollback to what the index names', async () => {
    const { replica } = await rolledBack();
    const version = versionOf(setOf('ben').files);
    expect(await replica.store.rollback('acl', version, 'ops')).toMatchObject({ version, pinned: false });
  });

  it(`goes back ${keptBundles} bundles at most`, async () => {
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    const { folder, replica } = await serving({ store: { archive } });
    const named = (at: number) => setOf('ana', 'acl', { 'more.csv': `p, user${at}, data, read\n` });
    for (let at = 1; at <= keptBundles; at++) {
      await folder.publisher().push([publicationOf(named(at))]);
      await replica.store.reload();
    }
    expect(readdirSync(join(replica.shelf, 'sets/acl'))).toHaveLength(2 * keptBundles);
    const oldest = versionOf(named(1).files);
    expect(await replica.store.rollback('acl', oldest, 'ops')).toMatchObject({ version: oldest });
    const gone = replica.store.rollback('acl', versionOf(setOf('ana').files), 'ops');
    await expect(gone).rejects.toMatchObject({ code: 'policy_version_invalid' });
  });
});

describe('keys', () => {
  it('may change while the service runs', async () => {
    const next = await newKey('p256');
    const { folder, replica } = await serving();
    writeFileSync(replica.keyFile, `${ours.publicPem}${next.publicPem}`);
    const keys = BundleKeys.of([ours.signing.verification, next.signing.verification]);
    await folder.publisher({ signing: next.signing, keys }).refresh({ resign: true });
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl active');
    writeFileSync(replica.keyFile, next.publicPem);
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl active');
    // A bundle by the key that was taken away is refused, also where it is there already.
    await folder.publisher({ signing: ours.signing, keys }).refresh({ resign: true });
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl stale [.:1 bundle_key_unknown]');
  });

  it('that cannot be read are a problem, and what serves stays', async () => {
    const { replica } = await serving();
    rmSync(replica.keyFile);
    await replica.store.reload();
    expect(seen(replica)).toBe('ana, acl stale [.:1 bundle_keys_invalid]');
  });
});

describe('looks at the index', () => {
  it('come within the time that was set, spread, and later and later while the source is away', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const spy = vi.spyOn(globalThis, 'setTimeout');
      const waited = () => spy.mock.calls.map(([, ms]) => ms!).filter((ms) => ms >= 1_000);
      const folder = bundleFolder();
      await folder.publisher().push([]);
      let random = 0;
      const replica = await startedReplica(folder.transport, { pollMs: 10_000, random: () => random });
      random = 1;
      await replica.store.reload();
      expect(waited()).toEqual([10_000, 8_000]);
      spy.mockClear();
      random = 0;
      replica.transport.fault = () => {
        throw new BundleError('bundle_unreachable', 'away');
      };
      for (let look = 0; look < 5; look++) await replica.store.reload();
      expect(waited()).toEqual([10_000, 20_000, 40_000, 60_000, 60_000]);
      spy.mockClear();
      replica.transport.fault = () => {
        throw new BundleError('bundle_unreachable', 'away', { retryAfterMs: 120_000 });
      };
      await replica.store.reload();
      replica.transport.fault = undefined;
      await replica.store.reload();
      expect(waited()).toEqual([120_000, 10_000]);
    } finally {
      vi.restoreAllMocks();
      vi.useRealTimers();
    }
  });

  it('fetch a bundle that is refused less and less often', async () => {
    const { folder, replica } = await serving({ pollMs: 10 });
    await push(folder, 'ben');
    rmSync(join(folder.path, folder.addressOf('acl')));
    const fetched = () => replica.transport.asked.filter((path) => /\/2-.*tar$/.test(path)).length;
    const polled = () => replica.transport.asked.filter((path) => path === 'index.json').length;
    await until(fetched, (count) => count >= 3);
    const before = polled();
    await until(polled, (count) => count >= before + 20);
    // After the third failure it waits 40 ms, then 80 ms, 160 ms and so on: fewer than one look in two.
    expect(fetched()).toBeLessThan(3 + 10);
  });

  it('end with the service, also in the middle of a fetch', async () => {
    const { folder, replica } = await serving();
    await push(folder, 'ben');
    const fetching = new Promise<void>((resolve) => {
      replica.transport.fault = (path, { signal }) => {
        if (!path.endsWith('.tar')) return undefined;
        resolve();
        return new Promise((_, reject) => signal!.addEventListener('abort', () => reject(new Error('aborted'))));
      };
    });
    const look = replica.store.reload();
    await fetching;
    await replica.store.stop();
    await look;
    const asked = replica.transport.asked.length;
    await replica.store.reload();
    expect(replica.transport.asked).toHaveLength(asked);
    expect(replica.complaints).toEqual([]);
    expect(replica.log.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
