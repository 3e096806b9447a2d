import { PolicyError } from '../../core/problem.js';
import { currentSemantics, isSemantics, semanticsBeforeNumbers } from '../../core/semantics.js';
import type { ValueHash } from '../../decision-log/value-hash.js';
import { VerdictError, versionNotFound } from '../../errors.js';
import type { DataSnapshot, LiveDataStore } from '../data/live-data-store.js';
import { type LoadedPolicySet, type LoadOptions, loadPolicySet } from '../load-policy-set.js';
import type { PolicySetFiles } from '../policy-set-files.js';
import type { ServedPolicySet } from '../served-policy-set.js';
import { DamagedVersion } from './archived-files.js';
import type { ArchivedVersion } from './archived-version.js';
import type { PolicyArchive } from './policy-archive.js';

/** Most loaded versions that are kept. A replay of a day's decisions needs one or two of each set. */
const keptVersions = 8;

/** Loads versions that served earlier, for rollbacks and replays. */
export class ArchivedVersions {
  /** The version that was used last is last. */
  private readonly kept = new Map<string, Promise<LoadedPolicySet>>();

  /**
   * @param data has what live data were; undefined where no set has any
   * @param hash what is shown of values that a manifest hashes; without it they are masked
   */
  constructor(
    private readonly archive: PolicyArchive | undefined,
    private readonly data?: LiveDataStore,
    private readonly hash?: ValueHash,
  ) {}

  /**
   * Loads a version for replays. It is shared, and ends when enough others have been used.
   *
   * @param semantics the number of the defaults to read it with; by default the one that it served under
   * @throws VerdictError `policy_version_not_found`, `policy_version_invalid`
   */
  async get(name: string, version: string, semantics?: number): Promise<ServedPolicySet> {
    const key = `${name} ${version} ${semantics}`;
    const loading = this.kept.get(key) ?? this.load(name, version, semantics);
    this.kept.delete(key);
    this.kept.set(key, loading);
    loading.catch(() => this.kept.delete(key));
    for (const [oldest, loaded] of this.kept) {
      if (this.kept.size <= keptVersions) break;
      this.kept.delete(oldest);
      loaded.then(({ retire }) => retire()).catch(() => undefined);
    }
    return (await loading).served;
  }

  /**
   * Loads a version that the caller keeps and stops, with the live data that it had.
   *
   * @throws VerdictError `policy_version_not_found`, `policy_version_invalid`
   */
  async load(name: string, version: string, semantics?: number): Promise<LoadedPolicySet> {
    const loaded = await this.loadWith(name, version, semantics, ({ dataRevision: revision }) => {
      return revision === undefined ? undefined : () => this.dataAt(name, version, revision);
    });
    if (loaded.served.version === version) return loaded;
    await loaded.stop();
    const detail = `The version cannot be loaded: the live data that is kept of ${name} ${version} is damaged.`;
    throw new VerdictError('policy_version_invalid', detail);
  }

  /**
   * Loads the files of a version, which the caller keeps and stops.
   *
   * @param data the live data to load them with
   * @throws as `load` does
   */
  loadFiles(
    name: string,
    version: string,
    semantics: number | undefined,
    data: LoadOptions['data'],
  ): Promise<LoadedPolicySet> {
    return this.loadWith(name, version, semantics, () => data);
  }

  private async dataAt(name: string, version: string, revision: number): Promise<DataSnapshot> {
    const entries = await this.data?.entriesAt(name, revision);
    if (entries === undefined) throw versionNotFound(name, version);
    return { ...entries, revisions: { files: 0, data: revision } };
  }

  private async loadWith(
    name: string,
    version: string,
    semantics: number | undefined,
    dataOf: (archived: ArchivedVersion) => LoadOptions['data'],
  ): Promise<LoadedPolicySet> {
    const archived = await this.archive?.version(name, version);
    const files = archived === undefined ? undefined : await this.filesOf(name, version);
    if (archived === undefined || files === undefined) {
      throw versionNotFound(name, version);
    }
    const number = semantics ?? archived.semantics;
    if (!isSemantics(number)) {
      const known = `this engine knows ${semanticsBeforeNumbers} to ${currentSemantics}`;
      throw new VerdictError('policy_version_invalid', `The version is meant under semantics ${number}, and ${known}.`);
    }
    try {
      return await loadPolicySet(files, { semantics: number, data: dataOf(archived), hash: this.hash });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      throw new VerdictError('policy_version_invalid', `The version cannot be loaded: ${error.message}.`, {
        cause: error,
      });
    }
  }

  private async filesOf(name: string, version: string): Promise<PolicySetFiles | undefined> {
    try {
      return await this.archive?.files(name, version);
    } catch (error) {
      if (!(error instanceof DamagedVersion)) throw error;
      throw new VerdictError('policy_version_invalid', `The version cannot be loaded: ${error.message}.`, {
        cause: error,
      });
    }
  }

  async stop(): Promise<void> {
    const all = [...this.kept.values()];
    this.kept.clear();
    await Promise.all(all.map((loading) => loading.then((loaded) => loaded.stop()).catch(() => undefined)));
  }
}
