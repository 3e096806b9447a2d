/** Under which licences others' work is that Verdict ships or installs. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8'));

/** Licences that ask for nothing but their text and names to be kept. */
const allowed = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'Python-2.0',
  'Unlicense',
]);

interface LockedPackage {
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly license?: string;
  readonly link?: boolean;
}

describe('packages that are installed in production', () => {
  const locked = Object.entries(json('package-lock.json').packages as Record<string, LockedPackage>).filter(
    ([path, { dev, devOptional, link }]) =>
      path.includes('node_modules/') && dev !== true && devOptional !== true && link !== true,
  );

  it('are under licences of the list', () => {
    expect(locked.length).toBeGreaterThan(100);
    const others = locked.filter(([path, entry]) => !isAllowed(licenceOf(path, entry)));
    expect(others.map(([path, entry]) => `${path}: ${licenceOf(path, entry)}`)).toEqual([]);
  });
});

/** The lock file leaves it out for a few packages; then the package says it itself. */
function licenceOf(path: string, { license }: LockedPackage): string {
  if (license !== undefined) return license;
  if (!existsSync(join(root, path, 'package.json'))) return 'unknown';
  const said: unknown = json(join(path, 'package.json')).license;
  return typeof said === 'string' ? said : 'unknown';
}

/** `(MIT OR CC0-1.0)` needs one of them, `MIT AND ISC` all. */
function isAllowed(licence: string): boolean {
  const text = licence.replace(/^\(|\)$/g, '');
  if (text.includes(' AND ')) return text.split(' AND ').every(isAllowed);
  return text.split(' OR ').some((each) => allowed.has(each));
}

it('knows a licence that is not of the list', () => {
  for (const licence of ['GPL-3.0', 'SSPL-1.0', 'unknown', 'MIT AND GPL-2.0', 'UNLICENSED']) {
    expect(isAllowed(licence), licence).toBe(false);
  }
  expect(isAllowed('(GPL-2.0 OR MIT)')).toBe(true);
});

describe('files of others in third_party', () => {
  const sources = json('third_party/sources.json') as {
    folder: string;
    repository: string;
    ref: string;
    license: string;
  }[];
  const checksums = json('third_party/checksums.json') as Record<string, string>;
  const folders = readdirSync(join(root, 'third_party')).filter((name) =>
    statSync(join(root, 'third_party', name)).isDirectory(),
  );

  it('are those that were fetched, unchanged', () => {
    const files = folders.flatMap((folder) =>
      readdirSync(join(root, 'third_party', folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => join(parentPath, name).slice(join(root, 'third_party/').length)),
    );
    expect(files.sort()).toEqual(Object.keys(checksums).sort());
    for (const file of files) {
      const digest = createHash('sha256')
        .update(readFileSync(join(root, 'third_party', file)))
        .digest('hex');
      expect(digest, file).toBe(checksums[file]);
    }
  });

  it('say where they are from, and under which licence', () => {
    expect(sources.map(({ folder }) => folder).sort()).toEqual(folders.sort());
    const notice = readFileSync(join(root, 'NOTICE'), 'utf8');
    for (const { folder, repository, ref, license } of sources) {
      expect(isAllowed(license)).toBe(true);
      expect(ref).toMatch(/^([0-9a-f]{40}|v\d+\.\d+\.\d+)$/);
      expect(readFileSync(join(root, 'third_party', folder, 'LICENSE'), 'utf8')).toContain('Apache License');
      expect(notice).toContain(`third_party/${folder} `);
      expect(notice).toContain(repository);
    }
  });

  it('are shipped with the service, with their notice', () => {
    expect(json('package.json').files).toEqual(expect.arrayContaining(['third_party', 'NOTICE']));
  });
});
