/** The evaluation that asks about roles. It counts steps and asks about the same names repeatedly. */
import { type StepMeter, unmetered } from '../step-budget.js';

export interface RoleQuestion extends StepMeter {
  /** Milliseconds since the epoch, for links that hold only for a time. */
  readonly now: number;
  /** Results of one evaluation, by the object that found them; dropped with the evaluation. */
  readonly memory: Map<object, unknown>;
}

/** A question outside an evaluation. */
export function questionAt(now: number): RoleQuestion {
  return { now, memory: new Map(), spend: unmetered.spend, isFirst: unmetered.isFirst };
}

/** Counts for another meter and for itself, so that a result is kept with the number of its steps. */
export class CountingMeter implements StepMeter {
  counted = 0;

  constructor(private readonly meter: StepMeter) {}

  spend(steps: number): void {
    this.counted += steps;
    this.meter.spend(steps);
  }

  /** Always true: a kept result must not depend on earlier work of an evaluation. */
  isFirst(): boolean {
    return true;
  }
}
