import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { LateArchive } from '../../../src/policy-store/archive/late-archive.js';
import { PostgresPolicyArchive } from '../../../src/policy-store/archive/postgres/postgres-policy-archive.js';
import { versionOf } from '../../../src/policy-store/policy-set-files.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { setOf } from './policy-archive-suite.js';

describe.skipIf(!hasPostgres)(
  'an archive on a server that may be away (skipped where PostgreSQL is not installed)',
  () => {
    const server = postgresForTests();
    const openLate = async (url: string, maxWaiting = 100) => {
      const said: string[] = [];
      const archive = await PostgresPolicyArchive.open(openDatabase(url));
      const late = new LateArchive({ archive, retryMs: 50, maxWaiting, onProblem: (what) => said.push(what) });
      onTestFinished(() => late.close());
      return { late, archive, said };
    };
    const first = setOf('p, alice, data1, read\n');
    const second = setOf('p, alice, data2, read\n');
    const [v1, v2] = [versionOf(first.files), versionOf(second.files)];

    it('gives out what waits, and archives it when the server is back', async () => {
      const { late, archive } = await openLate(server().newSchema());
      await late.keep(first, 1_000);
      await late.setState({ name: 'acl', version: v1 }, 1_000);
      await server().stop();
      await late.keep(second, 2_000, 'c0ffee');
      await late.setState({ name: 'acl', version: v2 }, 2_000);
      expect((await late.files('acl', v2))?.files.map(({ path }) => path)).toEqual(['model.conf', 'rules.csv']);
      expect(await late.version('acl', v2)).toMatchObject({
        gitCommit: 'c0ffee',
        lastServed: '1970-01-01T00:00:02.000Z',
      });
      expect(Buffer.from((await late.file('acl', v2, 'rules.csv'))!).toString()).toBe('p, alice, data2, read\n');
      expect(await late.file('acl', v2, 'tests/a.yaml')).toBeUndefined();
      await expect(late.files('acl', v1)).rejects.toMatchObject({ isAway: true });
      await server().resume();
      await expect.poll(() => archive.states()).toMatchObject([{ name: 'acl', version: v2 }]);
      expect((await archive.files('acl', v2))?.files).toHaveLength(2);
      expect(await archive.version('acl', v2)).toMatchObject({ gitCommit: 'c0ffee' });
    });

    it('lets so many versions wait, and refuses one more', async () => {
      const { late, archive } = await openLate(server().newSchema(), 2);
      await server().stop();
      await late.keep(first, 1_000);
      await late.keep(second, 2_000);
      await expect(late.keep(setOf('p, alice, data3, read\n'), 3_000)).rejects.toMatchObject({ isAway: true });
      await server().resume();
      await expect.poll(async () => (await archive.versions('acl', 10)).items.length).toBe(2);
    });

    it('knows no pins at a start without the server, serves the folder, and leaves the pins for the next start', async () => {
      const url = server().newSchema();
      const before = await openLate(url);
      await before.late.keep(first, 1_000);
      await before.late.setState({ name: 'acl', version: v1, pinnedOver: v2 }, 1_000);
      const started = await openLate(url);
      await server().stop();
      expect(await started.late.states()).toEqual([]);
      expect(started.said).toEqual(['the archive cannot say what was served last, so the folders are served']);
      await started.late.keep(second, 2_000);
      await started.late.setState({ name: 'acl', version: v2 }, 2_000);
      await server().resume();
      await expect.poll(async () => (await started.archive.versions('acl', 10)).items.length).toBe(2);
      await expect.poll(() => started.archive.states()).toMatchObject([{ name: 'acl', version: v1, pinnedOver: v2 }]);
      // What is decided after that counts.
      await started.late.setState({ name: 'acl', version: v1 }, 3_000);
      expect(await started.archive.states()).toMatchObject([{ name: 'acl', version: v1 }]);
    });

    it('archives the others where one version cannot be, says so once, and goes on trying', async () => {
      const { late, archive, said } = await openLate(server().newSchema());
      const other = setOf('p, alice, data1, read\n', 'other');
      const keep = vi.spyOn(archive, 'keep');
      await server().stop();
      // PostgreSQL has no text with a NUL.
      await late.keep(first, 1_000, 'c0\u0000ffee');
      await late.setState({ name: 'acl', version: v1 }, 1_000);
      await late.keep(other, 2_000);
      await late.setState({ name: 'other', version: v1 }, 2_000);
      await server().resume();
      await expect.poll(() => archive.states()).toMatchObject([{ name: 'other', version: v1 }]);
      expect((await archive.files('other', v1))?.files).toHaveLength(2);
      const tries = () => keep.mock.calls.filter(([{ name }]) => name === 'acl').length;
      const before = tries();
      await expect.poll(tries).toBeGreaterThan(before + 2);
      expect(said).toEqual([`version ${v1} of the policy set "acl" cannot be archived`]);
      // What the set serves next does not wait for it.
      await late.keep(second, 3_000);
      await late.setState({ name: 'acl', version: v2 }, 3_000);
      expect(await archive.states()).toMatchObject([{ name: 'acl', version: v2 }, { name: 'other' }]);
      await late.close();
      expect(said.slice(1)).toEqual(['1 versions of policy sets could not be archived']);
    });

    it('says at its end what could not be archived', async () => {
      const { late, said } = await openLate(server().newSchema());
      await server().stop();
      await late.keep(first, 1_000);
      await late.close();
      expect(said).toEqual(['1 versions of policy sets could not be archived']);
      await server().resume();
    });
  },
);
