/** Exit codes of every command, as scripts may rely on them. */
export const exitCodes = Object.freeze({
  fine: 0,
  /** Findings, a failing test, a deny. */
  findings: 1,
  /** Wrong usage, or input that cannot be read. */
  usage: 2,
});

/** An error that the user can correct. It ends the command with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';

  constructor(
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}
