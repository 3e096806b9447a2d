import { PolicyError } from '../../core/problem.js';
import { policySetNotFound, VerdictError } from '../../errors.js';
import { OneAtATime } from '../../turns/one-at-a-time.js';
import type { SentBundle, SentBundles } from '../bundle/sent-bundles.js';
import type { LiveDataStore } from '../data/live-data-store.js';
import { invalidSet, refuseFaultyFiles } from '../invalid-set.js';
import { loadPolicySet } from '../load-policy-set.js';
import { type PolicySetFiles, versionOf } from '../policy-set-files.js';
import type { DatabaseSource } from './database-source.js';
import {
  DataChanged,
  type Expected,
  type PolicyRepository,
  requireExpected,
  type StoredPolicySet,
} from './policy-repository.js';

/** A set that was written: a client that demands this revision is answered from it, or not at all. */
export interface WrittenPolicySet {
  readonly set: string;
  readonly version: string;
  readonly revision: number;
}

interface PutNote {
  readonly expected: Expected;
  readonly by: string;
  readonly gitCommit?: string | undefined;
}

/** A set that is to be written, and the commit that its files come from, where that is said. */
interface ReadSet {
  readonly set: PolicySetFiles;
  readonly gitCommit: string | undefined;
}

/** Most sets that are checked and written, or wait for it: eight behind the one whose turn it is, four of one caller. */
const writingLimits = { pieces: 9, piecesOfCaller: 4 };

/** Writes policy sets into the database, and reads them as they were written. What every replica would refuse to serve is not written. */
export class PolicyWriting {
  /** A check may have a thread and an engine of its own, and the memory of all its rules (P10). */
  private readonly writes = new OneAtATime(writingLimits);

  /** @param bundles opens those that are sent */
  constructor(
    private readonly repository: PolicyRepository,
    private readonly source: DatabaseSource,
    private readonly bundles: SentBundles,
    private readonly data: LiveDataStore,
    private readonly maxSets: number,
  ) {}

  /**
   * Compiles, lints and tests the files, writes them in place of those of the set, and has this replica serve them; one set
   * after another.
   *
   * @param note `by`: who writes
   * @throws VerdictError `policy_set_invalid` with every problem, `precondition_required`, `precondition_failed`,
   *   `policy_writes_in_progress`, `bundle_refused` where sets must be signed,
   *   `too_many_policy_sets`
   */
  put(set: PolicySetFiles, note: PutNote): Promise<WrittenPolicySet> {
    this.bundles.refuseUnsigned(set.name);
    return this.inTurn(set.name, note, async () => ({ set, gitCommit: note.gitCommit }));
  }

  /**
   * As `put`, for a set that comes as a bundle. Its revision is not kept: the database numbers sets itself.
   *
   * @throws VerdictError as `put`, and `bundle_refused`, `payload_too_large`, `bundle_keys_unavailable`
   */
  putBundle(name: string, sent: SentBundle, note: Omit<PutNote, 'gitCommit'>): Promise<WrittenPolicySet> {
    return this.inTurn(name, note, async () => {
      const { set, problems, manifest } = await this.bundles.open(name, sent);
      if (problems.length > 0) throw invalidSet(problems);
      return { set, gitCommit: manifest.gitCommit };
    });
  }

  private async inTurn(name: string, note: PutNote, read: () => Promise<ReadSet>): Promise<WrittenPolicySet> {
    if (!this.writes.hasRoomFor(note.by)) {
      const detail = 'Too many policy sets are being checked, from the caller or in all.';
      throw new VerdictError('policy_writes_in_progress', detail, { retryAfter: 1 });
    }
    return this.writes.run(note.by, () => this.putNow(name, note, read));
  }

  private async putNow(
    name: string,
    { expected, by }: PutNote,
    read: () => Promise<ReadSet>,
  ): Promise<WrittenPolicySet> {
    // What would not be written is neither verified nor compiled. The repository looks again, since others write meanwhile.
    const { files } = await this.data.revisions(name);
    requireExpected(name, await this.repository.revisions(name), expected);
    if (expected === 'new') await this.requireRoom();
    const { set, gitCommit } = await read();
    if (expected === 'new') await this.removeData(name, by, files);
    const revision = await this.checkAndWrite(set, { expected, by }, gitCommit);
    // The change is made; that this replica cannot serve it yet is for its health to say.
    await this.source.reload(set.name).catch(() => undefined);
    return { set: set.name, version: versionOf(set.files), revision };
  }

  /**
   * What no replica would serve is not written. Two that are written at the same time on two replicas may both be the last; the
   * one too many is then not served, and says why.
   *
   * @throws VerdictError `too_many_policy_sets`
   */
  private async requireRoom(): Promise<void> {
    const { length } = await this.repository.heads();
    if (length < this.maxSets) return;
    const detail = `There are ${length} policy sets, and ${this.maxSets} are allowed (VERDICT_MAX_POLICY_SETS).`;
    throw new VerdictError('too_many_policy_sets', detail);
  }

  /** Files are checked with the live data of the set, and again where these have changed meanwhile. */
  private async checkAndWrite(
    set: PolicySetFiles,
    { expected, by }: PutNote,
    gitCommit: string | undefined,
  ): Promise<number> {
    for (let tries = 0; tries < maxTries; tries++) {
      const checkedData = await check(set, this.data);
      try {
        return await this.repository.write(set, { expected, by, at: Date.now(), gitCommit, checkedData });
      } catch (error) {
        if (!(error instanceof DataChanged)) throw error;
      }
    }
    const detail = `The live data of "${set.name}" are changed faster than its files can be checked with them.`;
    throw new VerdictError('policy_writes_in_progress', detail, { retryAfter: 1 });
  }

  /**
   * Removes the live data of a set that is not there: another set of that name must not get it.
   *
   * @param files the number at which it was not there; with another one somebody has written it since
   */
  private async removeData(name: string, by: string, files: number): Promise<void> {
    for (;;) {
      const { revisions, ...removed } = await this.data.entries(name);
      if (revisions.files !== files) return;
      if (removed.roles.length === 0 && removed.entities.length === 0) return;
      const change = { added: { roles: [], entities: [] }, removed, after: revisions, by, at: Date.now(), version: '' };
      if ((await this.data.write(name, change)) !== undefined) return;
    }
  }

  /**
   * A set as it was written last.
   *
   * @throws VerdictError `policy_set_not_found`
   */
  async read(name: string): Promise<StoredPolicySet> {
    const stored = await this.repository.read(name);
    if (stored === undefined) throw policySetNotFound(name);
    return stored;
  }

  /** @throws VerdictError `policy_set_not_found`, `precondition_failed` */
  async remove(name: string, { expected, by }: { readonly expected: Expected; readonly by: string }): Promise<void> {
    const files = await this.repository.remove(name, { expected, by, at: Date.now() });
    await this.removeData(name, by, files);
    await this.source.reload(name).catch(() => undefined);
  }
}

/**
 * @returns the revision of the live data that it was checked with; undefined where it has none
 * @throws VerdictError `policy_set_invalid`
 */
async function check(set: PolicySetFiles, store: LiveDataStore): Promise<number | undefined> {
  refuseFaultyFiles(set);
  try {
    const loaded = await loadPolicySet(set, { data: () => store.entries(set.name) });
    await loaded.stop();
    return loaded.data?.data;
  } catch (error) {
    if (error instanceof PolicyError) throw invalidSet(error.problems.filter(({ severity }) => severity === 'error'));
    throw error;
  }
}

/** How often files are checked anew, when the live data that they were checked with have changed meanwhile. */
const maxTries = 20;
