import type { PolicyArchive } from './archive/policy-archive.js';
import { allEntities, allRoles } from './data/all-entries.js';
import type { LiveDataStore } from './data/live-data-store.js';
import { namesInEntity, namesInRole } from './data/names-in-data.js';

/** Policy sets that name somebody, by their names. */
export interface NamingSets {
  /** In the files of the version that they serve. */
  readonly files: readonly string[];
  /** In their live data, as `namesInRole` and `namesInEntity` say. */
  readonly data: readonly string[];
}

export interface NamingOptions {
  /** The sets, each with the version that it serves, if it serves one. */
  readonly sets: () => readonly { readonly name: string; readonly version?: string | undefined }[];
  readonly archive: Pick<PolicyArchive, 'version' | 'files'> | undefined;
  readonly data: Pick<LiveDataStore, 'entities' | 'roles'> | undefined;
}

/** Finds the policy sets that name somebody. */
export class PolicySetsNaming {
  constructor(private readonly options: NamingOptions) {}

  /** @param id of a subject or a resource */
  async find(id: string): Promise<NamingSets> {
    const files: string[] = [];
    const data: string[] = [];
    for (const { name, version } of this.options.sets()) {
      if (version !== undefined && (await this.isInFiles(name, version, id))) files.push(name);
      if (await this.isInData(name, id)) data.push(name);
    }
    return { files, data };
  }

  private async isInFiles(set: string, version: string, id: string): Promise<boolean> {
    const { archive } = this.options;
    const archived = await archive?.version(set, version);
    const found = await archive?.files(set, archived?.filesVersion ?? version);
    return found?.files.some(({ bytes }) => Buffer.from(bytes).includes(id)) ?? false;
  }

  private async isInData(set: string, id: string): Promise<boolean> {
    const { data } = this.options;
    if (data === undefined) return false;
    for await (const { role, by } of allRoles(data, set)) if (namesInRole(role, by, id)) return true;
    for await (const { entity, by } of allEntities(data, set)) if (namesInEntity(entity, by, id)) return true;
    return false;
  }
}
