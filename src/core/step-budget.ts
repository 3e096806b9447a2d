/**
 * How much work one evaluation may do, counted in steps and never in time, so that the same question has the same answer
 * on every machine (P3). A step is what takes ten nanoseconds or less on the machine that the constants were measured on
 * (`npm run bench:budget`).
 *
 * What is counted depends on the policy version and the request alone: work that was saved because an earlier question
 * had done it counts as if it had been done.
 */

import { StacklessError } from './stackless-error.js';

/** Steps of one evaluation, unless the manifest says otherwise: the dearest mix of work takes less than 20 ms. */
export const defaultStepBudget = 1_000_000;

/** What a manifest may say at most: a set cannot take the thread from the others for much longer. */
export const largestStepBudget = 10_000_000;

/** What counts the work. */
export interface StepMeter {
  /** @throws StepBudgetExceeded when no step is left */
  spend(steps: number): void;
  /** Whether an evaluation asks for the first time: what it keeps for its other parts counts once. */
  isFirst(owner: object, text: string): boolean;
}

/** Ends an evaluation: it denies as a whole, whatever it was about to find (P2). */
export class StepBudgetExceeded extends StacklessError {
  override readonly name = 'StepBudgetExceeded';
}

export const stepBudgetExceeded: StepBudgetExceeded = new StepBudgetExceeded('the evaluation takes too many steps');

/** For work that is not part of an evaluation. */
export const unmetered: StepMeter = Object.freeze({ spend: () => {}, isFirst: () => true });

/** A text of at most so many characters is compared for nothing. */
export const longText = 64;

/** Steps for reading, comparing or joining so many characters at the speed of the processor. */
export function stepsForText(length: number): number {
  return length >> 5;
}
