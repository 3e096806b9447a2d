import { describe, expect, it } from 'vitest';
import { currentSemantics } from '../../../src/core/semantics.js';
import type { PolicyArchive } from '../../../src/policy-store/archive/policy-archive.js';
import { type PolicySetFiles, versionOf } from '../../../src/policy-store/policy-set-files.js';
import { idModel } from '../../models.js';

/** A place where versions are kept, empty at first. */
export interface ArchiveHome {
  /** Opens an archive there, beside others that may be open. Closed when the test ends. */
  open(): Promise<PolicyArchive>;
}

/** A set of a model, rules and a test. */
export function setOf(rules: string, name = 'acl'): PolicySetFiles {
  const file = (path: string, text: string) => ({ path, bytes: Buffer.from(text) });
  return { name, files: [file('model.conf', idModel), file('rules.csv', rules), file('tests/a.yaml', '[]')] };
}

/** An hour in milliseconds. */
export const hour = 3_600_000;

/** Puts versions into service an hour after one another, the first at hour 1; returns their digests. */
export async function keepVersions(archive: PolicyArchive, count: number, name = 'acl'): Promise<string[]> {
  const digests: string[] = [];
  for (let each = 1; each <= count; each++) {
    const files = setOf(`p, alice, data${each}, read\n`, name);
    await archive.keep(files, each * hour);
    await archive.setState({ name, version: versionOf(files.files) }, each * hour);
    digests.push(versionOf(files.files));
  }
  return digests;
}

