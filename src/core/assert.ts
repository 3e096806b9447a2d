/** An invariant does not hold: a defect of the engine, never the fault of a request or a policy. */
export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

/**
 * Checks an invariant, in production too; keep the condition cheap. An evaluation whose invariant fails denies; other
 * work ends with this error.
 */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFailed(`this should never be: ${what}`);
}
