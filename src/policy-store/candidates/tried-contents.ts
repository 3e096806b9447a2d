import { PolicyError } from '../../core/problem.js';
import { currentSemantics, isSemantics, type Semantics } from '../../core/semantics.js';
import type { ValueHash } from '../../decision-log/value-hash.js';
import { VerdictError, versionNotFound } from '../../errors.js';
import type { PolicyArchive } from '../archive/policy-archive.js';
import type { LiveSets } from '../data/live-sets.js';
import { invalidSet, refuseFaultyFiles } from '../invalid-set.js';
import { loadPolicySet } from '../load-policy-set.js';
import { fileRole, type PolicySetFiles } from '../policy-set-files.js';
import type { PolicySource } from '../policy-source.js';
import type { PolicyStore } from '../policy-store.js';

/** What is to be tried: files that are sent, or an earlier version. */
export type TriedContent = { readonly files: PolicySetFiles } | { readonly version: string };

export interface TriedContentsOptions {
  readonly policySets: PolicyStore;
  readonly source: PolicySource;
  readonly archive: PolicyArchive;
  readonly live: LiveSets;
  /** @throws VerdictError `bundle_refused` where files must be signed */
  readonly refuseUnsigned: (set: string) => void;
  readonly hash?: ValueHash | undefined;
}

/** What may become a candidate: read, and checked as a load checks it. */
export class TriedContents {
  constructor(private readonly options: TriedContentsOptions) {}

  /**
   * The files, with the tests of today where an earlier version has none of its own. An earlier version is one that the archive has:
   * one that served, or that was a candidate itself, so that each was checked once, and is again.
   *
   * @throws VerdictError `policy_set_not_found`, `policy_set_unavailable`, `policy_set_invalid`, `policy_version_not_found`,
   *   `policy_version_invalid`, `bundle_refused`
   */
  async read(
    name: string,
    content: TriedContent,
  ): Promise<{ readonly set: PolicySetFiles; readonly semantics: Semantics }> {
    const { archive, policySets, refuseUnsigned, source } = this.options;
    policySets.resolve(name);
    if ('files' in content) {
      if (source.trustsArchive) refuseUnsigned(name);
      else refuseUnsignedSource(name);
      refuseFaultyFiles(content.files);
      return { set: content.files, semantics: currentSemantics };
    }
    const { version } = content;
    const archived = await archive.version(name, version);
    const found = source.trustsArchive
      ? await archive.files(name, version)
      : await source.kept?.(name, archived?.filesVersion ?? version);
    if (archived === undefined || found === undefined) throw versionNotFound(name, version);
    const { semantics } = archived;
    if (!isSemantics(semantics)) {
      throw new VerdictError('policy_version_invalid', `The version is meant under semantics ${semantics}.`);
    }
    const files = [...found.files.filter(({ path }) => fileRole(path) !== 'test'), ...policySets.testFilesOf(name)];
    files.sort((a, b) => (a.path < b.path ? -1 : 1));
    return { set: Object.freeze({ name, files: Object.freeze(files) }), semantics };
  }

  /**
   * Compiles, lints and tests it as a load would.
   *
   * @throws VerdictError `policy_set_invalid` with every problem
   */
  async check(set: PolicySetFiles, semantics: Semantics): Promise<void> {
    const { hash, live } = this.options;
    try {
      const loaded = await loadPolicySet(set, { semantics, hash, data: () => live.snapshot({ name: set.name }) });
      await loaded.stop();
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      throw invalidSet(error.problems.filter(({ severity }) => severity === 'error'));
    }
  }
}

/** @throws VerdictError `bundle_refused` */
function refuseUnsignedSource(name: string): never {
  const detail = `files of ${name} that are sent are not signed, and VERDICT_BUNDLE_KEYS says whose signatures count`;
  throw new VerdictError('bundle_refused', `The candidate is not taken: ${detail}.`, {
    errors: [{ pointer: '/files', detail }],
  });
}
