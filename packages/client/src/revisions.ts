import type { RevisionsBySet } from './types.js';

/** As many sets as the service takes in one demand. */
const mostSets = 100;

/** The revisions of policy sets that answers must have at the least, since a change of this client made them. */
export class Revisions {
  /** The set that changed last is the last. */
  private readonly bySet = new Map<string, number>();

  /** Never goes back to a lower one. */
  raise(policySet: string, revision: number): void {
    if (!(Number.isSafeInteger(revision) && revision > 0)) throw new TypeError('a revision is a whole number above 0');
    const highest = Math.max(revision, this.bySet.get(policySet) ?? 0);
    this.bySet.delete(policySet);
    this.bySet.set(policySet, highest);
    for (const [oldest] of this.bySet) if (this.bySet.size > mostSets) this.bySet.delete(oldest);
  }

  all(): RevisionsBySet {
    return Object.fromEntries(this.bySet);
  }

  /**
   * What a question demands: the higher one of what it says itself and what is known. A number that it says without naming its
   * set is left as it is, since nobody here knows which set that is.
   */
  demand(policySet: string | undefined, own: number | RevisionsBySet | undefined): number | RevisionsBySet | undefined {
    if (policySet !== undefined) {
      const known = this.bySet.get(policySet);
      if (typeof own === 'number' || own === undefined) return known === undefined ? own : Math.max(known, own ?? 0);
      return known === undefined ? own : { ...own, [policySet]: Math.max(known, own[policySet] ?? 0) };
    }
    if (typeof own === 'number' || this.bySet.size === 0) return own;
    const all = { ...own };
    for (const [set, known] of this.bySet) all[set] = Math.max(known, all[set] ?? 0);
    return all;
  }

  /** As the header `Verdict-At-Least` has it. */
  header(policySet: string | undefined, own: number | RevisionsBySet | undefined): string | undefined {
    const demand = this.demand(policySet, own);
    if (demand === undefined || typeof demand === 'number') return demand?.toString();
    // A set that the question names is the only one that counts, and a number has no name that a header could not carry.
    if (policySet !== undefined) return demand[policySet]?.toString();
    return Object.entries(demand)
      .map(([set, revision]) => `${set}=${revision}`)
      .join(', ');
  }
}
