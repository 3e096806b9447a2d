import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { packBundle } from '../../../src/policy-store/bundle/bundle.js';
import { BundleKeys } from '../../../src/policy-store/bundle/bundle-keys.js';
import type { Publication } from '../../../src/policy-store/bundle/bundle-publisher.js';
import { signArchive } from '../../../src/policy-store/bundle/bundle-signature.js';
import type { BundleTransport, PutCondition } from '../../../src/policy-store/bundle/bundle-transport.js';
import { fetchBundle, fetchIndex, openVerified } from '../../../src/policy-store/bundle/fetch-bundle.js';
import { type BundleFolder, bundleFolder, publicationOf, setOf } from './published.js';
import { newKey, type TestKey } from './signing-keys.js';

const refusal = (code: string, message = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

let ours: TestKey;
let next: TestKey;

beforeAll(async () => {
  [ours, next] = [await newKey(), await newKey('p256')];
});

const archiveOf = (subject: string, revision: number, signature?: string): Publication => ({
  kind: 'archive',
  archive: packBundle(setOf(subject), { revision }),
  signature,
});

/** What a replica with these keys finds: the rules of each set, by revision. */
async function seen(folder: BundleFolder, trusted: BundleKeys | 'none' = ours.keys): Promise<Record<string, string>> {
  const keys = trusted === 'none' ? undefined : trusted;
  const fetched = await fetchIndex(folder.transport, keys);
  if (fetched === 'unchanged') throw new Error('nothing was known before');
  const found: Record<string, string> = {};
  for (const indexed of fetched.index.sets) {
    const { set } = await openVerified(await fetchBundle(folder.transport, indexed, keys !== undefined), indexed, keys);
    const rules = set.files.find(({ path }) => path === 'rules.csv');
    const mark = indexed.rollback ? ' rollback' : '';
    found[indexed.set] = `${indexed.revision}${mark}: ${Buffer.from(rules!.bytes).toString().trim()}`;
  }
  return found;
}

describe('publishing', () => {
  it('gives a new set the revision 1, a changed one the next, and an unchanged one what it has', async () => {
    const folder = bundleFolder({ signing: ours.signing });
    const push = (...subjects: string[]) =>
      folder.publisher().push(subjects.map((subject, at) => publicationOf(setOf(subject, `s${at}`))));
    expect((await push('ana', 'ben')).sets).toEqual([
      { set: 's0', revision: 1, change: 'new' },
      { set: 's1', revision: 1, change: 'new' },
    ]);
    expect((await push('ana', 'bob')).sets).toEqual([
      { set: 's0', revision: 1, change: 'unchanged' },
      { set: 's1', revision: 2, change: 'changed' },
    ]);
    expect(await seen(folder)).toEqual({ s0: '1: p, ana, data, read', s1: '2: p, bob, data, read' });
  });

  it('takes a set whose tests alone changed for a changed one', async () => {
    const folder = bundleFolder();
    const push = (more: Record<string, string>) => folder.publisher().push([publicationOf(setOf('ana', 'acl', more))]);
    await push({});
    expect((await push({ 'tests/one.yaml': '[]' })).sets).toEqual([{ set: 'acl', revision: 2, change: 'changed' }]);
  });

  it('publishes a set anew whose archive is not as it should be', async () => {
    const folder = bundleFolder({ signing: ours.signing });
    const push = () => folder.publisher().push([publicationOf(setOf('ana'))]);
    await push();
    rmSync(join(folder.path, folder.addressOf('acl')));
    expect((await push()).sets).toEqual([{ set: 'acl', revision: 2, change: 'changed' }]);
    writeFileSync(join(folder.path, `${folder.addressOf('acl')}.jws`), 'x');
    expect((await push()).sets).toEqual([{ set: 'acl', revision: 3, change: 'changed' }]);
    expect(await seen(folder)).toEqual({ acl: '3: p, ana, data, read' });
  });

  it('leaves what is not given in the index, or takes it out if that is asked for', async () => {
    const folder = bundleFolder();
    await folder.publisher().push(['a', 'b'].map((name) => publicationOf(setOf('ana', name))));
    await folder.publisher().push([publicationOf(setOf('ben', 'b'))]);
    expect(Object.keys(await seen(folder, 'none'))).toEqual(['a', 'b']);
    const pruned = await folder.publisher().push([publicationOf(setOf('ben', 'b'))], { prune: true });
    expect(pruned.sets).toEqual([
      { set: 'b', revision: 2, change: 'unchanged' },
      { set: 'a', revision: 1, change: 'removed' },
    ]);
    expect(Object.keys(await seen(folder, 'none'))).toEqual(['b']);
  });

  it('goes on from the last revision of a set that was removed', async () => {
    const folder = bundleFolder({ signing: ours.signing });
    const prune = () => folder.publisher().push([], { prune: true });
    await folder.publisher().push([archiveOf('ana', 7)]);
    expect((await prune()).index.removed).toEqual([{ set: 'acl', revision: 7 }]);
    expect((await folder.publisher().refresh()).index.removed).toEqual([{ set: 'acl', revision: 7 }]);
    const back = await folder.publisher().push([publicationOf(setOf('ben'))]);
    expect(back.sets).toEqual([{ set: 'acl', revision: 8, change: 'new' }]);
    expect(back.index.removed).toEqual([]);
    await prune();
    for (const revision of [7, 8]) {
      const push = folder.publisher().push([archiveOf('ana', revision)]);
      await expect(push).rejects.toThrow(refusal('bundle_revision_lower', /and 8 was published before it was removed/));
    }
    expect((await folder.publisher().push([archiveOf('ana', 9)])).sets).toMatchObject([{ change: 'new' }]);
    await prune();
    await folder.publisher().push([archiveOf('ana', 9)], { rollback: true });
    expect(await seen(folder)).toEqual({ acl: '9 rollback: p, ana, data, read' });
  });

  it('numbers indexes ever higher, also when the one before was lost or is of the future', async () => {
    const folder = bundleFolder({ now: () => 5_000_000 });
    const push = async () => (await folder.publisher().push([])).index.number;
    expect([await push(), await push()]).toEqual([5_000, 5_001]);
    rmSync(join(folder.path, 'index.json'));
    expect((await folder.publisher({ now: () => 5_009_999 }).push([])).index.number).toBe(5_009);
    expect((await folder.publisher({ now: () => 0 }).push([])).index.number).toBe(5_010);
  });

  it('says how long the index lives', async () => {
    const folder = bundleFolder({ now: () => 0, lifetimeMs: 60_000 });
    const { index } = await folder.publisher().push([]);
    expect([index.created, index.expires]).toEqual(['1970-01-01T00:00:00.000Z', '1970-01-01T00:01:00.000Z']);
  });

  it('takes archives with revisions of their own, which rise', async () => {
    const folder = bundleFolder({ signing: ours.signing });
    const push = (publication: Publication, rollback = false) => folder.publisher().push([publication], { rollback });
    expect((await push(archiveOf('ana', 7))).sets).toEqual([{ set: 'acl', revision: 7, change: 'new' }]);
    expect((await push(archiveOf('ana', 7))).sets).toEqual([{ set: 'acl', revision: 7, change: 'unchanged' }]);
    expect((await push(archiveOf('ben', 9))).sets).toEqual([{ set: 'acl', revision: 9, change: 'changed' }]);
    await expect(push(archiveOf('ana', 7))).rejects.toThrow(refusal('bundle_revision_lower', /7, and 9 is published/));
    await expect(push(archiveOf('eve', 9))).rejects.toThrow(refusal('bundle_revision_lower'));
    await expect(push(archiveOf('eve', 9), true)).rejects.toThrow(refusal('bundle_revision_lower'));
    expect((await push(archiveOf('ana', 7), true)).sets).toEqual([{ set: 'acl', revision: 7, change: 'rolled back' }]);
    expect(await seen(folder)).toEqual({ acl: '7 rollback: p, ana, data, read' });
    expect((await push(archiveOf('zoe', 10))).sets).toEqual([{ set: 'acl', revision: 10, change: 'changed' }]);
    expect(await seen(folder)).toEqual({ acl: '10: p, zoe, data, read' });
  });

  it('refuses an archive that no service would take', async () => {
    const files = [...setOf('ana').files, { path: 'tests/notes.txt', bytes: Buffer.from('x') }];
    const archive = packBundle({ name: 'acl', files }, { revision: 1 });
    const push = bundleFolder()
      .publisher()
      .push([{ kind: 'archive', archive, signature: undefined }]);
    await expect(push).rejects.toThrow(
      refusal('bundle_archive_invalid', /acl\/tests\/notes.txt:1:1: error unknown_file/),
    );
  });

  it('keeps the signature that an archive came with, if it counts', async () => {
    const { archive } = archiveOf('ana', 7) as { archive: Buffer };
    const byNext = await signArchive(archive, next.signing);
    const folder = bundleFolder({ signing: ours.signing });
    await expect(folder.publisher().push([archiveOf('ana', 7, byNext)])).rejects.toThrow(refusal('bundle_key_unknown'));
    expect(readdirSync(folder.path)).toEqual([]);
    const both = BundleKeys.of([ours.signing.verification, next.signing.verification]);
    await folder.publisher({ keys: both }).push([archiveOf('ana', 7, byNext)]);
    expect(readFileSync(join(folder.path, `${folder.addressOf('acl')}.jws`), 'utf8')).toBe(`${byNext}\n`);
    expect(await seen(folder, both)).toEqual({ acl: '7: p, ana, data, read' });
  });

  it('refuses a set that is given twice', async () => {
    const twice = [publicationOf(setOf('ana')), publicationOf(setOf('ben'))];
    await expect(bundleFolder().publisher().push(twice)).rejects.toThrow(refusal('bundle_index_invalid', /twice/));
  });

  it('refuses to go on from an index that its keys did not sign', async () => {
    const folder = bundleFolder();
    const push = (key: TestKey | undefined) => folder.publisher({ signing: key?.signing }).push([]);
    await push(ours);
    await expect(push(next)).rejects.toThrow(refusal('bundle_key_unknown'));
    await expect(push(undefined)).rejects.toThrow(refusal('bundle_unsigned', /is signed/));
    writeFileSync(join(folder.path, 'index.json'), '{"format": 1}');
    await expect(push(ours)).rejects.toThrow(refusal('bundle_unsigned'));
  });

  it('loses nothing when two publish at once', async () => {
    const folder = bundleFolder();
    await folder.publisher().push([publicationOf(setOf('ana', 'a'))]);
    let interruptions = 0;
    // Another one publishes between the look at the index and its writing.
    const interrupted = {
      place: folder.path,
      get: folder.transport.get.bind(folder.transport),
      put: async (path: string, bytes: Uint8Array, condition?: PutCondition) => {
        if (path === 'index.json' && interruptions++ < 2) {
          await folder.publisher().push([publicationOf(setOf(`other${interruptions}`, `b${interruptions}`))]);
        }
        await folder.transport.put(path, bytes, condition);
      },
    } as BundleTransport;
    await folder.publisher({ transport: interrupted }).push([publicationOf(setOf('ben', 'a'))]);
    expect(await seen(folder, 'none')).toEqual({
      a: '2: p, ben, data, read',
      b1: '1: p, other1, data, read',
      b2: '1: p, other2, data, read',
    });
  });

  it('loses nothing when two publish to a folder at the same moment', async () => {
    for (let round = 0; round < 10; round++) {
      const folder = bundleFolder();
      const push = (name: string) => folder.publisher().push([publicationOf(setOf('ana', name))]);
      // With an index there, and without one.
      if (round % 2 === 0) await push('zero');
      await Promise.all([push('one'), push('two')]);
      expect(await seen(folder, 'none')).toMatchObject({ one: '1: p, ana, data, read', two: '1: p, ana, data, read' });
      expect(readdirSync(folder.path).filter((name) => name.startsWith('.'))).toEqual([]);
    }
  });

  it('names no set before its archive and signature are there', async () => {
    const folder = bundleFolder();
    const written: string[] = [];
    const watched = {
      place: folder.path,
      get: folder.transport.get.bind(folder.transport),
      put: (path: string, bytes: Uint8Array, condition?: PutCondition) => {
        written.push(path);
        return folder.transport.put(path, bytes, condition);
      },
    } as BundleTransport;
    await folder.publisher({ transport: watched, signing: ours.signing }).push([publicationOf(setOf('ana'))]);
    const address = folder.addressOf('acl');
    expect(written).toEqual([address, `${address}.jws`, 'index.json']);
  });
});

describe('refreshing', () => {
  it('lets the index live on, with a higher number and the same sets', async () => {
    const folder = bundleFolder({ signing: ours.signing });
    const before = await folder.publisher({ now: () => 1_000_000 }).push([publicationOf(setOf('ana'))]);
    const after = await folder.publisher({ now: () => 2_000_000 }).refresh();
    expect(after.index.number).toBeGreaterThan(before.index.number);
    expect(Date.parse(after.index.expires) - Date.parse(before.index.expires)).toBe(1_000_000);
    expect(after.index.sets).toEqual(before.index.sets);
  });

  it('says that there is nothing to refresh', async () => {
    await expect(bundleFolder().publisher().refresh()).rejects.toThrow(refusal('bundle_missing', /no index/));
  });

  it('signs the archives anew for a rotation, after which the earlier key can be dropped', async () => {
    const folder = bundleFolder({ signing: ours.signing });
    await folder.publisher().push([publicationOf(setOf('ana'))]);
    const both = BundleKeys.of([ours.signing.verification, next.signing.verification]);
    const rotating = folder.publisher({ signing: next.signing, keys: both });
    await rotating.refresh();
    // The index is signed by the next key, the archive by the earlier one.
    expect(await seen(folder, both)).toEqual({ acl: '1: p, ana, data, read' });
    await expect(seen(folder, next.keys)).rejects.toThrow(refusal('bundle_key_unknown'));
    expect((await rotating.refresh({ resign: true })).sets).toEqual([{ set: 'acl', revision: 1, change: 'signed' }]);
    expect(await seen(folder, next.keys)).toEqual({ acl: '1: p, ana, data, read' });
  });

  it('does not sign an archive that is not the published one', async () => {
    const folder = bundleFolder({ signing: ours.signing });
    await folder.publisher().push([publicationOf(setOf('ana'))]);
    writeFileSync(join(folder.path, folder.addressOf('acl')), packBundle(setOf('eve'), { revision: 1 }));
    await expect(folder.publisher().refresh({ resign: true })).rejects.toThrow(refusal('bundle_digest_mismatch'));
  });
});
