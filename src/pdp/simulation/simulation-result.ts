import { effects } from '../../answers/decision-parts.js';
import { Flag, Integer, OneOf, Part, Parts, Text, Texts, Time } from '../../answers/members.js';
import { type Effect, type ReasonCode, reasonCodes } from '../../core/decision.js';
import type { SimulationRun } from './simulation-run.js';
import {
  type AccessChange,
  type AskedEntity,
  type ChangeKind,
  type Counted,
  type CountedParts,
  changeKinds,
  type DecidedBy,
  type LeftOutCause,
  leftOutCauses,
  type UncheckedCause,
  uncheckedCauses,
} from './simulation-tally.js';

/** Most entries of each list in a result. */
export const mostShown = 1_000;

export class ChangedEntity implements AskedEntity {
  @Text({ optional: true })
  readonly type?: string;

  @Text()
  readonly id!: string;
}

export class DecidingRule implements DecidedBy {
  @OneOf(effects)
  readonly decision!: Effect;

  @OneOf(reasonCodes)
  readonly code!: ReasonCode;

  @Texts({ optional: true, description: 'The deciding rule, its type first.' })
  readonly rule?: readonly string[];

  @Text({ optional: true })
  readonly file?: string;

  @Integer({ optional: true })
  readonly line?: number;
}

export class ChangedError {
  @Text()
  readonly code!: string;

  @Texts({ optional: true })
  readonly rule?: readonly string[];

  @Text({ optional: true })
  readonly file?: string;

  @Integer({ optional: true })
  readonly line?: number;
}

const examplesMember = { description: 'Ids of decisions, the newest first, three at most.' };

export class ChangeByRule {
  @OneOf(changeKinds)
  readonly kind!: ChangeKind;

  @Part(() => DecidingRule, { description: 'As it was recorded.' })
  readonly before!: DecidingRule;

  @Part(() => DecidingRule, { description: 'On the candidate.' })
  readonly after!: DecidingRule;

  @Part(() => ChangedError, { optional: true, description: 'The error that appears or goes.' })
  readonly error?: ChangedError;

  @Integer()
  readonly count!: number;

  @Texts(examplesMember)
  readonly examples!: readonly string[];
}

export class ChangedAccess {
  @OneOf(changeKinds)
  readonly kind!: ChangeKind;

  @Part(() => ChangedEntity)
  readonly subject!: ChangedEntity;

  @Text()
  readonly action!: string;

  @Part(() => ChangedEntity)
  readonly resource!: ChangedEntity;

  @Integer()
  readonly count!: number;

  @Texts(examplesMember)
  readonly examples!: readonly string[];
}

export class NamedChanges {
  @Text({ optional: true })
  readonly type?: string;

  @Text()
  readonly name!: string;

  @Integer({ description: 'Decisions that become an allow.' })
  readonly gained!: number;

  @Integer({ description: 'Decisions that become a deny.' })
  readonly lost!: number;
}

export class LeftOutDecisions {
  @OneOf(leftOutCauses)
  readonly cause!: LeftOutCause;

  @Integer()
  readonly count!: number;

  @Texts(examplesMember)
  readonly examples!: readonly string[];
}

export class UncheckedChanges {
  @OneOf(uncheckedCauses)
  readonly cause!: UncheckedCause;

  @Integer()
  readonly count!: number;
}

export class SimulationGaps {
  @Integer()
  readonly gaps!: number;

  @Integer({ description: 'Decisions that are missing in them, as far as they could be counted.' })
  readonly lost!: number;

  @Integer({ description: 'Gaps of which nobody could count what is missing.' })
  readonly uncounted!: number;
}

export class SimulationResult {
  @Text()
  readonly policySet!: string;

  @Text({ description: 'The version of the candidate, by its files.' })
  readonly candidate!: string;

  @Flag({ description: 'False when anything was left out: `leftOut`, `gaps`, `writers` and `cancelled` say what.' })
  readonly complete!: boolean;

