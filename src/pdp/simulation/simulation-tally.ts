/** What a simulation counts. Each thread counts for itself, within bounds, and the counts are added. */
import type { Effect, Reason } from '../../core/decision.js';

/** How an answer differs: who gains, who loses, an error that appears or goes, other obligations of an answer that is the same. */
export const changeKinds = ['gain', 'loss', 'error_appeared', 'error_gone', 'obligations'] as const;
export type ChangeKind = (typeof changeKinds)[number];

/** Why a decision was left out. */
export const leftOutCauses = [
  'masked',
  'erased',
  'drifted',
  'live_data_not_kept',
  'search',
  'not_replayable',
  'stock_engine',
  'filter_erred',
  'unreadable',
] as const;
export type LeftOutCause = (typeof leftOutCauses)[number];

/** Why a change could not be checked for drift. */
export const uncheckedCauses = ['policy_version_not_found', 'live_data_not_kept', 'masked', 'stock_engine'] as const;
export type UncheckedCause = (typeof uncheckedCauses)[number];

/** Why an answer is as it is: the reason without what a rule says to people. */
export type DecidedBy = Pick<Reason, 'code' | 'rule' | 'file' | 'line'> & { readonly decision: Effect };

export interface AskedEntity {
  readonly type?: string;
  readonly id: string;
}

export interface ErrorName {
  readonly code: string;
  readonly rule?: readonly string[];
  readonly file?: string;
  readonly line?: number;
}

/** Changes of one kind by the same rules. */
export interface RuleChange {
  readonly kind: ChangeKind;
  readonly before: DecidedBy;
  readonly after: DecidedBy;
  /** The error that appears or goes. */
  readonly error?: ErrorName;
}

/** Who gains or loses what. */
export interface AccessChange {
  readonly kind: ChangeKind;
  readonly subject: AskedEntity;
  readonly action: string;
  readonly resource: AskedEntity;
}

/** How often something was counted, and the ids of the newest of these decisions. */
export interface Counted<Named> {
  readonly named: Named;
  count: number;
  /** The newest first. */
  examples: string[];
}

/** Most examples of each. */
export const mostExamples = 3;
/** Most different changes that are kept of each list, in a thread; what comes beyond is counted alone. */
export const mostKept = 10_000;

/** A list of what was counted, by a text that tells one from another. */
export interface CountedParts<Named> {
  readonly counted: ReadonlyMap<string, Counted<Named>>;
  /** Decisions that were counted under nothing, since the list was full. */
  readonly beyond: number;
}

/** Decisions that are missing in the log. */
export interface LostDecisions {
  /** Number of gaps. */
  readonly gaps: number;
  /** Decisions that are missing, as far as they could be counted. */
  readonly lost: number;
  /** Gaps of which nobody could count what is missing. */
  readonly uncounted: number;
}

export interface TallyParts {
  readonly answered: number;
  readonly changed: number;
  /** Answers that are the same and that another rule gives. */
  readonly otherRule: number;
  /** The times of the oldest and the newest decision that was answered or left out, in milliseconds since 1970. */
  readonly since: number;
  readonly until: number;
  readonly kinds: Readonly<Record<ChangeKind, number>>;
  readonly leftOut: ReadonlyMap<LeftOutCause, { readonly count: number; readonly examples: readonly string[] }>;
  readonly unchecked: ReadonlyMap<UncheckedCause, number>;
  readonly gaps: LostDecisions;
  readonly rules: CountedParts<RuleChange>;
  readonly access: CountedParts<AccessChange>;
}

/** Something that is counted when the same question comes again. */
export type Counter = Counted<unknown>;

class CountedList<Named> {
  readonly counted = new Map<string, Counted<Named>>();
  private readonly rest: Counted<unknown> = { named: undefined, count: 0, examples: [] };

  /** The counter of what has this key; that of all others where the list is full. */
  counterOf(key: string, named: Named): Counter {
    let counter = this.counted.get(key);
    if (counter !== undefined) return counter;
    if (this.counted.size >= mostKept) return this.rest;
    counter = { named, count: 0, examples: [] };
    this.counted.set(key, counter);
    return counter;
  }

  get parts(): CountedParts<Named> {
    return { counted: this.counted, beyond: this.rest.count };
  }

  add({ counted, beyond }: CountedParts<Named>): void {
    this.rest.count += beyond;
    for (const [key, { named, count, examples }] of counted) {
      const counter = this.counterOf(key, named);
      counter.count += count;
      for (const id of examples) noteExample(counter.examples, id);
    }
  }
}

