/** The policy set of a command: from a folder, from a service (`--url`) or from its database (`--database`). */
import type { Command } from 'commander';
import { isSemantics } from '../../core/semantics.js';
import type { ArchivedVersion } from '../../policy-store/archive/archived-version.js';
import { versionOf } from '../../policy-store/policy-set-files.js';
import { UsageError } from '../exit-code.js';
import { checkDemand, type DemandOptions } from './demand-options.js';
import { type LoadedFolder, loadFolder, loadSet } from './policy-folder.js';
import { fullVersion, type PolicyVersions, readServed, readVersion, versionsOfServer } from './policy-versions.js';
import { clockOf } from './request-options.js';
import { addServerOptions, type ServerOptions } from './server.js';
import { versionAt } from './version-at.js';

export interface AskedSetOptions extends ServerOptions {
  readonly database?: string;
  readonly set?: string;
  readonly version?: string;
}

export function addAskedSetOptions(command: Command): Command {
  return addServerOptions(command)
    .option('--database <database>', 'the versions in the database of a service, a file or postgres://…')
    .option('--set <name>', 'with --url or --database: the policy set')
    .option(
      '--version <version>',
      'with --url or --database: this version, or the beginning of one, and not the one that serves',
    );
}

/**
 * With `at` and `--url` or `--database` it is the version that served then.
 *
 * @param remark hears which version it is, where it is an earlier one
 * @throws UsageError when a folder and a service are both named, there is no such version, or it cannot be loaded
 */
export async function loadAskedSet(
  path: string | undefined,
  options: AskedSetOptions & { readonly at?: string },
  remark: (what: string) => void,
): Promise<LoadedFolder> {
  checkAskedSet(path, options);
  if (options.url === undefined && options.database === undefined) return loadFolder(path);
  const versions =
    options.database === undefined
      ? versionsOfServer(options)
      : await (await import('./versions-in-database.js')).versionsInDatabase(options.database);
  try {
    if (options.version === undefined && options.at === undefined) {
      return loadSet(await readServed(versions, options.set));
    }
    return await loadEarlier(versions, options, remark);
  } finally {
    await versions.close();
  }
}

async function loadEarlier(
  versions: PolicyVersions,
  options: AskedSetOptions & { readonly at?: string },
  remark: (what: string) => void,
): Promise<LoadedFolder> {
  const set = options.set ?? (await onlySet(versions));
  const { version, semantics, filesVersion } =
    options.version === undefined
      ? await versionAt(versions, set, clockOf(options))
      : await archived(versions, set, await fullVersion(versions, set, options.version));
  const name = `${set} ${version.slice(0, 'sha256:'.length + 12)}`;
  if (!isSemantics(semantics))
    throw new UsageError(`${name} is meant under semantics ${semantics}, which is not known`);
  const folder = await readVersion(versions, set, version);
  if (versionOf(folder.files) !== (filesVersion ?? version)) throw new UsageError(`what is kept of ${name} is damaged`);
  remark(`of ${set}, version ${version}`);
  return loadSet(folder, semantics);
}

async function archived(versions: PolicyVersions, set: string, wanted: string): Promise<ArchivedVersion> {
  for await (const each of versions.list(set)) if (each.version === wanted) return each;
  throw new UsageError(`${set} never served ${wanted}`);
}

async function onlySet(versions: PolicyVersions): Promise<string> {
  const names = [...(await versions.served()).keys()];
  const name = names.length === 1 ? names[0] : names.find((each) => each === 'default');
  if (name !== undefined) return name;
  throw new UsageError('say which policy set: --set', `there are ${names.join(', ') || 'none'}`);
}

/** @throws UsageError when several places are named, or what goes with a service or its database goes with neither */
export function checkAskedSet(path: string | undefined, { url, database, set, version }: AskedSetOptions): void {
  if (url !== undefined && path !== undefined) throw new UsageError(`say which one to ask: ${path}, or --url ${url}`);
  if (database !== undefined && (path !== undefined || url !== undefined)) {
    throw new UsageError(`say which one to ask: ${path ?? `--url ${url}`}, or --database ${database}`);
  }
  if (url !== undefined || database !== undefined) return;
  if (set !== undefined) throw new UsageError('--set goes with --url or --database');
  if (version !== undefined) throw new UsageError('--version goes with --url or --database');
}

/** Whether the service itself answers a question: on the version that serves, and it records the answer. */
export function isAskedThere({ url, version }: AskedSetOptions): boolean {
  return url !== undefined && version === undefined;
}

/**
 * The options of a question that is answered here.
 *
 * @throws UsageError for demands on how fresh the set is, which a service alone can meet
 */
export function askedHere<Options extends AskedSetOptions & DemandOptions>(
  options: Options,
): Omit<Options, 'url' | 'set'> {
  const { url: _, set: __, ...rest } = options;
  checkDemand(rest);
  return rest;
}