  @Integer({ description: 'Decisions that were answered again.' })
  readonly answered!: number;

  @Integer({ description: 'Those of them that differ in answer, errors or obligations.' })
  readonly changed!: number;

  @Integer()
  readonly gained!: number;

  @Integer()
  readonly lost!: number;

  @Integer({ description: 'Decisions with an error that they did not have.' })
  readonly errorsAppeared!: number;

  @Integer()
  readonly errorsGone!: number;

  @Integer({ description: 'Decisions with the same answer and other obligations.' })
  readonly obligationsChanged!: number;

  @Integer({ description: 'Decisions that do not differ, and that another rule gives.' })
  readonly otherRule!: number;

  @Time({ optional: true, description: 'The time of the oldest decision that was looked at.' })
  readonly since?: string;

  @Time({ optional: true, description: 'That of the newest one.' })
  readonly until?: string;

  @Parts(() => LeftOutDecisions)
  readonly leftOut!: readonly LeftOutDecisions[];

  @Part(() => SimulationGaps, { optional: true, description: 'What the log itself is missing.' })
  readonly gaps?: SimulationGaps;

  @Texts({ optional: true, description: 'Replicas that have not shipped all that they decided.' })
  readonly writers?: readonly string[];

  @Flag({ optional: true, description: 'Given, as true, when it was ended before all was answered.' })
  readonly cancelled?: true;

  @Parts(() => UncheckedChanges, {
    description: 'Changes of which it is not known whether the version that answered would still answer so.',
  })
  readonly unchecked!: readonly UncheckedChanges[];

  @Parts(() => ChangeByRule, { description: 'The most frequent first; some of each kind.' })
  readonly rules!: readonly ChangeByRule[];

  @Parts(() => ChangedAccess, { description: 'The most frequent first; some of each kind.' })
  readonly access!: readonly ChangedAccess[];

  @Parts(() => NamedChanges)
  readonly subjects!: readonly NamedChanges[];

  @Parts(() => NamedChanges)
  readonly actions!: readonly NamedChanges[];

  @Parts(() => NamedChanges)
  readonly resources!: readonly NamedChanges[];

  @Flag({ description: 'Whether a list has more than it shows here.' })
  readonly more!: boolean;
}

export interface Simulated {
  readonly policySet: string;
  /** The candidate's version, by its files. */
  readonly candidate: string;
  /** What a gate counts has the room of a list that shares of kinds leave. */
  readonly gate?: readonly GateKind[] | undefined;
}

export function resultOf(
  { tally, unshipped: writers = [], isCancelled }: SimulationRun,
  { policySet, candidate, gate = [] }: Simulated,
): SimulationResult {
  const { kinds, gaps, leftOut, unchecked, rules, access } = tally;
  const isSeen = tally.since <= tally.until;
  const left = [...leftOut].map(([cause, { count, examples }]) => ({ cause, count, examples }));
  const first = gate.map((kind) => kindOfGate[kind]);
  const ruleList = mostFrequent(rules, first);
  const accessList = mostFrequent(access, first);
  const lists = [
    namesOf(access, ({ subject: { type, id } }) => ({ ...(type !== undefined && { type }), name: id })),
    namesOf(access, ({ action }) => ({ name: action })),
    namesOf(access, ({ resource: { type, id } }) => ({ ...(type !== undefined && { type }), name: id })),
  ] as const;
  const [subjects, actions, resources] = lists;
  // Nothing was said of a log in which there is nothing: a gate that passed on a mistyped name would pass on anything.
  const isAll = left.length === 0 && gaps.gaps === 0 && writers.length === 0 && !isCancelled && tally.answered > 0;
  return {
    policySet,
    candidate,
    complete: isAll,
    answered: tally.answered,
    changed: tally.changed,
    gained: kinds.gain,
    lost: kinds.loss,
    errorsAppeared: kinds.error_appeared,
    errorsGone: kinds.error_gone,
    obligationsChanged: kinds.obligations,
    otherRule: tally.otherRule,
    ...(isSeen && { since: new Date(tally.since).toISOString(), until: new Date(tally.until).toISOString() }),
    leftOut: left.sort((a, b) => leftOutCauses.indexOf(a.cause) - leftOutCauses.indexOf(b.cause)),
    ...(gaps.gaps > 0 && { gaps }),
    ...(writers.length > 0 && { writers }),
    ...(isCancelled && { cancelled: true as const }),
    unchecked: [...unchecked].map(([cause, count]) => ({ cause, count })),
    rules: ruleList.map(({ named, count, examples }) => ({ ...named, count, examples })),
    access: accessList.map(({ named, count, examples }) => ({ ...named, count, examples })),
    subjects: subjects.slice(0, mostShown),
    actions: actions.slice(0, mostShown),
    resources: resources.slice(0, mostShown),
    more:
      [rules, access].some(({ counted, beyond }) => beyond > 0 || counted.size > mostShown) ||
      lists.some((list) => list.length > mostShown),
  };
}

