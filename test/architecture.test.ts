/** The tree is what docs/architecture.md says: imports point down only, and the core is pure. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');

/** The folders, in the order of the page: each may import from itself and from those before it. */
const layers = [...page.matchAll(/^\| `(src[^`]*)` \|/gm)].map(([, folder]) => folder!);

interface Import {
  readonly file: string;
  /** A path from the root for our own files, else the name of a package. */
  readonly from: string;
}

const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => `src/${path}`);

const imports: Import[] = files.flatMap((file) =>
  [
    ...readFileSync(join(root, file), 'utf8').matchAll(
      /^(?:import|export)\b[^;]*?from '([^']+)';|^import '([^']+)';/gm,
    ),
  ].map(([, named, bare]) => {
    const from = (named ?? bare)!;
    return { file, from: from.startsWith('.') ? normalize(join(dirname(file), from)) : from };
  }),
);

const core = imports.filter(({ file }) => file.startsWith('src/core/'));

describe('the tree', () => {
  it('has the folders that the page lists, and no others', () => {
    const folders = new Set(files.map((file) => layerOf(file)));
    expect([...folders].sort()).toEqual([...layers].sort());
  });

  it('imports downwards only', () => {
    const level = (path: string) => layers.indexOf(layerOf(path));
    const upwards = imports.filter(({ file, from }) => from.startsWith('src/') && level(from) > level(file));
    expect(upwards).toEqual([]);
  });

  it('is spoken of by paths that exist', () => {
    const paths = [...page.matchAll(/`((?:src|test|docs)\/[\w./-]+|[\w-]+\/[\w./-]+\.ts)`/g)].map(([, path]) => path!);
    const missing = paths.filter((path) => !existsSync(join(root, path)) && !existsSync(join(root, 'src', path)));
    expect(missing).toEqual([]);
  });
});

describe('the core', () => {
  it('knows no framework, database, file or network', () => {
    const foreign = core.map(({ from }) => from).filter((from) => !from.startsWith('src/'));
    const pure = ['node:crypto', 'node:util', 're2js', 'yaml'];
    expect([...new Set(foreign)].sort()).toEqual(pure);
  });

  it('imports each package in one file only, so that it can be replaced there', () => {
    const importers = core.filter(({ from }) => /^[a-z]/.test(from) && !/^(src\/|node:)/.test(from));
    expect(importers.map(({ file, from }) => `${from}: ${file}`).sort()).toEqual([
      're2js: src/core/matcher/functions/regular-expression.ts',
      'yaml: src/core/policy/yaml-document.ts',
    ]);
  });

  it('has no clock and no randomness, but for enforce(), which takes the time if it is given none', () => {
    const impure = files.filter((file) => {
      const code = readFileSync(join(root, file), 'utf8').replaceAll(/^\s*(\*|\/\/|\/\*).*$/gm, '');
      return (
        file.startsWith('src/core/') &&
        /Date\.now\(|new Date\(\)|performance\.now|Math\.random|random[A-Z]|process\./.test(code)
      );
    });
    expect(impure).toEqual(['src/core/engine/enforce.ts']);
  });
});

/** The listed folder that the file lies in, the innermost one; a folder that is not listed is its own. */
function layerOf(path: string): string {
  const folder = dirname(path);
  const known = layers.filter((layer) => folder === layer || (layer !== 'src' && folder.startsWith(`${layer}/`)));
  const innermost = known.sort((a, b) => b.length - a.length)[0];
  return innermost === 'src/core' && folder !== 'src/core' ? folder : (innermost ?? folder);
}
