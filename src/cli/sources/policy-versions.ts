/** Versions of policy sets: those of a running service, or those in its database. */
import type { ArchivedVersion } from '../../policy-store/archive/archived-version.js';
import type { StoredEntries } from '../../policy-store/data/entries.js';
import { type PolicyFile, versionOf } from '../../policy-store/policy-set-files.js';
import type { PolicySetStatus } from '../../policy-store/policy-set-status.js';
import { atOnce } from '../../turns/at-once.js';
import { UsageError } from '../exit-code.js';
import type { PolicyFolder } from './policy-folder.js';
import { askServer, readFromServer, type ServerOptions } from './server.js';

export interface PolicyVersions {
  /** The version that each set serves, by the set's name; undefined for a set that serves none. */
  served(): Promise<ReadonlyMap<string, string | undefined>>;
  /** Every version of a set that served, the newest first. */
  list(set: string): AsyncIterable<ArchivedVersion>;
  /** @throws UsageError for a version that never served, or that served with live data which cannot be read from here */
  files(set: string, version: string): Promise<readonly PolicyFile[]>;
  /** The live data that a version served with, that of now for what serves; undefined where it had none. */
  data?(set: string, version: string): Promise<StoredEntries | undefined>;
  close(): Promise<void>;
}

/** Most files of a version that are requested at the same time. */
const mostAtOnce = 8;

export function versionsOfServer(server: ServerOptions): PolicyVersions {
  return {
    async served() {
      const { items } = (await askServer(server, 'GET', '/v1/policy-sets')) as { items: readonly PolicySetStatus[] };
      return new Map(items.map(({ name, version }) => [name, version]));
    },
    async *list(set) {
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const path: string = `${managementPathOf(set)}/versions${cursor === '' ? '' : `?cursor=${cursor}`}`;
        const page = (await askServer(server, 'GET', path)) as Page<ArchivedVersion>;
        yield* page.items;
        cursor = page.nextCursor;
      }
    },
    async files(set, version) {
      const path = `${managementPathOf(set)}/versions/${version}`;
      const { files, dataRevision } = (await askServer(server, 'GET', path)) as ArchivedVersion;
      if (dataRevision !== undefined) {
        const hint = 'ask its database (--database), or the service: POST /v1/policy-sets/{set}/who-can';
        throw new LiveDataUnread(
          `${set} ${version} serves with live data, which this command does not read there`,
          hint,
        );
      }
      const read = await atOnce(
        files,
        mostAtOnce,
        async (file): Promise<PolicyFile> => ({
          path: file.path,
          bytes: await readFromServer(server, `${path}/files/${encodeURIComponent(file.path)}`),
        }),
      );
      // A proxy between the service and here may change a text.
      if (versionOf(read) !== version) throw new UsageError(`what ${server.url} sent is not ${set} ${version}`);
      return read;
    },
    close: async () => undefined,
  };
}

/** A version serves with live data that cannot be read from here. */
export class LiveDataUnread extends UsageError {}

interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string;
}

export function managementPathOf(set: string): string {
  return `/v1/policy-sets/${encodeURIComponent(set)}`;
}

const wholeVersion = /^sha256:[0-9a-f]{64}$/;

/** `sha256:1f09`, the beginning of a version or all of it. */
export function isVersion(text: string): boolean {
  return /^sha256:[0-9a-f]{4,64}$/.test(text);
}

/** @throws UsageError when no version of the set begins so, or several do. */
export async function fullVersion(versions: PolicyVersions, set: string, text: string): Promise<string> {
  if (wholeVersion.test(text)) return text;
  const wanted = text.startsWith('sha256:') ? text : `sha256:${text}`;
  const found: string[] = [];
  for await (const { version } of versions.list(set)) if (version.startsWith(wanted)) found.push(version);
  const [only] = found;
  if (found.length === 1 && only !== undefined) return only;
  throw new UsageError(`${found.length === 0 ? 'no version' : 'more than one version'} of ${set} begins with ${text}`);
}

/** The files of a version, without tests. */
export async function readVersion(versions: PolicyVersions, set: string, version: string): Promise<PolicyFolder> {
  const files = await versions.files(set, version);
  const data = await versions.data?.(set, version);
  return { name: set, path: `${set} ${version.slice(0, 'sha256:'.length + 12)}`, files, problems: [], data };
}

/** The served version of a set; by default of the only set, or of the one named `default`. */
export async function readServed(versions: PolicyVersions, name: string | undefined): Promise<PolicyFolder> {
  const served = await versions.served();
  const [first] = served.keys();
  const set = name ?? (served.size === 1 ? first : 'default');
  if (set === undefined || !served.has(set)) {
    const wanted = name === undefined ? 'say which policy set: --set' : `there is no policy set "${name}"`;
    throw new UsageError(wanted, `there are ${[...served.keys()].join(', ') || 'none'}`);
  }
  const version = served.get(set);
  if (version === undefined) throw new UsageError(`no version of ${set} is served`, 'see `verdict policy list`');
  return readVersion(versions, set, version);
}
