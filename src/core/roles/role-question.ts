/** Who asks about roles: an evaluation, which counts its steps and asks about the same names again and again. */
import { type StepMeter, unmetered } from '../step-budget.js';

export interface RoleQuestion extends StepMeter {
  /** Milliseconds since the epoch, for links that hold only for a time. */
  readonly now: number;
  /** What was found for one evaluation, by who found it; gone with the evaluation. */
  readonly memory: Map<object, unknown>;
}

/** A question outside an evaluation. */
export function questionAt(now: number): RoleQuestion {
  return { now, memory: new Map(), spend: unmetered.spend, isFirst: unmetered.isFirst };
}

/** Counts for another meter, and for itself: what was found is kept together with what finding it takes. */
export class CountingMeter implements StepMeter {
  counted = 0;

  constructor(private readonly meter: StepMeter) {}

  spend(steps: number): void {
    this.counted += steps;
    this.meter.spend(steps);
  }

  /** Always: what is kept must not depend on what an evaluation had done before. */
  isFirst(): boolean {
    return true;
  }
}
