import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { currentSemantics } from '../../../../src/core/semantics.js';
import { SqliteConnection } from '../../../../src/database/sqlite/sqlite-connection.js';
import { PolicyArchive1763700000010 } from '../../../../src/policy-store/archive/sqlite/migrations/1763700000010-policy-archive.js';
import { SqlitePolicyArchive } from '../../../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { versionOf } from '../../../../src/policy-store/policy-set-files.js';
import { temporaryDirectory } from '../../folders.js';
import { describePolicyArchive, hour, keepVersions, setOf } from '../policy-archive-suite.js';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((archive) => archive.close()));
});

async function archiveAt(path: string): Promise<SqlitePolicyArchive> {
  const archive = await SqlitePolicyArchive.open(path);
  open.push(archive);
  return archive;
}

const newFile = () => join(temporaryDirectory(), 'verdict.sqlite');

describePolicyArchive('SQLite', () => {
  const path = newFile();
  return { open: () => archiveAt(path) };
});

describe('the archive in its file', () => {
  it('keeps with a version the number of the defaults that it served under last', async () => {
    const path = newFile();
    const archive = await archiveAt(path);
    const kept = setOf('p, alice, data1, read');
    await archive.keep(kept, 1_000);
    const version = versionOf(kept.files);
    const number = async () => (await archive.version('acl', version))?.semantics;
    expect(await number()).toBe(currentSemantics);
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    open.push(connection);
    await connection.query('UPDATE policy_version SET semantics = NULL');
    expect(await number()).toBe(1);
    await archive.keep(kept, 2_000);
    expect(await number()).toBe(currentSemantics);
  });

  it('takes the versions of a database without the number for those of 0.1, also where it only reads', async () => {
    const path = newFile();
    const old = await SqliteConnection.open({
      path,
      migrations: [PolicyArchive1763700000010],
      busyTimeoutMs: 1_000,
    });
    const kept = setOf('p, alice, data1, read');
    const version = versionOf(kept.files);
    await old.query(
      'INSERT INTO policy_version (policy_set, version, files, first_served, last_served) VALUES (?, ?, ?, ?, ?)',
      ['acl', version, '[]', 1, 1],
    );
    await old.close();
    const reader = (await SqlitePolicyArchive.openToRead(path))!;
    expect((await reader.versions('acl', 10)).items).toMatchObject([{ version, semantics: 1 }]);
    await reader.close();
    const archive = await archiveAt(path);
    expect(await archive.version('acl', version)).toMatchObject({ semantics: 1 });
  });

  it('keeps a content once, however many versions and sets have it', async () => {
    const path = newFile();
    const archive = await archiveAt(path);
    for (const rules of ['a', 'b', 'a']) await archive.keep(setOf(rules), 1);
    await archive.keep(setOf('a', 'other'), 1);
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    open.push(connection);
    expect(await connection.query('SELECT count(*) AS n FROM policy_file')).toEqual([{ n: 3 }]);
    expect(await connection.query('SELECT count(*) AS n FROM policy_version')).toEqual([{ n: 3 }]);
  });

  it('does not give back what is not what it kept', async () => {
    const path = newFile();
    const archive = await archiveAt(path);
    const kept = setOf('p, alice, data1, read');
    await archive.keep(kept, 1);
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    open.push(connection);
    const version = versionOf(kept.files);
    expect(Buffer.from((await archive.file('acl', version, 'rules.csv'))!).toString()).toBe('p, alice, data1, read');
    expect(await archive.file('acl', version, 'tests/a.yaml')).toBeUndefined();
    await connection.query("UPDATE policy_version SET files = replace(files, 'rules.csv', 'ruled.csv')");
    await expect(archive.files('acl', version)).rejects.toThrow('damaged');
    await connection.query('UPDATE policy_file SET content = (SELECT max(content) FROM policy_file)');
    const [one, other] = await Promise.allSettled([
      archive.file('acl', version, 'model.conf'),
      archive.file('acl', version, 'ruled.csv'),
    ]);
    expect([one.status, other.status].sort()).toEqual(['fulfilled', 'rejected']);
    await connection.query('DELETE FROM policy_file');
    await expect(archive.files('acl', version)).rejects.toThrow('no content');
  });
  it('removes the files that only removed versions have, and no other', async () => {
    const path = newFile();
    const archive = await archiveAt(path);
    const digests = await keepVersions(archive, 3);
    await keepVersions(archive, 1, 'other');
    await archive.prune(100 * hour, 1);
    const database = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    open.push(database);
    // The model, which all share; the newest rules of each.
    expect(await database.query('SELECT digest FROM policy_file')).toHaveLength(3);
    expect((await archive.files('acl', digests[2]!))?.files).toHaveLength(2);
  });
});