/** Ids are in the order of their times, so the newest examples are the same however the log is divided between threads. */
function noteExample(examples: string[], id: string): void {
  if (examples.length === mostExamples && id <= examples.at(-1)!) return;
  const at = examples.findIndex((known) => known < id);
  examples.splice(at === -1 ? examples.length : at, 0, id);
  if (examples.length > mostExamples) examples.pop();
}

export class SimulationTally {
  answered = 0;
  changed = 0;
  otherRule = 0;
  private gaps: LostDecisions = { gaps: 0, lost: 0, uncounted: 0 };
  private since = Number.POSITIVE_INFINITY;
  private until = Number.NEGATIVE_INFINITY;
  private readonly kinds: Record<ChangeKind, number> = {
    gain: 0,
    loss: 0,
    error_appeared: 0,
    error_gone: 0,
    obligations: 0,
  };
  private readonly leftOut = new Map<LeftOutCause, { count: number; examples: string[] }>();
  private readonly unchecked = new Map<UncheckedCause, number>();
  private readonly rules = new CountedList<RuleChange>();
  private readonly access = new CountedList<AccessChange>();

  /** Notes the time of a decision, in milliseconds since 1970. */
  see(time: number): void {
    if (time < this.since) this.since = time;
    if (time > this.until) this.until = time;
  }

  leave(cause: LeftOutCause, id?: string): void {
    let left = this.leftOut.get(cause);
    if (left === undefined) {
      left = { count: 0, examples: [] };
      this.leftOut.set(cause, left);
    }
    left.count++;
    if (id !== undefined) noteExample(left.examples, id);
  }

  /** Notes a gap; `lost` is null where nobody could count. */
  lose(lost: number | null): void {
    const { gaps, lost: before, uncounted } = this.gaps;
    this.gaps = { gaps: gaps + 1, lost: before + (lost ?? 0), uncounted: uncounted + (lost === null ? 1 : 0) };
  }

  /** Where changes by these rules, and of this access, are counted. */
  countersOf(rules: readonly RuleChange[], access: readonly AccessChange[]): Counter[] {
    return [
      ...rules.map((change) => this.rules.counterOf(JSON.stringify(change), change)),
      ...access.map((change) => this.access.counterOf(JSON.stringify(change), change)),
    ];
  }

  /** Counts a decision that is answered otherwise. */
  change(
    kinds: readonly ChangeKind[],
    counters: readonly Counter[],
    unchecked: UncheckedCause | undefined,
    id: string,
  ): void {
    this.answered++;
    this.changed++;
    for (const kind of kinds) this.kinds[kind]++;
    for (const counter of counters) {
      counter.count++;
      noteExample(counter.examples, id);
    }
    if (unchecked !== undefined) this.unchecked.set(unchecked, (this.unchecked.get(unchecked) ?? 0) + 1);
  }

  get parts(): TallyParts {
    const { answered, changed, otherRule, since, until, kinds, leftOut, unchecked, gaps } = this;
    const lists = { rules: this.rules.parts, access: this.access.parts };
    return { answered, changed, otherRule, since, until, kinds, leftOut, unchecked, gaps, ...lists };
  }

  /** Adds what another thread counted. */
  add(parts: TallyParts): void {
    this.answered += parts.answered;
    this.changed += parts.changed;
    this.otherRule += parts.otherRule;
    this.since = Math.min(this.since, parts.since);
    this.until = Math.max(this.until, parts.until);
    for (const kind of changeKinds) this.kinds[kind] += parts.kinds[kind];
    for (const [cause, { count, examples }] of parts.leftOut) {
      for (const id of examples) this.leave(cause, id);
      this.leftOutAgain(cause, count - examples.length);
    }
    for (const [cause, count] of parts.unchecked) this.unchecked.set(cause, (this.unchecked.get(cause) ?? 0) + count);
    const { gaps, lost, uncounted } = parts.gaps;
    this.gaps = {
      gaps: this.gaps.gaps + gaps,
      lost: this.gaps.lost + lost,
      uncounted: this.gaps.uncounted + uncounted,
    };
    this.rules.add(parts.rules);
    this.access.add(parts.access);
  }

  /** Counts more decisions that were left out for a cause. */
  leftOutAgain(cause: LeftOutCause, count: number): void {
    if (count <= 0) return;
    const left = this.leftOut.get(cause) ?? { count: 0, examples: [] };
    this.leftOut.set(cause, left);
    left.count += count;
  }
}
