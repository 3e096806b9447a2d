/**
 * Regular expressions with the syntax and the answers of Go's `regexp`: RE2.
 *
 * The only importer of `re2js`, a port of Go's package. JavaScript's own RegExp differs in syntax (`(?i)`, `\z`, `\pL`,
 * `[[:alpha:]]`; it has look-around, which Casbin refuses) and backtracks: `(a+)+$` takes exponential time, and
 * patterns and names both come from outside. RE2 takes time linear in the name.
 */
import { RE2JS, RE2JSSyntaxException } from 're2js';
import { quote } from '../../quote.js';
import { largestStepBudget, type StepMeter } from '../../step-budget.js';
import { FunctionError } from './function-definition.js';
import { PatternSearch } from './pattern-search.js';
import { measurePattern, patternTokens } from './pattern-size.js';

/** Both functions throw FunctionError if the text is so long that a search could take most of a second. */
export interface RegularExpression {
  /** True if it is found anywhere in the text; only `^` and `$` anchor it. */
  test(text: string, meter: StepMeter): boolean;
  /** The groups of the first match, `''` for those that took no part; `undefined` when it is not found. */
  groups(text: string, meter: StepMeter): readonly string[] | undefined;
}

/** Counted repetitions are written out: without a limit `a{1000}b{1000}…` makes millions of instructions. */
const maximumProgramSize = 10_000;

/**
 * Largest product of instructions and characters, which bounds the cost of a search. An id of at most 1,024 characters
 * never reaches it; a long attribute with a large expression can.
 */
const maximumWork = maximumProgramSize * 1024;

/**
 * Throws FunctionError when RE2 does not know the syntax, or the expression is too large.
 *
 *     compileRegularExpression('(?i)^/docs/(\\d+)').groups('/DOCS/42')  // ['42']
 */
export function compileRegularExpression(source: string): RegularExpression {
  const compiled = compile(source);
  const search = new PatternSearch(compiled.re2().prog);
  const maximumLength = maximumWork / compiled.programSize();
  const checkLength = (text: string) => {
    if (text.length > maximumLength)
      throw new FunctionError(`the text is too long to be searched for ${quote(source)}`);
  };
  return {
    test: (text, meter) => {
      checkLength(text);
      return search.test(text, meter);
    },
    groups: (text, meter) => {
      checkLength(text);
      if (!search.test(text, meter)) return undefined;
      meter.spend(stepsPerGroupSearch * compiled.programSize() * (text.length + 1));
      const match: (string | undefined)[] | null = compiled.exec(text);
      return match?.slice(1).map((group) => group ?? '');
    },
  };
}

/** Steps for each instruction and character when the library finds groups, at worst. */
const stepsPerGroupSearch = 8;

/** Steps for each character of the source, at worst: long alternatives are rewritten repeatedly. */
const stepsPerCompiledCharacter = 1_500;

/** Steps for compiling an expression, by its text alone. */
export function stepsToCompile(source: string): number {
  const ofLength = stepsPerCompiledCharacter * (source.length + 4);
  // More than any evaluation has: a text of a megabyte is not even measured.
  if (ofLength > largestStepBudget) return ofLength;
  return ofLength + measurePattern(source, maximumProgramSize).hiddenSteps;
}

/**
 * Most steps for compiling one expression of a policy set: about 30 ms, for which a load stops the thread. Here a token
 * takes fewer steps than above, since the alternatives that are dearest for each character are short.
 */
const maximumStepsToCompile = 3_000_000;
const stepsPerToken = 300;

function compile(source: string): RE2JS {
  if (!isTooLarge(source)) {
    try {
      const compiled = RE2JS.compile(asRe2jsReads(source));
      if (compiled.programSize() <= maximumProgramSize) return compiled;
    } catch (error) {
      // Its message holds the whole source.
      const fault = error instanceof RE2JSSyntaxException ? error.getDescription() : 'it cannot be compiled';
      throw new FunctionError(`${quote(source)} is no regular expression: ${fault}`);
    }
  }
  throw new FunctionError(
    `${quote(source)} is too large a regular expression: repeat less, and use fewer Unicode classes and ranges without case`,
  );
}

function isTooLarge(source: string): boolean {
  const { tokens, atoms, hiddenSteps } = measurePattern(source, maximumProgramSize);
  return atoms > maximumProgramSize || stepsPerToken * tokens + hiddenSteps > maximumStepsToCompile;
}

/**
 * The same expression, written around two things that re2js refuses and Go does not: groups with the same name (here
 * they are only counted), and `[[:]`, where it takes the colon for both ends of a `[:name:]`.
 */
function asRe2jsReads(source: string): string {
  let count = 0;
  return source.replace(patternTokens, (token, offset: number) => {
    if (/^\(\?P?<[^>]+>$/.test(token)) return `${token.slice(0, -1)}_${count++}>`;
    const end = offset + token.length;
    if (/^\[.*\[:\]$/s.test(token) && !source.includes(':]', end - 1)) return `${token.slice(0, -3)}\\[:]`;
    return token;
  });
}
