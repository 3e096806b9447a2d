import { VerdictError } from '../core/errors.js';
import { PolicyError } from '../core/problem.js';
import { type LoadedPolicySet, loadPolicySet } from './load-policy-set.js';
import type { PolicyArchive } from './policy-archive.js';
import type { ServedPolicySet } from './served-policy-set.js';

/** So many loaded versions are kept for the next who asks; a replay of a day's decisions needs one or two of each set. */
const KEPT = 8;

/** Versions that served once, loaded again: to roll back to, and to ask what they would answer. */
export class ArchivedVersions {
  /** The one that was asked for last is last. */
  private readonly kept = new Map<string, Promise<LoadedPolicySet>>();

  constructor(private readonly archive: PolicyArchive | undefined) {}

  /**
   * A version to ask, not to serve: it is shared and may be ended when others are asked for.
   *
   * @throws VerdictError `policy_version_not_found`, `policy_version_invalid`
   */
  async get(name: string, version: string): Promise<ServedPolicySet> {
    const key = `${name} ${version}`;
    const loading = this.kept.get(key) ?? this.load(name, version);
    this.kept.delete(key);
    this.kept.set(key, loading);
    loading.catch(() => this.kept.delete(key));
    for (const [oldest, loaded] of this.kept) {
      if (this.kept.size <= KEPT) break;
      this.kept.delete(oldest);
      loaded.then(({ retire }) => retire()).catch(() => undefined);
    }
    return (await loading).served;
  }

  /**
   * A version for whoever asks to keep, and to stop.
   *
   * @throws VerdictError `policy_version_not_found`, `policy_version_invalid`
   */
  async load(name: string, version: string): Promise<LoadedPolicySet> {
    const files = await this.archive?.files(name, version);
    if (files === undefined) {
      throw new VerdictError('policy_version_not_found', `the policy set "${name}" never served version "${version}"`);
    }
    try {
      return await loadPolicySet(files);
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      throw new VerdictError('policy_version_invalid', error.message, { cause: error });
    }
  }

  async stop(): Promise<void> {
    const all = [...this.kept.values()];
    this.kept.clear();
    await Promise.all(all.map((loading) => loading.then((loaded) => loaded.stop()).catch(() => undefined)));
  }
}
