import type { PolicySets } from '../auth/grants.js';
import { VerdictError } from '../errors.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import { type BatchDemands, type Demand, demandsNothing, type UncheckedDemand } from './demand.js';
import type { FreshSets, Need, Standing } from './fresh-sets.js';
import { visibleName } from './visible-policy-set.js';

/**
 * The policy sets for the questions of a batch: one version of each. It is one that meets the highest demand of all the
 * questions, if there is one; a question whose own demand it does not meet is refused, the others are answered.
 */
export class BatchSets {
  private readonly arrived = performance.now();
  private readonly standings = new Map<string, Standing>();
  /** Names in demands of which the source knows a set, and this replica none. */
  private readonly elsewhere = new Set<string>();
  /** The highest demand on each set that a question demands something of. */
  private readonly needs: ReadonlyMap<string, Need>;
  /** What requests that name no set meant at first. */
  private byDefault: string | undefined;

  constructor(
    private readonly store: PolicyStore,
    private readonly fresh: FreshSets,
    private readonly visible: PolicySets,
    private readonly demands: BatchDemands,
  ) {
    this.needs = this.highestNeeds();
  }

  /** Waits for what the questions demand, of all sets together. Undefined where they demand nothing. */
  ready(): Promise<unknown> | undefined {
    if (this.needs.size === 0) return undefined;
    return Promise.all([...this.needs.keys()].map((name) => this.settle(name)));
  }

  /**
   * The set for one question. A promise only where it must be waited for.
   *
   * @throws VerdictError as `FreshSets.find`, at once or by rejecting: the error in the place of this answer
   */
  find(name: string | undefined, demand: Demand): ServedPolicySet | Promise<ServedPolicySet> {
    const chosen = this.nameOf(name);
    if (!this.fresh.isFree(demand)) return this.findFresh(chosen, demand);
    return this.standings.get(chosen)?.set ?? this.begin(chosen);
  }

  private async findFresh(name: string, demand: Demand): Promise<ServedPolicySet> {
    const { fresh, visible, arrived } = this;
    for (const other of fresh.unknownIn(demand, name, visible)) {
      if (this.elsewhere.has(other)) continue;
      await fresh.refuseUnknown(other, visible, arrived);
      this.elsewhere.add(other);
    }
    const standing = this.standings.get(name) ?? (await this.settle(name));
    fresh.refuseUnmet(standing, demand, arrived);
    return standing.set ?? this.begin(name);
  }

  private async settle(name: string): Promise<Standing> {
    const need = this.needs.get(name) ?? this.fresh.needOf(validated(this.demands.defaults), name);
    const standing = await this.fresh.settle(name, need, this.arrived);
    this.standings.set(name, standing);
    return standing;
  }

  /** @throws VerdictError `policy_set_not_found`, `policy_set_unavailable` */
  private begin(name: string): ServedPolicySet {
    const set = this.store.resolve(name);
    this.standings.set(name, this.fresh.standingOf(name));
    return set;
  }

  /** @throws VerdictError `no_policy_set`, `policy_set_not_found` */
  private nameOf(name: string | undefined): string {
    if (name !== undefined) return visibleName(this.store, this.visible, name)!;
    this.byDefault ??= visibleName(this.store, this.visible, undefined) ?? this.store.resolve().name;
    return this.byDefault;
  }

  private highestNeeds(): ReadonlyMap<string, Need> {
    const needs = new Map<string, Need>();
    const { defaults, own } = this.demands;
    this.add(needs, defaults);
    for (const demand of own) this.add(needs, { ...defaults, ...defined(demand) });
    return needs;
  }

  private add(needs: Map<string, Need>, unchecked: UncheckedDemand): void {
    const { policySet } = unchecked;
    const demand = validated(unchecked);
    if (demandsNothing(demand) || (policySet !== undefined && typeof policySet !== 'string')) return;
    try {
      const name = this.nameOf(policySet);
      const need = this.fresh.needOf(demand, name);
      const before = needs.get(name);
      needs.set(name, before === undefined ? need : higher(before, need));
    } catch (error) {
      // The question that names it is refused when its turn comes.
      if (!(error instanceof VerdictError)) throw error;
    }
  }
}

function higher(a: Need, b: Need): Need {
  const atLeast = Math.max(a.atLeast ?? 0, b.atLeast ?? 0);
  return { atLeast: atLeast === 0 ? undefined : atLeast, maxAgeMs: Math.min(a.maxAgeMs, b.maxAgeMs) };
}

/** A question's own member takes the place of the default as a whole; one that is not there does not. */
function defined(demand: UncheckedDemand): UncheckedDemand {
  return Object.fromEntries(Object.entries(demand).filter(([, value]) => value !== undefined));
}

/** The members that have the type of a demand. */
function validated({ atLeast, maxStaleness }: UncheckedDemand): Demand {
  const isRevision = (value: unknown) => Number.isSafeInteger(value);
  const areRevisions =
    isRevision(atLeast) ||
    (typeof atLeast === 'object' && atLeast !== null && Object.values(atLeast).every(isRevision));
  return {
    ...(areRevisions && { atLeast: atLeast as Demand['atLeast'] }),
    ...(typeof maxStaleness === 'string' && { maxStaleness }),
  };
}
