import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, it } from 'vitest';

interface LockedPackage {
  readonly engines?: { readonly node?: string };
  readonly deprecated?: string;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Record<string, string>;
}

/** The package has no types. */
const { satisfies } = createRequire(import.meta.url)('semver') as {
  satisfies: (version: string, range: string) => boolean;
};

function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'));
}

it('the lock file has an entry for each platform that a package is made for, or npm ci refuses it', () => {
  const { packages } = readJson<{ packages: Record<string, LockedPackage> }>('package-lock.json');
  const missing = Object.entries(packages).flatMap(([place, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !(`${place}/node_modules/${name}` in packages) && !(`node_modules/${name}` in packages),
    ),
  );
  expect(missing).toEqual([]);
});

it('npm ci warns of nothing: each package runs on the Node.js that package.json promises, and none is deprecated', () => {
  const { packages } = readJson<{ packages: Record<string, LockedPackage> }>('package-lock.json');
  const refused = Object.entries(packages).filter(
    ([, { engines, deprecated }]) =>
      deprecated !== undefined ||
      !['20.19.0', '20.20.0', '24.0.0'].every((version) => satisfies(version, engines?.node ?? '*')),
  );
  expect(refused.map(([place]) => place)).toEqual([]);
});

it('of each package that would run a script while it is installed, package.json says whether it may', () => {
  const { packages } = readJson<{ packages: Record<string, LockedPackage> }>('package-lock.json');
  const scripted = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript === true);
  const { allowScripts } = readJson<{ allowScripts: Record<string, boolean> }>('package.json');
  expect(scripted.map(([place]) => place.replace('node_modules/', '')).sort()).toEqual(
    Object.keys(allowScripts).sort(),
  );
});
