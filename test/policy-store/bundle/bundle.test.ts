import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { largestArchive, openBundle, packBundle } from '../../../src/policy-store/bundle/bundle.js';
import { packArchive, readArchive } from '../../../src/policy-store/bundle/bundle-archive.js';
import type { PolicyFile } from '../../../src/policy-store/policy-set-files.js';
import { defaultSourceLimits } from '../../../src/policy-store/source-limits.js';

const file = (path: string, content: string | Uint8Array) => ({ path, bytes: Buffer.from(content) });
const files = [file('model.conf', '[matchers]\n'), file('rules.csv', 'p, a, b, c\n'), file('tests/one.yaml', '')];
const set = { name: 'invoices', files };
const about = { revision: 7, created: '2026-03-03T10:00:00Z', gitCommit: 'a'.repeat(40) };
const refusal = (code: string, message = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

/** A bundle whose manifest was changed after it was packed. */
function withManifest(change: (manifest: Record<string, unknown>) => unknown): Buffer {
  const read = readArchive(packBundle(set, about), { maxBytes: 1e6, maxFiles: 10 });
  return packArchive(
    read.map((each): PolicyFile => {
      if (each.path !== 'bundle.json') return each;
      const changed = change(JSON.parse(Buffer.from(each.bytes).toString()));
      return file('bundle.json', typeof changed === 'string' ? changed : JSON.stringify(changed));
    }),
  );
}

describe('a bundle', () => {
  it('gives back its files and what its manifest says', () => {
    const opened = openBundle(packBundle(set, about), 'invoices');
    expect(opened.manifest).toEqual({
      set: 'invoices',
      ...about,
      version: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    });
    expect(opened.set.files.map(({ path }) => path)).toEqual(['model.conf', 'rules.csv', 'tests/one.yaml']);
    expect(opened.problems).toEqual([]);
  });

  it('is the same byte for byte, here and on every other machine', () => {
    const bundle = packBundle({ name: 'invoices', files: files.toReversed() }, about);
    // A changed digest means that bundles which were signed by an earlier version cannot be built again.
    expect(createHash('sha256').update(bundle).digest('hex')).toMatchInlineSnapshot(
      `"b0ada1c3df20846d3cdd157cf20046171aec4b1695ed6f83078f4bd5a65a7570"`,
    );
  });

  it('leaves out of the manifest what is not known', () => {
    const { manifest } = openBundle(packBundle(set, { revision: 1 }), 'invoices');
    expect(manifest).toMatchObject({ revision: 1, created: undefined, gitCommit: undefined });
  });

  it.each([
    ['another format', { format: 2 }, /format 2/],
    ['a name that leads out', { set: '../invoices' }, /set of/],
    ['a name that is hidden', { set: '.invoices' }, /set of/],
    ['a revision of 0', { revision: 0 }, /revision/],
    ['a revision that is no whole number', { revision: 1.5 }, /revision/],
    ['a revision that JavaScript cannot hold', { revision: 2 ** 53 }, /revision/],
    ['a version that its files do not have', { version: `sha256:${'0'.repeat(64)}` }, /its files are the version/],
    ['a time that there is not', { created: '2026-02-30T10:00:00Z' }, /created/],
    ['a commit that is none', { gitCommit: 'main' }, /gitCommit/],
    ['an unknown member', { signed: true }, /unknown member "signed"/],
  ])('is refused with %s', (_, change, message) => {
    const bundle = withManifest((manifest) => ({ ...manifest, ...change }));
    expect(() => openBundle(bundle, 'invoices')).toThrow(refusal('bundle_manifest_invalid', message));
  });

  it('is refused without a manifest, and with one that is not JSON or longer than 4,096 bytes', () => {
    expect(() => openBundle(packArchive(files), 'invoices')).toThrow(refusal('bundle_manifest_invalid', /there is no/));
    expect(() =>
      openBundle(
        withManifest(() => '{'),
        'x',
      ),
    ).toThrow(refusal('bundle_manifest_invalid', /not JSON/));
    expect(() =>
      openBundle(
        withManifest(() => '[]'),
        'x',
      ),
    ).toThrow(refusal('bundle_manifest_invalid', /not an object/));
    const padded = (size: number) => withManifest((manifest) => JSON.stringify(manifest).padEnd(size));
    expect(openBundle(padded(4_096), 'x').manifest.revision).toBe(7);
    expect(() => openBundle(padded(4_097), 'x')).toThrow(refusal('bundle_manifest_invalid', /4096 bytes/));
  });

  it.each(['README.md', '.hidden.csv', 'tests/deep/one.yaml', 'other/rules.csv'])(
    'says that %s is no file of a policy set',
    (path) => {
      const bundle = packBundle({ name: 'invoices', files: [...files, file(path, 'x')] }, about);
      expect(openBundle(bundle, 'invoices').problems).toMatchObject([{ code: 'unknown_file', file: path }]);
    },
  );

  it('says where a file is not text, and which is missing', () => {
    const broken = [file('rules.csv', Buffer.from([0x70, 0xff]))];
    const opened = openBundle(packBundle({ name: 'invoices', files: broken }, about), 'invoices');
    expect(opened.problems).toMatchObject([
      { code: 'model_missing', file: '.' },
      { code: 'not_utf8', file: 'rules.csv', line: 1, column: 2 },
    ]);
  });

  it('is not made with a file that cannot stand in it', () => {
    const long = { name: 'invoices', files: [file(`${'r'.repeat(97)}.csv`, '')] };
    expect(() => packBundle(long, about)).toThrow(refusal('bundle_archive_invalid'));
  });

  it('holds as many bytes and files as a set may have and no more', () => {
    const limits = { maxBytes: 4_096, maxFiles: 3 };
    const model = file('model.conf', '');
    const codesOf = (more: PolicyFile[]) =>
      openBundle(packBundle({ name: 'x', files: [model, ...more] }, about), 'x', limits).problems.map(
        ({ code }) => code,
      );
    expect(codesOf([file('rules.csv', 'x'.repeat(4_096))])).toEqual([]);
    expect(codesOf([file('rules.csv', 'x'.repeat(4_097))])).toEqual(['policy_set_too_large']);
    // Beyond what the manifest may have, nothing is read any more.
    expect(() => codesOf([file('rules.csv', 'x'.repeat(3 * 4_096))])).toThrow(refusal('bundle_too_large'));
    const counted = (count: number) => Array.from({ length: count }, (_, at) => file(`${at}.csv`, ''));
    expect(codesOf(counted(2))).toEqual([]);
    expect(() => codesOf(counted(3))).toThrow(refusal('bundle_too_large'));
  });

  it('is never longer than what is fetched at most', () => {
    const limits = { maxBytes: 3 * 1_025, maxFiles: 3 };
    const full = Array.from({ length: 3 }, (_, at) => file(`${at}.csv`, 'x'.repeat(1_025)));
    expect(packBundle({ name: 'x', files: full }, about).length).toBeLessThanOrEqual(largestArchive(limits));
    expect(largestArchive(defaultSourceLimits)).toBeGreaterThan(defaultSourceLimits.maxBytes);
  });
});
