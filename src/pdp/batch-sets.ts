import type { PolicySets } from '../auth/grants.js';
import { VerdictError } from '../errors.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import { atOnce } from '../turns/at-once.js';
import { Turns } from '../turns/turns.js';
import { type BatchDemands, type Demand, demandsNothing, type UncheckedDemand } from './demand.js';
import { type FreshSets, isMet, type Need, type Standing } from './fresh-sets.js';
import { visibleName } from './visible-policy-set.js';

/**
 * Most sets whose demands are waited for, and most names in demands that the source is asked about, for one batch. For those
 * beyond it counts as a source that cannot be asked, as it does for too many requests at once.
 */
export const mostSettled = 100;
/** Names that the source is asked about at the same time. */
const askedAtOnce = 8;

/**
 * The policy sets for the questions of a batch: one version of each. It is one that meets the highest demand of all the
 * questions, if there is one; a question whose own demand it does not meet is refused, the others are answered.
 */
export class BatchSets {
  private readonly arrived = performance.now();
  private readonly standings = new Map<string, Standing>();
  /** Names in demands of which this replica knows no set, and whether the source may have one. */
  private readonly elsewhere = new Map<string, boolean>();
  /** The highest demand on each set that a question demands something of. */
  private readonly needs = new Map<string, Need>();
  /** What requests that name no set meant at first. */
  private byDefault: string | undefined;

  constructor(
    private readonly store: PolicyStore,
    private readonly fresh: FreshSets,
    private readonly visible: PolicySets,
    private readonly demands: BatchDemands,
  ) {}

  /** Waits for what the questions demand, of all sets together, so that no question has to wait when its turn comes. */
  async ready(): Promise<void> {
    const turns = new Turns();
    const { defaults, own } = this.demands;
    this.add(defaults);
    for (const demand of own) {
      if (turns.isOver) await turns.next();
      this.add({ ...defaults, ...defined(demand) });
    }
    const unmet = [...this.needs].flatMap(([name, need]) => {
      const standing = this.fresh.standingOf(name);
      if (isMet(standing, need, this.arrived)) this.standings.set(name, standing);
      return this.standings.has(name) ? [] : [name];
    });
    await Promise.all([
      ...unmet.slice(0, mostSettled).map((name) => this.settle(name)),
      this.askForUnknown([...this.elsewhere.keys()].slice(0, mostSettled)),
    ]);
    for (const name of unmet.slice(mostSettled)) this.standings.set(name, this.fresh.standingOf(name));
  }

  /** The first answer that does not come ends it: a source that cannot be asked is not waited for again and again. */
  private async askForUnknown(names: readonly string[]): Promise<void> {
    let canBeAsked = true;
    await atOnce(names, askedAtOnce, async (name) => {
      if (!canBeAsked) return;
      const isElsewhere = await this.fresh.isElsewhere(name, this.visible, this.arrived);
      if (isElsewhere === undefined) canBeAsked = false;
      else this.elsewhere.set(name, isElsewhere);
    });
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
    const missing = fresh.unknownIn(demand, name, visible).find((other) => this.elsewhere.get(other) === false);
    if (missing !== undefined) throw fresh.missing(missing);
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

  private add(unchecked: UncheckedDemand): void {
    const { policySet } = unchecked;
    const demand = validated(unchecked);
    if (demandsNothing(demand) || (policySet !== undefined && typeof policySet !== 'string')) return;
    try {
      const name = this.nameOf(policySet);
      const need = this.fresh.needOf(demand, name);
      const before = this.needs.get(name);
      this.needs.set(name, before === undefined ? need : higher(before, need));
      // What cannot be asked for counts as there, as for a single request.
      for (const other of this.fresh.unknownIn(demand, name, this.visible)) this.elsewhere.set(other, true);
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
