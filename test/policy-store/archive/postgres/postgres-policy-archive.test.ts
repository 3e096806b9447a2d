import { describe, expect, it } from 'vitest';
import { currentSemantics } from '../../../../src/core/semantics.js';
import { PostgresPolicyArchive } from '../../../../src/policy-store/archive/postgres/postgres-policy-archive.js';
import { versionOf } from '../../../../src/policy-store/policy-set-files.js';
import { openDatabase, postgresForTests } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describePolicyArchive, hour, keepVersions, setOf } from '../policy-archive-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  const open = (url: string) => PostgresPolicyArchive.open(openDatabase(url));

  describePolicyArchive('PostgreSQL', () => {
    const url = server().newSchema();
    return { open: () => open(url) };
  });

  it('a version that many replicas archive at once is kept once, and each content once', async () => {
    const url = server().newSchema();
    const replicas = await Promise.all(Array.from({ length: 5 }, () => open(url)));
    const kept = setOf('p, alice, data1, read\n');
    await Promise.all(replicas.map((archive, n) => archive.keep(kept, 1_000 + n)));
    await Promise.all(replicas.map((archive) => archive.keep({ ...kept, name: 'other' }, 2_000)));
    const database = openDatabase(url);
    expect(await database.query(`SELECT count(*) AS n FROM ${database.table('policy_file')}`)).toEqual([{ n: 2 }]);
    expect((await replicas[0]!.versions('acl', 10)).items).toMatchObject([{ lastServed: '1970-01-01T00:00:01.004Z' }]);
  });

  it('replicas that remove old versions while others archive leave no version without its files', async () => {
    const url = server().newSchema();
    const [pruning, keeping] = [await open(url), await open(url)];
    await keepVersions(pruning, 120);
    const again = Array.from({ length: 20 }, (_, n) => setOf(`p, alice, data${n + 1}, read\n`));
    await Promise.all([pruning.prune(1_000 * hour, 1), ...again.map((set) => keeping.keep(set, 1_000 * hour))]);
    await pruning.prune(1_000 * hour, 100);
    for (const { files } of again) expect((await keeping.files('acl', versionOf(files)))?.files).toHaveLength(2);
  });

  it('a version of another archive is taken as it is there, and one that is kept stays as it is', async () => {
    const archive = await open(server().newSchema());
    const kept = setOf('p, alice, data1, read\n');
    const times = { firstServed: '2026-01-01T00:00:00.000Z', lastServed: '2026-01-02T00:00:00.000Z' };
    const version = { version: versionOf(kept.files), files: [], semantics: 1, gitCommit: 'c0ffee', ...times };
    await archive.adopt(kept, version);
    expect(await archive.version('acl', version.version)).toMatchObject({
      ...times,
      semantics: 1,
      gitCommit: 'c0ffee',
    });
    expect((await archive.files('acl', version.version))?.files).toHaveLength(2);
    const now = Date.UTC(2026, 5, 1);
    await archive.keep(kept, now);
    await archive.adopt(kept, version);
    expect(await archive.version('acl', version.version)).toMatchObject({
      firstServed: times.firstServed,
      lastServed: '2026-06-01T00:00:00.000Z',
      semantics: currentSemantics,
    });
  });

  it('content that was changed in the table is not given out', async () => {
    const url = server().newSchema();
    const archive = await open(url);
    const kept = setOf('p, alice, data1, read\n');
    await archive.keep(kept, 1);
    const database = openDatabase(url);
    const [first, second] = await database.query<{ digest: string }>(
      `SELECT digest FROM ${database.table('policy_file')}`,
    );
    await database.write(
      `UPDATE ${database.table('policy_file')} SET content = (SELECT content FROM ${database.table('policy_file')} WHERE digest = $1) WHERE digest = $2`,
      [first!.digest, second!.digest],
    );
    await expect(archive.files('acl', versionOf(kept.files))).rejects.toThrow('is damaged');
  });
});
