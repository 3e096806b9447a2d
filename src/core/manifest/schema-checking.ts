/** The check of one value by a schema: its steps, where it is, what it found. */
import type { Json } from '../request.js';

/** What does not fit a schema. */
export interface SchemaFault {
  /** The steps from the value that was checked to the place of the fault. */
  readonly path: readonly string[];
  /** As the end of a sentence, without values. */
  readonly message: string;
}

/** The first fault of a value, or that it takes too long to find one; undefined when the value fits. */
export type SchemaCheck = (value: Json) => SchemaFault | 'step_budget_exceeded' | undefined;

/** Looks at a value and its parts that one check may take: some ten milliseconds. */
export const maxSchemaSteps = 200_000;

/** `$ref` inside `$ref` inside one value: each takes stack frames. */
export const maxReferences = 200;

/** One check on its way. */
export class Checking {
  stepsLeft = maxSchemaSteps;
  references = 0;
  /** Above 0 inside a choice, where what does not fit is no fault. */
  quiet = 0;
  readonly path: string[] = [];
  fault: SchemaFault | undefined;

  /** False when the check has taken too long; everything fails then. */
  spend(steps: number): boolean {
    this.stepsLeft -= steps;
    return this.stepsLeft >= 0;
  }

  fail(message: string, ...below: readonly string[]): false {
    if (this.quiet === 0) this.fault ??= { path: [...this.path, ...below], message };
    return false;
  }

  /** Whether a value fits, without a fault if it does not. */
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

/** Whether no item is there twice, in linear time. */
export function areDistinct(items: readonly Json[], checking: Checking): boolean {
  const seen = new Set<string>();
  for (const item of items) {
    const text = canonical(item, checking);
    if (seen.has(text)) return false;
    seen.add(text);
  }
  return true;
}

/** The same text for the same value: members in one order. Where the steps run out it is any text. */
export function canonical(value: Json, checking?: Checking): string {
  if (checking?.spend(typeof value === 'string' ? 1 + (value.length >> 3) : 1) === false) return '';
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, checking)).join()}]`;
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name] as Json, checking)}`).join()}}`;
}
