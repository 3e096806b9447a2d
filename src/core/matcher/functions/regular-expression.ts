/**
 * Regular expressions with the syntax and the answers of Go's `regexp`: RE2.
 *
 * The only importer of `re2js`, a port of Go's package. JavaScript's own RegExp differs in syntax (`(?i)`, `\z`, `\pL`,
 * `[[:alpha:]]`; it has look-around, which Casbin refuses) and backtracks: `(a+)+$` takes exponential time, and
 * patterns and names both come from outside. RE2 takes time linear in the name.
 */
import { RE2JS, RE2JSSyntaxException } from 're2js';
import { quote } from '../../quote.js';
import type { StepMeter } from '../../step-budget.js';
import { FunctionError } from './function-definition.js';
import { PatternSearch } from './pattern-search.js';

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
const stepsPerUnicodeClass = 10_000;

/** Steps for compiling an expression, by its text alone. */
export function stepsToCompile(source: string): number {
  const unicodeClasses = source.match(/\\p/gi)?.length ?? 0;
  return stepsPerCompiledCharacter * (source.length + 4) + stepsPerUnicodeClass * unicodeClasses;
}

function compile(source: string): RE2JS {
  if (!exceedsSize(source)) {
    try {
      const compiled = RE2JS.compile(asRe2jsReads(source));
      if (compiled.programSize() <= maximumProgramSize) return compiled;
    } catch (error) {
      // Its message holds the whole source.
      const fault = error instanceof RE2JSSyntaxException ? error.getDescription() : 'it cannot be compiled';
      throw new FunctionError(`${quote(source)} is no regular expression: ${fault}`);
    }
  }
  throw new FunctionError(`${quote(source)} is too large a regular expression`);
}

/** Quoted text, an escape, a class, the start of a group with its flags or name, its end, a repetition, a character. */
const tokens =
  /\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?|\((?:\?P?<[^>]{0,100}>|\?[a-z-]*:?)?|\)|\{\d{1,4}(?:,\d{0,4})?\}|./gisu;

/**
 * The same expression, written around two things that re2js refuses and Go does not: groups with the same name (here
 * they are only counted), and `[[:]`, where it takes the colon for both ends of a `[:name:]`.
 */
function asRe2jsReads(source: string): string {
  let count = 0;
  return source.replace(tokens, (token, offset: number) => {
    if (/^\(\?P?<[^>]+>$/.test(token)) return `${token.slice(0, -1)}_${count++}>`;
    const end = offset + token.length;
    if (/^\[.*\[:\]$/s.test(token) && !source.includes(':]', end - 1)) return `${token.slice(0, -3)}\\[:]`;
    return token;
  });
}

/**
 * Whether the expression is certainly too large, found before compiling it could take a second: an atom counts 1, a
 * counted repetition multiplies the atom or the group before it.
 */
function exceedsSize(source: string): boolean {
  const outer: number[] = [];
  let size = 0;
  let last = 0;
  for (const [token] of source.matchAll(tokens)) {
    if (token.startsWith('(')) {
      outer.push(size);
      size = 0;
    } else if (token === ')') {
      last = size;
      size += outer.pop() ?? 0;
    } else if (token.startsWith('{') && token.length > 1) {
      const times = Math.max(1, ...token.slice(1, -1).split(',').map(Number));
      size += last * (times - 1);
      last *= times;
    } else {
      last = 1;
      size += token.startsWith('\\Q') ? token.length : 1;
    }
    if (size > maximumProgramSize) return true;
  }
  return false;
}
