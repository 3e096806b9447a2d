/** The files of a policy set, which a source reads, a version identifies and the archive keeps. */
import { policySetVersion } from '../core/policy/version.js';
import { sha256 } from '../digest/sha-256.js';

export interface PolicyFile {
  /** Relative to the set's folder, with `/` between its parts: `rules.csv`, `tests/roles.yaml`. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface PolicySetFiles {
  readonly name: string;
  /** In the order of their paths, by code unit: the order in which rules are read. */
  readonly files: readonly PolicyFile[];
}

export type FileRole = 'model' | 'rules' | 'manifest' | 'entities' | 'schema' | 'test';

/** What a file is to its set; `undefined` for a file that is not a part of it, such as a README. */
export function fileRole(path: string): FileRole | undefined {
  switch (path) {
    case 'model.conf':
      return 'model';
    case 'policy-set.yaml':
      return 'manifest';
    case 'entities.yaml':
    case 'entities.json':
      return 'entities';
    case 'schema.yaml':
      return 'schema';
  }
  // Hidden files are left-overs of editors and of mounts: `.#rules.csv` is a lock of Emacs.
  if (/^[^./][^/]*\.csv$/.test(path)) return 'rules';
  if (/^tests\/[^./][^/]*\.yaml$/.test(path)) return 'test';
  return undefined;
}

/**
 * The name that was probably meant by a file that would be ignored in silence: a manifest called `policy-set.yml` would
 * leave its set without bindings.
 *
 *     intendedName('policy-set.yml')   // 'policy-set.yaml'
 *     intendedName('Rules.CSV')        // 'Rules.csv'
 *     intendedName('README.md')        // undefined
 */
export function intendedName(path: string): string | undefined {
  if (fileRole(path) !== undefined || /(^|\/)\./.test(path)) return undefined;
  const lower = path.toLowerCase();
  if (lower === 'model.conf') return 'model.conf';
  const stem = /^(policy-set|schema|entities)\.(ya?ml|json)$/.exec(lower)?.[1];
  if (stem !== undefined) return `${stem}.yaml`;
  if (/^[^/]+\.csv$/.test(lower)) return `${path.slice(0, -4)}.csv`;
  if (/^tests\/[^/]+\.ya?ml$/.test(lower)) return path.replace(/\.[^.]+$/, '.yaml');
  return undefined;
}

/** The version of a set. Tests are not a part of it, since they do not change its decisions. */
export function versionOf(files: readonly PolicyFile[]): string {
  let version = versions.get(files);
  if (version === undefined) {
    version = digestOf(files.filter(({ path }) => isVersioned(path)));
    if (Object.isFrozen(files)) versions.set(files, version);
  }
  return version;
}

/** Versions by the frozen list of files, which store, compiler and archive share. */
const versions = new WeakMap<readonly PolicyFile[], string>();

/** A text that changes if a test changes. */
export function testsVersionOf(files: readonly PolicyFile[]): string {
  return digestOf(files.filter(({ path }) => fileRole(path) === 'test'));
}

function digestOf(files: readonly PolicyFile[]): string {
  return policySetVersion(
    files.map(({ path, bytes }) => ({ path, content: bytes })),
    sha256,
  );
}

export function isVersioned(path: string): boolean {
  const role = fileRole(path);
  return role !== undefined && role !== 'test';
}
