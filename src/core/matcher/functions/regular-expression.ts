/**
 * Regular expressions with the syntax and the answers of Go's `regexp`: RE2.
 *
 * The only importer of `re2js`, a port of Go's package. JavaScript's own RegExp differs in syntax (`(?i)`, `\z`, `\pL`,
 * `[[:alpha:]]`; it has look-around, which Casbin refuses) and backtracks: `(a+)+$` takes exponential time, and
 * patterns and names both come from outside. RE2 takes time linear in the name.
 */
import { RE2JS, RE2JSException } from 're2js';
import { FunctionError } from './function-definition.js';
import { quote } from './quote.js';

export interface RegularExpression {
  /** True when it is found anywhere in the text; only `^` and `$` tie it to the ends. */
  test(text: string): boolean;
  /** The groups of the first match, `''` for those that took no part; `undefined` when it is not found. */
  groups(text: string): readonly string[] | undefined;
}

/**
 * A program of this size still searches a name of 1,024 characters in some 10 ms. Counted repetitions are written out
 * when they are compiled, so that a few characters can make millions of instructions: `a{1000}b{1000}…`.
 */
const maximumProgramSize = 10_000;

/** Throws FunctionError when RE2 does not know the syntax, or the expression is too large. */
export function compileRegularExpression(source: string): RegularExpression {
  const compiled = compile(source);
  return {
    test: (text) => compiled.test(text),
    groups: (text) => {
      const match: (string | undefined)[] | null = compiled.exec(text);
      return match?.slice(1).map((group) => group ?? '');
    },
  };
}

function compile(source: string): RE2JS {
  if (repetitions(source) > maximumProgramSize) throw tooLarge(source);
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(source);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new FunctionError(`${quote(source)} is no regular expression: ${error.message}`);
  }
  if (compiled.programSize() > maximumProgramSize) throw tooLarge(source);
  return compiled;
}

/** No less than the copies that counted repetitions make, found without compiling them; nesting multiplies on top. */
function repetitions(source: string): number {
  let sum = 0;
  for (const [, minimum, maximum] of source.matchAll(/\{(\d{1,4})(?:,(\d{0,4}))?\}/g)) {
    sum += Math.max(Number(minimum), Number(maximum || 0));
  }
  return sum;
}

function tooLarge(source: string): FunctionError {
  return new FunctionError(`${quote(source)} is too large a regular expression`);
}
