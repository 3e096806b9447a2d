import type { PolicySetFiles } from '../policy-set-files.js';
import { unpackFile, unpackVersion } from './archived-files.js';
import type { ArchivedFile, ArchivedVersion, VersionsPage } from './archived-version.js';
import { bytesOnAPage, type KeptVersion, PolicyArchive, type ServedVersion } from './policy-archive.js';

/** A version as a table has it; times in milliseconds since 1970. */
export interface VersionRow {
  readonly version: string;
  readonly files: readonly ArchivedFile[];
  readonly git_commit: string | null;
  readonly semantics: number;
  readonly files_version: string | null;
  readonly data_revision: number | null;
  readonly first_served: number;
  readonly last_served: number;
}

/** A version by its name; the last two are not there in a database of an earlier release that is only read. */
export interface EveryRow extends ServedVersion {
  readonly files_version?: string | null;
  readonly data_revision?: number | null;
}

/** A version, and how long the list of its files is, in bytes. */
export interface ListedVersion {
  readonly version: string;
  readonly bytes: number;
}

/** What an archive reads in the same way, whichever database it is in. */
export abstract class StoredPolicyArchive extends PolicyArchive {
  /** The row of a version; one with live data has no files. */
  protected abstract row(name: string, version: string): Promise<VersionRow | undefined>;

  /** Versions of a set that served, the one that first served last first, at most `limit`; after one of them, if it is given. */
  protected abstract list(name: string, limit: number, after: string | undefined): Promise<readonly ListedVersion[]>;

  /** The stored content of a file; undefined when it is not there. */
  protected abstract contentOf(digest: string): Promise<Buffer | undefined>;

  /** As `everyVersion`; `after` names one that may be gone. */
  protected abstract every(limit: number, after: ServedVersion): Promise<readonly EveryRow[]>;

  async everyVersion(limit: number, after: ServedVersion = { name: '', version: '' }): Promise<readonly KeptVersion[]> {
    const rows = await this.every(limit, after);
    return rows.map(({ name, version, files_version, data_revision }) => ({
      name,
      version,
      ...(files_version != null && { filesVersion: files_version }),
      ...(data_revision != null && { dataRevision: data_revision }),
    }));
  }

  async versions(name: string, limit: number, after?: string): Promise<VersionsPage> {
    const items: ArchivedVersion[] = [];
    let bytes = 0;
    for (const row of await this.list(name, limit + 1, after)) {
      if (items.length === limit || (items.length > 0 && bytes + row.bytes > bytesOnAPage)) {
        return { items, nextCursor: items.at(-1)!.version };
      }
      bytes += row.bytes;
      const item = await this.version(name, row.version);
      if (item !== undefined) items.push(item);
    }
    return { items };
  }

  async version(name: string, version: string): Promise<ArchivedVersion | undefined> {
    const row = await this.row(name, version);
    if (row === undefined || row.files_version === null) return row && toVersion(row);
    const base = await this.row(name, row.files_version);
    return base && toVersion({ ...row, files: base.files, git_commit: base.git_commit });
  }

  async files(name: string, version: string): Promise<PolicySetFiles | undefined> {
    const archived = await this.version(name, version);
    return (
      archived &&
      unpackVersion(name, archived.filesVersion ?? version, archived.files, (digest) => this.contentOf(digest))
    );
  }

  async file(name: string, version: string, path: string): Promise<Uint8Array | undefined> {
    const archived = await this.version(name, version);
    return archived && unpackFile(name, version, path, archived.files, (digest) => this.contentOf(digest));
  }
}

function toVersion({ version, files, semantics, ...row }: VersionRow): ArchivedVersion {
  return {
    version,
    files,
    semantics,
    firstServed: new Date(row.first_served).toISOString(),
    lastServed: new Date(row.last_served).toISOString(),
    ...(row.git_commit !== null && { gitCommit: row.git_commit }),
    ...(row.files_version !== null && { filesVersion: row.files_version }),
    ...(row.data_revision !== null && { dataRevision: row.data_revision }),
  };
}
