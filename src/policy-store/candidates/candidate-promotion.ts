import type { PolicyArchive } from '../archive/policy-archive.js';
import type { PolicyWriting } from '../database/policy-writing.js';
import type { PolicySource } from '../policy-source.js';
import type { PolicyStore } from '../policy-store.js';
import { isRun, isTaken, type PolicyCandidate } from './candidate.js';
import { candidateNotFound, notRunning } from './candidate-errors.js';
import type { CandidateStore } from './candidate-store.js';

export interface CandidatePromotionOptions {
  readonly store: CandidateStore;
  readonly policySets: PolicyStore;
  readonly source: PolicySource;
  readonly archive: PolicyArchive;
  /** Undefined where sets are not written into the database. */
  readonly writing: PolicyWriting | undefined;
}

/** Has candidates serve on every replica. */
export class CandidatePromotion {
  constructor(private readonly options: CandidatePromotionOptions) {}

  /**
   * Has a candidate serve on every replica: written in place of the set's files where the database is their source, or else
   * pinned over them as by a rollback. With that it has ended. It is taken first, so that nobody ends, replaces or promotes it
   * meanwhile, and it goes over no other version than the one that it is a candidate for.
   *
   * @param by who wants it
   * @param onUnreleased hears why one that was taken and could not be promoted stays taken for a while
   * @throws VerdictError `candidate_not_running`, `policy_set_unavailable`, `precondition_failed` where somebody has changed the
   *   set a moment ago, and as `PolicyWriting.put` and `PolicyStore.rollback`
   */
  async promote(candidate: PolicyCandidate, by: string, onUnreleased: (error: unknown) => void): Promise<void> {
    const { policySets, store } = this.options;
    const { policySet: name, base, detail, state } = candidate;
    if (isTaken(candidate, Date.now())) throw notRunning(name, 'it is being promoted');
    if (!isRun(candidate)) throw notRunning(name, `it was ${state}: ${detail}`);
    if (!(await store.take(candidate, Date.now()))) throw notRunning(name, 'somebody else has changed it a moment ago');
    try {
      // What serves by now: it may have become another version before the candidate was taken.
      const { compiled, revision } = policySets.resolve(name);
      if (compiled.versionOfFiles !== base) throw notRunning(name, `${base} does not serve any more`);
      await this.putInForce(candidate, revision, by);
    } catch (error) {
      await store.release(candidate, Date.now()).catch(onUnreleased);
      throw error;
    }
    await store.finish(candidate);
  }

  /** @param revision of what serves */
  private async putInForce(candidate: PolicyCandidate, revision: number | undefined, by: string): Promise<void> {
    const { archive, policySets, source, store, writing } = this.options;
    const { policySet: name, version, origin, base } = candidate;
    if (origin === 'files') {
      const set = await store.files(candidate);
      if (set === undefined) throw candidateNotFound(name);
      if (writing !== undefined) {
        await writing.put(set, { expected: revision ?? 'any', by });
        return;
      }
      await archive.keep(set, Date.now(), undefined, 'alone');
      await source.adopt?.(set);
    }
    await policySets.rollback(name, version, by, {
      revision,
      require: () => {
        if (policySets.served(name)?.compiled.versionOfFiles !== base) {
          throw notRunning(name, `${base} does not serve any more`);
        }
      },
    });
  }
}
