/** The archive of policy versions, encrypted (docs/encryption.md). */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { SqliteConnection } from '../../../../src/database/sqlite/sqlite-connection.js';
import { EncryptionKeys, MissingEncryptionKey } from '../../../../src/encryption/encryption-keys.js';
import { rewrapArchive, rewriteArchive } from '../../../../src/policy-store/archive/sqlite/archive-key.js';
import { SqlitePolicyArchive } from '../../../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { versionOf } from '../../../../src/policy-store/policy-set-files.js';
import { describePolicyArchive, setOf } from '../policy-archive-suite.js';

const [first, second] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
const keys = EncryptionKeys.of(first);
const both = EncryptionKeys.of(`${second},${first}`);
const newest = EncryptionKeys.of(second);

function newPath(): string {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-archive-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'verdict.sqlite');
}

async function opened(path: string, encryption?: EncryptionKeys): Promise<SqlitePolicyArchive> {
  const archive = await SqlitePolicyArchive.open(path, encryption);
  onTestFinished(() => archive.close());
  return archive;
}

describePolicyArchive('SQLite, encrypted', () => {
  const path = newPath();
  return { open: () => opened(path, keys) };
});

/** Long and without repetitions, so that gzip keeps it as it is. */
const planted = randomBytes(300).toString('hex');
const set = setOf(`p, ${planted}, data1, read\n`);
const version = versionOf(set.files);

/** How each content begins: 31 is gzip, 1 is sealed. */
async function contentsIn(path: string): Promise<{ byte: number; content: Buffer; digest: string }[]> {
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
  const rows = await connection.query<{ content: Buffer; digest: string }>('SELECT digest, content FROM policy_file');
  await connection.close();
  return rows.map((row) => ({ ...row, byte: row.content[0]! }));
}

const textOf = async (archive: SqlitePolicyArchive): Promise<string> =>
  Buffer.from((await archive.file('acl', version, 'rules.csv'))!).toString();

/** Whether a content stands anywhere in the files beside the database. */
const isIn = (path: string, content: Buffer): boolean =>
  readdirSync(join(path, '..')).some((file) =>
    readFileSync(join(path, '..', file)).includes(content.subarray(20, 120)),
  );

it('encrypts what is kept with a key, reads what was kept without, and is read with the key alone', async () => {
  const path = newPath();
  const plain = await SqlitePolicyArchive.open(path);
  await plain.keep(set, 1_000);
  await plain.close();
  const clear = await contentsIn(path);
  expect(clear.map(({ byte }) => byte)).toEqual([31, 31]);
  const archive = await SqlitePolicyArchive.open(path, keys);
  const other = setOf('p, bob, data2, read\n', 'other');
  await archive.keep(other, 2_000);
  expect(await textOf(archive)).toContain(planted);
  expect(Buffer.from((await archive.file('other', versionOf(other.files), 'rules.csv'))!).toString()).toContain('bob');
  await archive.close();
  expect((await contentsIn(path)).map(({ byte }) => byte).sort()).toEqual([1, 31, 31]);

  const needed = `${path} is encrypted, and the key ${keys.fingerprints[0]} is needed to read it`;
  await expect(SqlitePolicyArchive.open(path)).rejects.toThrow(needed);
  await expect(SqlitePolicyArchive.open(path, newest)).rejects.toThrow(needed);
  const reader = (await SqlitePolicyArchive.openToRead(path))!;
  onTestFinished(() => reader.close());
  expect((await reader.versions('other', 10)).items).toHaveLength(1);
  expect(await textOf(reader)).toContain(planted);
  await expect(reader.file('other', versionOf(other.files), 'rules.csv')).rejects.toThrow(MissingEncryptionKey);
});

it('is encrypted whole by a rewrite, which leaves nothing of what was in clear, and goes on under another key', async () => {
  const path = newPath();
  const plain = await SqlitePolicyArchive.open(path);
  await plain.keep(set, 1_000);
  await plain.close();
  const clear = await contentsIn(path);
  const large = clear.find(({ content }) => content.length > 250)!.content;
  expect(isIn(path, large)).toBe(true);
  expect(await rewrapArchive(path, keys)).toBe('plain');
  expect(await rewriteArchive(path, keys)).toBe('changed');
  expect((await contentsIn(path)).map(({ byte }) => byte)).toEqual([1, 1]);
  expect(isIn(path, large)).toBe(false);

  const running = await opened(path, keys);
  expect(await rewrapArchive(path, both)).toBe('changed');
  expect(await rewrapArchive(path, newest)).toBe('current');
  expect(await textOf(running)).toContain(planted);
  expect(await textOf(await opened(path, newest))).toContain(planted);
  await expect(rewrapArchive(path, keys)).rejects.toThrow(`the key ${newest.fingerprints[0]} is needed`);
});

it('a content with any bit changed, or of another file, is not given out', async () => {
  const path = newPath();
  const archive = await opened(path, keys);
  await archive.keep(set, 1_000);
  const contents = await contentsIn(path);
  const rules = contents.find(({ content }) => content.length > 250)!;
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
  onTestFinished(() => connection.close());
  const put = (content: Buffer) =>
    connection.query('UPDATE policy_file SET content = ? WHERE digest = ?', [content, rules.digest]);
  for (let i = 0; i < 40; i++) {
    const changed = Buffer.from(rules.content);
    const bit = i < 16 ? i : Math.floor(Math.random() * changed.length * 8);
    changed[bit >>> 3]! ^= 1 << (bit & 7);
    await put(changed);
    await expect(textOf(archive), `bit ${bit}`).rejects.toThrow();
  }
  await put(contents.find(({ digest }) => digest !== rules.digest)!.content);
  await expect(textOf(archive)).rejects.toThrow();
  await put(rules.content);
  expect(await textOf(archive)).toContain(planted);
});
