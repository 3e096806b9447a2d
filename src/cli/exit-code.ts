/** Exit codes of every command, as scripts may rely on them. */
export const exitCodes = Object.freeze({
  fine: 0,
  /** Findings, a failing test, a deny. */
  findings: 1,
  /** The command was not called as it must be, or cannot read what it was given. */
  usage: 2,
});

/** What the person who typed the command can put right; ends it with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';

  constructor(
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}
