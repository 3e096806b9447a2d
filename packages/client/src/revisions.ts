import type { RevisionsBySet } from './types.js';

/** As many sets as the service takes in one demand. */
const mostSets = 100;

/** The least revision that an answer of a set may have, if one is demanded. */
export type LeastRevision = (policySet: string) => number | undefined;

/** The revisions of policy sets that answers must have at the least, since a change of this client made them. */
export class Revisions {
  /** The set that changed last is the last. It is replaced, not changed: calls that are under way hold the one of their start. */
  private bySet: ReadonlyMap<string, number> = new Map();

  /** Never goes back to a lower one. */
  raise(policySet: string, revision: number): void {
    if (!(Number.isSafeInteger(revision) && revision > 0)) throw new TypeError('a revision is a whole number above 0');
    const raised = new Map(this.bySet);
    raised.delete(policySet);
    this.bySet = raised.set(policySet, Math.max(revision, this.bySet.get(policySet) ?? 0));
  }

  all(): RevisionsBySet {
    return Object.fromEntries(this.bySet);
  }

  /**
   * What a question demands: the higher one of what it says itself and what is known. A number that it says without naming its
   * set is left as it is, since nobody here knows which set that is. A question that names no set has at most as many as
   * the service takes, those that changed last; `least` knows the others too.
   */
  demand(policySet: string | undefined, own: number | RevisionsBySet | undefined): number | RevisionsBySet | undefined {
    if (policySet !== undefined) {
      const known = this.bySet.get(policySet);
      if (typeof own === 'number' || own === undefined) return known === undefined ? own : Math.max(known, own ?? 0);
      return known === undefined ? own : { ...own, [policySet]: Math.max(known, own[policySet] ?? 0) };
    }
    if (typeof own === 'number' || this.bySet.size === 0) return own;
    const all = new Map(Object.entries(own ?? {}));
    const others = [...this.bySet.keys()].filter((set) => !all.has(set));
    const left = Math.max(0, others.length - Math.max(0, mostSets - all.size));
    for (const set of [...all.keys(), ...others.slice(left)]) {
      all.set(set, Math.max(this.bySet.get(set) ?? 0, all.get(set) ?? 0));
    }
    return Object.fromEntries(all);
  }

  /** What the answer is held against, whatever was sent. */
  least(own: number | RevisionsBySet | undefined): LeastRevision {
    const { bySet } = this;
    const ofOwn = (policySet: string) => {
      if (typeof own !== 'object' || own === null) return own;
      return Object.hasOwn(own, policySet) ? own[policySet] : undefined;
    };
    return (policySet) => {
      const [known, asked] = [bySet.get(policySet), ofOwn(policySet)];
      return known === undefined || asked === undefined ? (known ?? asked) : Math.max(known, asked);
    };
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
