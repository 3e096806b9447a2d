/**
 * How much work one evaluation may do, counted in steps and never in time, so that the same question has the same
 * answer on every machine (P3). One step takes ten nanoseconds at most, on the machine that the constants were measured
 * on (`npm run bench:budget`).
 *
 * The count depends only on the policy version and the request: work that a cache saved counts as if it had been done.
 */

import { StacklessError } from './stackless-error.js';

/** Steps of one evaluation, unless the manifest says otherwise: the dearest mix of work takes less than 20 ms. */
export const defaultStepBudget = 1_000_000;

/** Largest `stepBudget` of a manifest, so that no set blocks the thread for long. */
export const largestStepBudget = 10_000_000;

/** Counts the steps of an evaluation. */
export interface StepMeter {
  /** @throws StepBudgetExceeded when no step is left */
  spend(steps: number): void;
  /** True if the evaluation asks for the first time. Work that it keeps for its other parts counts once. */
  isFirst(owner: object, text: string): boolean;
}

/** Ends an evaluation: it denies as a whole, whatever it was about to find (P2). */
export class StepBudgetExceeded extends StacklessError {
  override readonly name = 'StepBudgetExceeded';
}

export const stepBudgetExceeded: StepBudgetExceeded = new StepBudgetExceeded('the evaluation takes too many steps');

/** For work that is not part of an evaluation. */
export const unmetered: StepMeter = Object.freeze({ spend: () => {}, isFirst: () => true });

/** Longest text, in characters, whose comparison costs no steps. */
export const longText = 64;

/** Steps for reading, comparing or joining `length` characters. */
export function stepsForText(length: number): number {
  return length >> 5;
}