/** In an order that does not depend on which thread counted first. */
function mostFrequent<Named extends { readonly kind: ChangeKind }>(
  { counted }: CountedParts<Named>,
  first: readonly ChangeKind[],
): readonly Counted<Named>[] {
  const sorted = [...counted]
    .sort(([a, one], [b, other]) => other.count - one.count || (a < b ? -1 : 1))
    .map(([, counter]) => counter);
  return ofEachKind(sorted, mostShown, ({ named }) => named.kind, first);
}

/**
 * Some of a list, in its order: of each kind of change the first ones, as many as its share, and in the rest of the room the first of
 * some kinds and then of all. A thousand frequent losses do not hide one gain.
 */
export function ofEachKind<Entry>(
  entries: readonly Entry[],
  most: number,
  kindOf: (entry: Entry) => ChangeKind,
  first: readonly ChangeKind[] = [],
): readonly Entry[] {
  if (entries.length <= most) return entries;
  const share = Math.floor(most / changeKinds.length);
  const shown = new Set(
    changeKinds.flatMap((kind) => entries.filter((entry) => kindOf(entry) === kind).slice(0, share)),
  );
  for (const entry of [...entries.filter((entry) => first.includes(kindOf(entry))), ...entries]) {
    if (shown.size >= most) break;
    shown.add(entry);
  }
  return entries.filter((entry) => shown.has(entry));
}

function namesOf(
  { counted }: CountedParts<AccessChange>,
  nameOf: (change: AccessChange) => Pick<NamedChanges, 'type' | 'name'>,
): NamedChanges[] {
  const names = new Map<string, { readonly type?: string; readonly name: string; gained: number; lost: number }>();
  for (const { named, count } of counted.values()) {
    if (named.kind !== 'gain' && named.kind !== 'loss') continue;
    const name = nameOf(named);
    const key = JSON.stringify(name);
    const changes = names.get(key) ?? { ...name, gained: 0, lost: 0 };
    names.set(key, changes);
    if (named.kind === 'gain') changes.gained += count;
    else changes.lost += count;
  }
  return [...names.values()].sort((a, b) => b.gained + b.lost - a.gained - a.lost || (a.name < b.name ? -1 : 1));
}

/** What a gate can be closed by. */
export const gateKinds = ['gain', 'loss', 'error'] as const;
export type GateKind = (typeof gateKinds)[number];

/** The changes that each of them counts. */
export const kindOfGate: Readonly<Record<GateKind, ChangeKind>> = {
  gain: 'gain',
  loss: 'loss',
  error: 'error_appeared',
};

/** Decisions of these kinds; one that gains and errs is counted twice. */
export function gateCount(result: SimulationResult, kinds: readonly GateKind[]): number {
  const counts = { gain: result.gained, loss: result.lost, error: result.errorsAppeared };
  return kinds.reduce((sum, kind) => sum + counts[kind], 0);
}
