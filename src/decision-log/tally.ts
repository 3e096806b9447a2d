import type { NewDecisionRecord } from './decision-record.js';

/** Fields that decisions are counted by, besides the minute. */
export const tallyFields = ['policySet', 'policyVersion', 'decision', 'reason', 'caller'] as const;
export type TallyField = (typeof tallyFields)[number];
/** Those whose values are names that people gave; an encrypted file hides them. */
export const namedFields: readonly TallyField[] = ['policySet', 'caller'];

/** The number of decisions of one minute (since 1970, UTC) that agree in every field. */
export type TallyRow = { readonly minute: number; readonly count: number } & { readonly [field in TallyField]: string };

type Level = Map<string | number, Level | number>;

/** Counts decisions, one map inside another: on the path of every decision that is cheaper than to make up a key. */
export class Tally {
  private readonly minutes: Level = new Map();
  private counted = 0;
  private groupCount = 0;

  /** Number of decisions that were counted. */
  get total(): number {
    return this.counted;
  }

  /** Number of rows. */
  get size(): number {
    return this.groupCount;
  }

  /** `time`: the record's, in milliseconds since 1970. */
  add(record: Pick<NewDecisionRecord, TallyField>, time: number): void {
    const { policySet, policyVersion, decision, reason, caller } = record;
    this.count(Math.floor(time / 60_000), policySet, policyVersion, decision, reason.code, caller, 1);
  }

  addRow({ minute, policySet, policyVersion, decision, reason, caller, count }: TallyRow): void {
    this.count(minute, policySet, policyVersion, decision, reason, caller, count);
  }

  rows(): TallyRow[] {
    const rows: TallyRow[] = [];
    const walk = (level: Level, path: (string | number)[]): void => {
      for (const [value, next] of level) {
        if (typeof next === 'object') walk(next, [...path, value]);
        else {
          const [minute, policySet, policyVersion, decision, reason] = path as [number, string, string, string, string];
          rows.push({ minute, policySet, policyVersion, decision, reason, caller: value as string, count: next });
        }
      }
    };
    walk(this.minutes, []);
    return rows;
  }

  private count(
    minute: number,
    policySet: string,
    policyVersion: string,
    decision: string,
    reason: string,
    caller: string,
    count: number,
  ): void {
    let level = below(this.minutes, minute);
    level = below(level, policySet);
    level = below(level, policyVersion);
    level = below(level, decision);
    level = below(level, reason);
    const known = level.get(caller) as number | undefined;
    if (known === undefined) this.groupCount++;
    level.set(caller, (known ?? 0) + count);
    this.counted += count;
  }
}

function below(level: Level, value: string | number): Level {
  let next = level.get(value) as Level | undefined;
  if (next === undefined) {
    next = new Map();
    level.set(value, next);
  }
  return next;
}
