import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { currentSemantics } from '../../../../src/core/semantics.js';
import { EncryptionKeys } from '../../../../src/encryption/encryption-keys.js';
import {
  rewrapSharedArchive,
  rewriteSharedArchive,
} from '../../../../src/policy-store/archive/postgres/archive-key.js';
import { PostgresPolicyArchive } from '../../../../src/policy-store/archive/postgres/postgres-policy-archive.js';
import { versionOf } from '../../../../src/policy-store/policy-set-files.js';
import { openDatabase, postgresForTests } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describePolicyArchive, hour, keepVersions, setOf } from '../policy-archive-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  const open = (url: string) => PostgresPolicyArchive.open(openDatabase(url));
  const texts = [0, 1].map(() => randomBytes(32).toString('base64'));
  const [keys, others] = texts.map((text) => EncryptionKeys.of(text)) as [EncryptionKeys, EncryptionKeys];

  describePolicyArchive('PostgreSQL', () => {
    const url = server().newSchema();
    return { open: () => open(url) };
  });

  describePolicyArchive('PostgreSQL, encrypted', () => {
    const url = server().newSchema();
    return { open: () => PostgresPolicyArchive.open(openDatabase(url), keys) };
  });

  it('encrypts what is kept with a key, reads what was kept without, and is read with the key alone', async () => {
    const url = server().newSchema();
    const database = openDatabase(url);
    const [plain, secret] = [setOf('p, alice, data1, read\n'), setOf('p, bob, data2, read\n')];
    await (await open(url)).keep(plain, 1_000);
    // Two replicas begin at once.
    const [archive, other] = await Promise.all([0, 1].map(() => PostgresPolicyArchive.open(openDatabase(url), keys)));
    await archive!.keep(secret, 2_000);
    const contents = await database.query<{ form: number }>(
      `SELECT get_byte(content, 0) AS form FROM ${database.table('policy_file')} ORDER BY 1`,
    );
    // 31 is gzip, 1 is sealed. The model is the same in both versions.
    expect(contents.map(({ form }) => form)).toEqual([1, 31, 31]);
    const textOf = async (from: PostgresPolicyArchive, { files }: typeof plain): Promise<string> =>
      Buffer.from((await from.file('acl', versionOf(files), 'rules.csv'))!).toString();
    for (const [set, text] of [
      [plain, 'p, alice, data1, read\n'],
      [secret, 'p, bob, data2, read\n'],
    ] as const)
      expect(await textOf(other!, set)).toBe(text);

    const [needed] = keys.fingerprints;
    const message = `the archive of policy versions in PostgreSQL is encrypted, and the key ${needed} is needed to read it: VERDICT_ENCRYPTION_KEY`;
    await expect(open(url)).rejects.toThrow(`${message} is not set`);
    await expect(PostgresPolicyArchive.open(database, others)).rejects.toThrow(
      `${message} has ${others.fingerprints[0]}`,
    );
    // To be looked into, it needs the key for contents alone.
    const read = await PostgresPolicyArchive.openToRead(database);
    expect((await read.versions('acl', 10)).items).toHaveLength(2);
    expect(await textOf(read, plain)).toBe('p, alice, data1, read\n');
    await expect(textOf(read, secret)).rejects.toThrow(message);
    // As one that was opened while the server was away.
    await expect(read.keep(setOf('p, cy, data3, read\n'), 3_000)).rejects.toThrow(message);
  });

  it('its key is wrapped anew while it is used, and what is in clear is encrypted by a rewrite', async () => {
    const url = server().newSchema();
    const database = openDatabase(url);
    await (await open(url)).keep(setOf('p, alice, data1, read\n'), 1_000);
    expect(await rewrapSharedArchive(database, keys)).toBe('plain');
    const archive = await PostgresPolicyArchive.open(database, keys);
    const secret = setOf('p, bob, data2, read\n');
    await archive.keep(secret, 2_000);
    const [old, newer] = [texts[0]!, randomBytes(32).toString('base64')];
    const both = EncryptionKeys.of(`${newer},${old}`);
    expect(await rewrapSharedArchive(database, both)).toBe('changed');
    expect(await rewrapSharedArchive(database, both)).toBe('current');
    // It goes on with the key that it has unwrapped.
    await archive.keep(setOf('p, carl, data3, read\n'), 3_000);
    await expect(rewrapSharedArchive(database, others)).rejects.toThrow(both.fingerprints[0]);
    await rewriteSharedArchive(database, both);
    const contents = await database.query<{ form: number }>(
      `SELECT DISTINCT get_byte(content, 0) AS form FROM ${database.table('policy_file')}`,
    );
    expect(contents).toEqual([{ form: 1 }]);
    const again = await PostgresPolicyArchive.open(database, EncryptionKeys.of(newer));
    for (const { version } of (await again.versions('acl', 10)).items)
      expect((await again.files('acl', version))?.files).toHaveLength(2);
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
