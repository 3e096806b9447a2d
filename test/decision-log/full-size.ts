/** `VERDICT_TEST_LOG_SIZE=full` (`npm run proofs -- log-size`) has tests of the log run at the size that is promised. */
export const isFullSize = process.env.VERDICT_TEST_LOG_SIZE === 'full';

/** Prints what a run at full size measured. */
export function report(what: string): void {
  if (isFullSize) process.stderr.write(`${what}\n`);
}
