import { sha256 } from '../../digest/sha-256.js';
import {
  type CandidateCount,
  type CandidateDifference,
  candidateCounts,
  type DifferenceKind,
  differenceKinds,
  keptDifferences,
} from './candidate.js';
import type { NewDifference } from './candidate-store.js';

/** Most differences that wait to be written. */
const mostWaiting = 50;

/** What this replica has counted and found of one candidate and not written yet. */
export class CandidateTally {
  private pending = new Map<CandidateCount, number>();
  private waiting: NewDifference[] = [];
  private readonly seen = new Map<DifferenceKind, Set<string>>(differenceKinds.map((kind) => [kind, new Set()]));

  add(count: CandidateCount, n = 1): void {
    this.pending.set(count, (this.pending.get(count) ?? 0) + n);
  }

  /** Most requests are asked many times: one difference of each subject, action and resource is enough. */
  keep(difference: CandidateDifference): void {
    const { kind, request } = difference;
    const seen = this.seen.get(kind)!;
    if (seen.size >= keptDifferences || this.waiting.length >= mostWaiting) return;
    const { subject, action, resource } = request;
    const digest = sha256([JSON.stringify([kind, subject.type, subject.id, action.name, resource.type, resource.id])]);
    if (seen.has(digest)) return;
    seen.add(digest);
    this.waiting.push({ ...difference, digest });
  }

  /** What was not written yet; it is the caller's from now on. */
  take(): { readonly counts: ReadonlyMap<CandidateCount, number>; readonly differences: readonly NewDifference[] } {
    const taken = { counts: this.pending, differences: this.waiting };
    this.pending = new Map();
    this.waiting = [];
    return taken;
  }

  /** What could not be written is tried again. */
  putBack(counts: ReadonlyMap<CandidateCount, number>, differences: readonly NewDifference[]): void {
    for (const count of candidateCounts) this.add(count, counts.get(count) ?? 0);
    this.waiting.unshift(...differences);
  }

  get isEmpty(): boolean {
    return this.pending.size === 0 && this.waiting.length === 0;
  }
}
