import {
  type CandidateCount,
  type CandidateCounts,
  type CandidateDifference,
  type CandidateId,
  type CandidateReason,
  candidateCounts,
  countsOf,
  type DifferenceKind,
  type PolicyCandidate,
  passedGate,
} from './candidate.js';
import type { CandidateStore } from './candidate-store.js';
import { CandidateTally } from './candidate-tally.js';
import { GateWindow, gateWindowMs } from './gate-window.js';

/** What is counted here of one candidate. */
export interface CountedTrial {
  readonly tally: CandidateTally;
  readonly window: GateWindow;
}

/** A gate that a candidate has passed. */
export interface PassedGate {
  readonly reason: CandidateReason;
  readonly detail: string;
}

/** What replicas count of candidates: here in memory, a moment later added to what all have counted. */
export class CandidateCounting {
  /** What this process has counted since it started, by set; for metrics. */
  readonly ownCounts = new Map<string, Map<CandidateCount, number>>();
  /** Differences that are not stored, by the candidate's id. */
  private readonly memory = new Map<string, CandidateDifference[]>();

  /** @param storesDifferences false: differences are kept in the memory of each replica */
  constructor(
    private readonly store: Pick<CandidateStore, 'count' | 'keep' | 'differences'>,
    private readonly storesDifferences: boolean,
  ) {}

  begin(): CountedTrial {
    return { tally: new CandidateTally(), window: new GateWindow() };
  }

  /** Counts what happened with a candidate of a set; `counted` is undefined where it does not run any more. */
  add(policySet: string, count: CandidateCount, counted: CountedTrial | undefined): void {
    let own = this.ownCounts.get(policySet);
    if (own === undefined) {
      own = new Map(candidateCounts.map((each) => [each, 0]));
      this.ownCounts.set(policySet, own);
    }
    own.set(count, own.get(count)! + 1);
    counted?.tally.add(count);
  }

  /**
   * Adds what was counted here to what all replicas have, and looks at the gates.
   *
   * @param at by the monotonic clock, in milliseconds
   * @returns the gate that is passed; undefined while none is
   * @throws DatabaseError; then what was counted is written the next time
   */
  async write(
    candidate: PolicyCandidate,
    { tally, window }: CountedTrial,
    at = performance.now(),
  ): Promise<PassedGate | undefined> {
    if (tally.isEmpty) return undefined;
    const { counts, differences } = tally.take();
    const left = [...differences];
    let all: CandidateCounts;
    try {
      for (const difference of differences) {
        if (this.storesDifferences) await this.store.keep(candidate, difference);
        else this.remember(candidate, difference);
        left.shift();
      }
      all = await this.all(candidate, counts);
    } catch (error) {
      tally.putBack(counts, left);
      throw error;
    }
    const lately = window.since(all, at);
    const passed = passedGate(all, candidate.gates);
    if (passed !== undefined) return passed;
    const passedLately = passedGate(lately, candidate.gates);
    if (passedLately === undefined) return undefined;
    return { ...passedLately, detail: `${passedLately.detail} (in the last ${gateWindowMs / 60_000} minutes)` };
  }

  /** What all replicas have counted, with `added` to it. */
  async all(candidate: CandidateId, added: ReadonlyMap<string, number> = new Map()): Promise<CandidateCounts> {
    return countsOf(await this.store.count(candidate, added));
  }

  /** The decisions that are kept since they differ, of each kind the newest first. */
  async differences({ policySet, id }: CandidateId, kind?: DifferenceKind): Promise<readonly CandidateDifference[]> {
    if (this.storesDifferences) return this.store.differences({ policySet, id }, kind);
    const kept = this.memory.get(id) ?? [];
    return kept.filter((difference) => kind === undefined || difference.kind === kind).toReversed();
  }

  /** Forgets the differences of candidates that are not there any more. */
  forgetOthers(ids: ReadonlySet<string>): void {
    for (const id of this.memory.keys()) if (!ids.has(id)) this.memory.delete(id);
  }

  private remember({ id }: CandidateId, difference: CandidateDifference): void {
    this.memory.set(id, [...(this.memory.get(id) ?? []), difference]);
  }
}
