/** Highest revision by policy set. */
export type RevisionsBySet = Readonly<Record<string, number>>;

/** How fresh the policy set must be that answers. What is not fresh enough does not answer (P8). */
export interface Demand {
  /** A revision of the set that answers, or revisions by set, of which that of the set that answers counts. */
  readonly atLeast?: number | RevisionsBySet | undefined;
  /** How long ago, such as `30s`, its source may have been confirmed last. */
  readonly maxStaleness?: string | undefined;
}

/**
 * What many questions at once demand together, before the first of them is answered. Nothing of it is validated yet: a
 * member of another type is left to the answer of its question.
 */
export interface BatchDemands {
  /** What holds for questions that do not say it themselves: `policySet`, `atLeast`, `maxStaleness`. */
  readonly defaults: UncheckedDemand;
  /** What questions say themselves, of those that demand anything. */
  readonly own: Iterable<UncheckedDemand>;
}

export type UncheckedDemand = Readonly<Record<string, unknown>>;

export function demandsNothing({ atLeast, maxStaleness }: Demand): boolean {
  return atLeast === undefined && maxStaleness === undefined;
}

/** The revision that is demanded of one set. */
export function revisionOf(atLeast: Demand['atLeast'], name: string): number | undefined {
  if (typeof atLeast !== 'object') return atLeast;
  return Object.hasOwn(atLeast, name) ? atLeast[name] : undefined;
}
