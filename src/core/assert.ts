/** Something that the code relies on does not hold: a defect of the engine, never the fault of a request or a policy. */
export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

/**
 * Checks what the lines behind it rely on, in production too: keep the condition cheap. An evaluation in which it does
 * not hold denies; elsewhere the work ends with this error.
 */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFailed(`this should never be: ${what}`);
}
