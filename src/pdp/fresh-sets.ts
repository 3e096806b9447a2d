import type { PolicySets } from '../auth/grants.js';
import { parseDuration } from '../core/duration.js';
import { pointerStep } from '../core/json-pointer.js';
import { type ErrorCode, VerdictError } from '../errors.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import { type Demand, demandsNothing, revisionOf } from './demand.js';
import { type LatestRevision, LatestRevisions } from './latest-revisions.js';
import { visibleName, visiblePolicySet } from './visible-policy-set.js';

/** How long a request waits for what it demands, in milliseconds. */
const waitMs = 100;

/** The codes that demands are refused with. */
export const refusalCodes = ['policy_too_old', 'unknown_revision', 'no_revision'] as const satisfies ErrorCode[];
type RefusalCode = (typeof refusalCodes)[number];

/** What a demand, and the configuration, ask of one set. */
export interface Need {
  readonly atLeast: number | undefined;
  /** Highest age in milliseconds. */
  readonly maxAgeMs: number;
}

/** A set as it stood at one moment. */
export interface Standing {
  readonly name: string;
  readonly set: ServedPolicySet | undefined;
  /** When what serves was last known to be what the source has, by the monotonic clock; `-Infinity` if it never was. */
  readonly confirmed: number;
  /** What the source said, where it was asked. */
  readonly latest?: LatestRevision | undefined;
}

/**
 * The policy sets for requests that may demand how fresh these are (P8): a set that is not as fresh as demanded does not
 * answer. A request waits for a moment for what it demands; then the source is asked whether it has that at all.
 *
 * `VERDICT_MAX_STALENESS` holds for every request: a request can demand less staleness, not more.
 */
export class FreshSets {
  /** How many demands were refused, by code. */
  readonly refusals = new Map<RefusalCode, number>();
  private readonly latest: LatestRevisions;

  constructor(private readonly store: PolicyStore) {
    this.latest = new LatestRevisions(store);
  }

  /** Whether the set need not be looked at for this demand. */
  isFree(demand: Demand): boolean {
    return demandsNothing(demand) && this.store.maxStalenessMs === undefined;
  }

  /**
   * The set that a request names, among those that the caller may use. A promise only where it must be waited for.
   *
   * @param name by default the default set
   * @throws VerdictError `no_policy_set`, `policy_set_not_found`, `policy_set_unavailable`, and because of the demand
   *   `policy_too_old`, `unknown_revision`, `no_revision`; at once or by rejecting
   */
  find(visible: PolicySets, name: string | undefined, demand: Demand): ServedPolicySet | Promise<ServedPolicySet> {
    if (this.isFree(demand)) return visiblePolicySet(this.store, visible, name);
    const chosen = visibleName(this.store, visible, name);
    if (chosen === undefined) return this.store.resolve();
    const arrived = performance.now();
    const unknown = this.unknownIn(demand, chosen, visible);
    if (unknown.length === 0) {
      const standing = this.standingOf(chosen);
      if (isMet(standing, this.needOf(demand, chosen), arrived)) return standing.set ?? this.store.resolve(chosen);
    }
    return this.findLater(visible, chosen, demand, unknown, arrived);
  }

  private async findLater(
    visible: PolicySets,
    name: string,
    demand: Demand,
    unknown: readonly string[],
    arrived: number,
  ): Promise<ServedPolicySet> {
    for (const other of unknown) await this.refuseUnknown(other, visible, arrived);
    const standing = await this.settle(name, this.needOf(demand, name), arrived);
    this.refuseUnmet(standing, demand, arrived);
    return standing.set ?? this.store.resolve(name);
  }

  needOf({ atLeast, maxStaleness }: Demand, name: string): Need {
    const demanded = maxStaleness === undefined ? undefined : parseDuration(maxStaleness);
    const { maxStalenessMs = Number.POSITIVE_INFINITY } = this.store;
    return {
      atLeast: revisionOf(atLeast, name),
      maxAgeMs: Math.min(demanded ?? Number.POSITIVE_INFINITY, maxStalenessMs),
    };
  }

  /**
   * Waits until the set meets the need, for a moment at most, and asks the source where its revision does not.
   *
   * @param arrived when the request came, by the monotonic clock
   */
  async settle(name: string, need: Need, arrived: number): Promise<Standing> {
    const served = this.store.served(name);
    let latest: LatestRevision | undefined;
    // Where the source gives no revisions there is nothing to wait for.
    if (need.atLeast !== undefined && served !== undefined && served.revision === undefined) {
      latest = await this.latest.of(name, arrived);
    }
    if (latest !== 'none') {
      const left = waitMs - (performance.now() - arrived);
      await this.store.until(() => isMet(this.standingOf(name), need, arrived), left);
    }
    if (latest === undefined && !hasRevision(this.store.served(name), need)) {
      latest = await this.latest.of(name, arrived);
    }
    return { ...this.standingOf(name), latest };
  }