/** What every archive must do, wherever its versions are kept. */
export function describePolicyArchive(name: string, newHome: () => ArchiveHome): void {
  describe(`the archive of policy versions in ${name}`, () => {
    describe('what it keeps', () => {
      it('gives back the files of a version, byte by byte, without its tests', async () => {
        const home = newHome();
        const kept = setOf('p, älice, data1, read\r\n');
        const version = versionOf(kept.files);
        const first = await home.open();
        await first.keep(kept, 1_000, 'c0ffee');
        const again = await home.open();
        const files = await again.files('acl', version);
        expect(files?.files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()])).toEqual([
          ['model.conf', idModel],
          ['rules.csv', 'p, älice, data1, read\r\n'],
        ]);
        expect(await again.version('acl', version)).toMatchObject({
          version,
          gitCommit: 'c0ffee',
          firstServed: '1970-01-01T00:00:01.000Z',
          files: [
            { path: 'model.conf', size: idModel.length },
            { path: 'rules.csv', size: 24 },
          ],
        });
        expect(await again.files('acl', 'sha256:00')).toBeUndefined();
        expect(await again.files('other', version)).toBeUndefined();
      });

      it('keeps a version once, with the time of its last service and the defaults of today', async () => {
        const archive = await newHome().open();
        const kept = setOf('p, alice, data1, read');
        await archive.keep(kept, 1_000, 'c0ffee');
        await archive.keep(kept, 2_000);
        const { items } = await archive.versions('acl', 10);
        expect(items).toMatchObject([
          {
            version: versionOf(kept.files),
            semantics: currentSemantics,
            gitCommit: 'c0ffee',
            firstServed: '1970-01-01T00:00:01.000Z',
            lastServed: '1970-01-01T00:00:02.000Z',
          },
        ]);
        await archive.setState({ name: 'acl', version: versionOf(kept.files) }, 3_000);
        expect(await archive.version('acl', versionOf(kept.files))).toMatchObject({
          lastServed: '1970-01-01T00:00:03.000Z',
        });
      });

      it('gives back one file of a version; tests and unknown files are not there', async () => {
        const archive = await newHome().open();
        const kept = setOf('p, alice, data1, read');
        await archive.keep(kept, 1);
        const version = versionOf(kept.files);
        const textOf = async (...at: [string, string, string]) => {
          const bytes = await archive.file(...at);
          return bytes === undefined ? undefined : Buffer.from(bytes).toString();
        };
        expect(await textOf('acl', version, 'rules.csv')).toBe('p, alice, data1, read');
        expect(await textOf('acl', version, 'tests/a.yaml')).toBeUndefined();
        expect(await textOf('acl', version, 'other.csv')).toBeUndefined();
        expect(await textOf('acl', 'sha256:00', 'rules.csv')).toBeUndefined();
        expect(await textOf('other', version, 'rules.csv')).toBeUndefined();
      });

      it('lists versions page by page, newest first', async () => {
        const archive = await newHome().open();
        const versions: string[] = [];
        for (let i = 0; i < 5; i++) {
          const kept = setOf(`# ${i}`);
          await archive.keep(kept, Math.floor(i / 2));
          versions.unshift(versionOf(kept.files));
        }
        const seen: string[] = [];
        let after: string | undefined;
        do {
          const page = await archive.versions('acl', 2, after);
          expect(page.items.length).toBeLessThanOrEqual(2);
          seen.push(...page.items.map(({ version }) => version));
          after = page.nextCursor;
        } while (after !== undefined);
        expect(seen).toHaveLength(5);
        expect(new Set(seen)).toEqual(new Set(versions));
        expect(seen[0]).toBe(versions[0]);
      });

      it('ends a page of versions where they name more files than one should', async () => {
        const archive = await newHome().open();
        const files = (version: number, count: number) =>
          Array.from({ length: count }, (_, i) => ({
            path: `rules-${version}-${'x'.repeat(800)}-${i}.csv`,
            bytes: Buffer.from(''),
          }));
        // Some 700 KB of names each, so that two are too many, and one that is too many by itself.
        for (const [version, count] of [700, 700, 1_400].entries()) {
          await archive.keep({ name: 'acl', files: files(version, count) }, version);
        }
        const sizes: number[] = [];
        let after: string | undefined;
        do {
          const page = await archive.versions('acl', 10, after);
          expect(page.items).toHaveLength(1);
          sizes.push(page.items[0]!.files.length);
          after = page.nextCursor;
        } while (after !== undefined);
        expect(sizes).toEqual([1_400, 700, 700]);
      });

      it('remembers what served and what was pinned, until the set is removed', async () => {
        const home = newHome();
        const archive = await home.open();
        await archive.setState({ name: 'acl', version: 'v1' }, 9);
        await archive.setState({ name: 'rbac', version: 'v1', pinnedOver: 'v2' }, 9);
        await archive.setState({ name: 'acl', version: 'v3' }, 9);
        expect(await (await home.open()).states()).toEqual([
          { name: 'acl', version: 'v3' },
          { name: 'rbac', version: 'v1', pinnedOver: 'v2' },
        ]);
        await archive.setRemoved('rbac', 5);
        expect(await archive.states()).toEqual([{ name: 'acl', version: 'v3' }]);
        await archive.setState({ name: 'rbac', version: 'v2' }, 9);
        expect(await archive.states()).toContainEqual({ name: 'rbac', version: 'v2' });
        const kept = setOf('p, alice, data1, read\n');
        await archive.keep(kept, 9);
        await archive.setState({ name: 'acl', version: versionOf(kept.files) }, 9);
        expect((await archive.states())[0]).toMatchObject({ name: 'acl', semantics: currentSemantics });
      });
    });

    describe('its retention', () => {
      const kept = async (archive: PolicyArchive, name = 'acl') =>
        (await archive.versions(name, 1_000)).items.map(({ version }) => version).reverse();

      it('keeps every version that a retained record can name, and the newest', async () => {
        const archive = await newHome().open();
        const digests = await keepVersions(archive, 6);
        // The oldest record is of hour 4: the third version served until then, and a decision may have ended a little later.
        expect(await archive.prune(4 * hour, 1)).toBe(1);
        expect(await kept(archive)).toEqual(digests.slice(1));
        expect(await archive.prune(100 * hour, 3)).toBe(2);
        expect(await kept(archive)).toEqual(digests.slice(3));
        expect(await archive.prune(100 * hour, 3)).toBe(0);
      });

      it('a version that some process goes on serving stays until its end', async () => {
        const archive = await newHome().open();
        const [first, second, , , last] = await keepVersions(archive, 5);
        const served = [first!, `sha256:${'0'.repeat(64)}`].map((version) => ({ name: 'acl', version }));
        await archive.noteServed(served, 10 * hour);
        await archive.noteServed([{ name: 'acl', version: second! }], hour);
        expect(await archive.version('acl', first!)).toMatchObject({ lastServed: '1970-01-01T10:00:00.000Z' });
        expect(await archive.version('acl', second!)).toMatchObject({ lastServed: '1970-01-01T02:00:00.000Z' });
        expect(await archive.prune(8 * hour, 1)).toBe(3);
        expect((await archive.versions('acl', 10)).items.map(({ version }) => version)).toEqual([last, first]);
      });

      it('says which versions answered: those that served, with live data or without, and no files that were kept for a shadow', async () => {
        const archive = await newHome().open();
        const [alone, base, shadow] = [setOf('alone'), setOf('base'), setOf('shadow')];
        await archive.keep(alone, hour);
        for (const set of [base, shadow]) await archive.keep(set, hour, undefined, 'base');
        const [filesVersion, inside] = [versionOf(base.files), `sha256:${'d'.repeat(64)}`];
        await archive.keepData({ name: 'acl', version: inside, filesVersion, dataRevision: 1 }, hour);
        const served = (version: string) => archive.hasServed('acl', version);
        expect(await served(versionOf(alone.files))).toBe(true);
        expect(await served(filesVersion)).toBe(true);
        expect(await served(inside)).toBe(true);
        expect(await served(versionOf(shadow.files))).toBe(false);
        expect(await served(`sha256:${'0'.repeat(64)}`)).toBe(false);
        expect(await archive.hasServed('other', versionOf(alone.files))).toBe(false);
        // It is promoted, and serves.
        await archive.keep(shadow, 2 * hour, undefined, 'alone');
        expect(await served(versionOf(shadow.files))).toBe(true);
      });

      it('keeps a hundred of each set, and not one more', async () => {
        const archive = await newHome().open();
        await keepVersions(archive, 100);
        const others = await keepVersions(archive, 101, 'other');
        expect(await archive.prune(1_000 * hour)).toBe(1);
        expect(await kept(archive)).toHaveLength(100);
        expect(await kept(archive, 'other')).toEqual(others.slice(1));
      });

      it('keeps what a set serves, however long ago it was put into service', async () => {
        const archive = await newHome().open();
        const [first] = await keepVersions(archive, 5);
        await archive.setState({ name: 'acl', version: first! }, 6 * hour);
        await archive.prune(100 * hour, 1);
        expect(await kept(archive)).toEqual([first]);
        expect((await archive.files('acl', first!))?.files).toHaveLength(2);
      });

      it('keeps the files of a version that is archived meanwhile', async () => {
        const archive = await newHome().open();
        await keepVersions(archive, 250);
        const again = setOf('p, alice, data1, read\n');
        const [removed] = await Promise.all([archive.prune(1_000 * hour, 1), archive.keep(again, 1_000 * hour)]);
        expect(removed).toBeGreaterThan(0);
        expect((await archive.files('acl', versionOf(again.files)))?.files).toHaveLength(2);
      });

      it('removes nothing more once it was told to end', async () => {
        const archive = await newHome().open();
        const digests = await keepVersions(archive, 5);
        archive.endPruning();
        expect(await archive.prune(1_000 * hour, 1)).toBe(0);
        expect(await kept(archive)).toEqual(digests);
      });
    });
  });
}
