import { PolicyError } from '../core/problem.js';
import { currentSemantics, isSemantics, semanticsBeforeNumbers } from '../core/semantics.js';
import { VerdictError, versionNotFound } from '../errors.js';
import { type LoadedPolicySet, loadPolicySet } from './load-policy-set.js';
import type { PolicyArchive } from './policy-archive.js';
import type { ServedPolicySet } from './served-policy-set.js';

/** So many loaded versions are kept for the next who asks; a replay of a day's decisions needs one or two of each set. */
const keptVersions = 8;

/** Versions that served once, loaded again: to roll back to, and to ask what they would answer. */
export class ArchivedVersions {
  /** The one that was asked for last is last. */
  private readonly kept = new Map<string, Promise<LoadedPolicySet>>();

  constructor(private readonly archive: PolicyArchive | undefined) {}

  /**
   * A version to ask, not to serve: it is shared and may be ended when others are asked for.
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
   * A version that the caller keeps, and stops.
   *
   * @throws VerdictError `policy_version_not_found`, `policy_version_invalid`
   */
  async load(name: string, version: string, semantics?: number): Promise<LoadedPolicySet> {
    const archived = await this.archive?.version(name, version);
    const files = archived === undefined ? undefined : await this.archive?.files(name, version);
    if (archived === undefined || files === undefined) {
      throw versionNotFound(name, version);
    }
    const number = semantics ?? archived.semantics;
    if (!isSemantics(number)) {
      const known = `this engine knows ${semanticsBeforeNumbers} to ${currentSemantics}`;
      throw new VerdictError('policy_version_invalid', `The version is meant under semantics ${number}, and ${known}.`);
    }
    try {
      return await loadPolicySet(files, number);
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
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
