/** The state of checking one value against a schema: steps, place, fault. */
import type { Json } from '../request.js';

/** A part of a value that does not fit its schema. */
export interface SchemaFault {
  /** The steps from the value that was checked to the place of the fault. */
  readonly path: readonly string[];
  /** The end of a sentence, without values of the request. */
  readonly message: string;
}

/** Returns the first fault of a value, or that the check took too long; undefined if the value fits. */
export type SchemaCheck = (value: Json) => SchemaFault | 'step_budget_exceeded' | undefined;

/** Most steps of one check: some ten milliseconds. */
export const maxSchemaSteps = 200_000;

/** Deepest nesting of `$ref` for one value; each takes stack frames. */
export const maxReferences = 200;

/** One check in progress. */
export class Checking {
  stepsLeft = maxSchemaSteps;
  references = 0;
  /** Above 0 inside a choice, where a mismatch is not a fault yet. */
  quiet = 0;
  readonly path: string[] = [];
  fault: SchemaFault | undefined;

  /** Counts steps. Returns false if the check has taken too long; then every test fails. */
  spend(steps: number): boolean {
    this.stepsLeft -= steps;
    return this.stepsLeft >= 0;
  }

  fail(message: string, ...below: readonly string[]): false {
    if (this.quiet === 0) this.fault ??= { path: [...this.path, ...below], message };
    return false;
  }

  /** True if a value fits. Notes no fault. */
  fits(test: Test, value: Json): boolean {
    this.quiet++;
    const fits = test(value, this);
    this.quiet--;
    return fits;
  }

  below(test: Test, value: Json, step: string): boolean {
    this.path.push(step);
    const fits = test(value, this);
    this.path.pop();
    return fits;
  }
}

/** Whether a value fits. */
export type Test = (value: Json, checking: Checking) => boolean;

/** True if no two items are equal. Linear in time. */
export function areDistinct(items: readonly Json[], checking: Checking): boolean {
  const seen = new Set<string>();
  for (const item of items) {
    const text = canonical(item, checking);
    if (seen.has(text)) return false;
    seen.add(text);
  }
  return true;
}

/** A text that is equal for equal values: members are sorted. If the steps run out, the text has no meaning. */
export function canonical(value: Json, checking?: Checking): string {
  if (checking?.spend(typeof value === 'string' ? 1 + (value.length >> 3) : 1) === false) return '';
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, checking)).join()}]`;
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name] as Json, checking)}`).join()}}`;
}