  /** @throws VerdictError `policy_too_old`, `unknown_revision`, `no_revision` */
  refuseUnmet(standing: Standing, demand: Demand, arrived: number): void {
    const need = this.needOf(demand, standing.name);
    if (isMet(standing, need, arrived)) return;
    const pointer = typeof demand.atLeast === 'object' ? `/atLeast/${pointerStep(standing.name)}` : '/atLeast';
    const refusal = refusalOf(standing, need, arrived, pointer);
    if (refusal !== undefined) throw this.counted(refusal);
  }

  /**
   * Names in `atLeast` of which this replica knows no set. A demand with a slip in the name would otherwise be met by
   * whatever is served.
   */
  unknownIn({ atLeast }: Demand, chosen: string, visible: PolicySets): readonly string[] {
    if (typeof atLeast !== 'object') return [];
    const isKnown = (name: string) => name === chosen || (isVisible(name, visible) && this.store.knows(name));
    return Object.keys(atLeast).filter((name) => !isKnown(name));
  }

  /** @throws VerdictError `unknown_revision` if the source does not know the set either, or the caller may not use it */
  async refuseUnknown(name: string, visible: PolicySets, since: number): Promise<void> {
    if ((await this.isElsewhere(name, visible, since)) === false) throw this.missing(name);
  }

  /** Whether the source knows a set that the caller may use and this replica does not know; undefined where it cannot be asked. */
  async isElsewhere(name: string, visible: PolicySets, since: number): Promise<boolean | undefined> {
    if (!isVisible(name, visible)) return false;
    const latest = await this.latest.of(name, since);
    return latest === 'unknown' ? undefined : latest !== 'none';
  }

  /** The refusal of a demand that names a set which there is not. */
  missing(name: string): VerdictError {
    const detail = `names the policy set "${name}", which there is not`;
    return this.counted(refused('unknown_revision', `/atLeast/${pointerStep(name)}`, detail));
  }

  standingOf(name: string): Standing {
    return { name, set: this.store.served(name), confirmed: performance.now() - this.store.ageOf(name) };
  }

  private counted(refusal: VerdictError): VerdictError {
    const code = refusal.code as RefusalCode;
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
    return refusal;
  }
}

/**
 * Whether a set that stands so meets a need of a request that came then. The age counts from when the request came: a
 * confirmation that began later is as good as one that is new.
 */
export function isMet({ set, confirmed }: Standing, need: Need, arrived: number): boolean {
  return hasRevision(set, need) && arrived - confirmed <= need.maxAgeMs;
}

function hasRevision(set: ServedPolicySet | undefined, { atLeast }: Need): boolean {
  return atLeast === undefined || (set?.revision ?? 0) >= atLeast;
}

/** Why a need is not met; undefined where the set is not there, and known not to be. */
function refusalOf(standing: Standing, need: Need, arrived: number, pointer: string): VerdictError | undefined {
  const { name, set, confirmed, latest } = standing;
  const { atLeast, maxAgeMs } = need;
  if (atLeast === undefined || hasRevision(set, need)) {
    const age = Number.isFinite(confirmed)
      ? `was known to be current ${inSeconds(arrived - confirmed)} ago`
      : 'is not known to be current';
    return tooOld(`What is served of the policy set "${name}" ${age}; ${inSeconds(maxAgeMs)} are accepted.`);
  }
  if (latest === 'none') {
    if (set === undefined) return undefined;
    return refused('no_revision', pointer, `is ${atLeast}, and the policy set "${name}" has no revisions`);
  }
  if (typeof latest === 'object') {
    const { revision, since } = latest;
    if (revision < atLeast) {
      return refused('unknown_revision', pointer, `is ${atLeast}, and the policy set "${name}" is at ${revision}`);
    }
    // All that the source had when it had this revision was told, and there is no set: it was removed.
    if (set === undefined && confirmed >= since) return undefined;
  }
  const here = set === undefined ? 'is not known here yet' : `is at ${set.revision ?? 'an earlier version'} here`;
  const source = typeof latest === 'object' ? '' : ', and its source cannot be asked';
  return tooOld(`The policy set "${name}" ${here}, and at least ${atLeast} is demanded${source}.`);
}

/** In how many seconds a client is told to ask again. */
const retryAfter = 1;

function tooOld(detail: string): VerdictError {
  return new VerdictError('policy_too_old', detail, { retryAfter });
}

function refused(code: RefusalCode, pointer: string, detail: string): VerdictError {
  return new VerdictError(code, `The demanded revision ${detail}.`, { errors: [{ pointer, detail }] });
}

function inSeconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}

function isVisible(name: string, visible: PolicySets): boolean {
  return visible === 'all' || visible.includes(name);
}
