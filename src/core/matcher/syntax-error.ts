/** Thrown by lexer and parser; `at` is an offset into the author's text. The loader turns it into a problem. */
export class MatcherSyntaxError extends Error {
  override readonly name = 'MatcherSyntaxError';

  constructor(
    readonly code: 'matcher_syntax' | 'unknown_function',
    message: string,
    readonly at: number,
    /** The unknown name, for `unknown_function`. */
    readonly unknownName?: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}
