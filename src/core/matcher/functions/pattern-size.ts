/**
 * How much work a regular expression is to compile, by its text alone. `re2js` writes counted repetitions out, looks
 * letters of Unicode classes up, and walks through each range of letters in search of their other case: a line of text
 * can keep it busy for seconds.
 */

/** The size of an expression, found before it is compiled. */
export interface PatternSize {
  /** Characters, escapes, classes, ends of groups and repetitions that it is made of. */
  readonly tokens: number;
  /** Atoms when each counted repetition is written out: about the instructions of its program. */
  readonly atoms: number;
  /** Steps for what its length does not show: repetitions, Unicode classes, ranges without case. */
  readonly hiddenSteps: number;
}

/** Quoted text, an escape, a class, the start of a group with its flags or name, its end, a repetition, a character. */
export const patternTokens =
  /\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?|\((?:\?P?<[^>]{0,100}>|\?[a-z-]*:?)?|\)|\{\d{1,4}(?:,\d{0,4})?\}|./gisu;

const stepsPerRepeatedAtom = 150;
const stepsPerUnicodeClass = 20_000;
const stepsPerUnicodeClassWithoutCase = 40_000;
/** For each letter of a range, when case says nothing. */
const stepsPerLetter = 4;
/** Letters beyond this one have no case. */
const lastLetterWithCase = 0x1e943;

/**
 * Measures an expression. An atom counts 1; a counted repetition multiplies the atom or the group before it. It stops
 * where `most` atoms are exceeded, so it takes no longer than that many tokens.
 *
 *     measurePattern('(ab){100}', 1_000).atoms        // 200
 *     measurePattern('(?i)[Ā-\\x{1ffff}]', 1_000)     // hiddenSteps: 500,000
 */
export function measurePattern(source: string, most: number): PatternSize {
  const ignoresCase = /\(\?[a-z]*i/i.test(source);
  const outer: number[] = [];
  let [tokens, repeated, steps] = [0, 0, 0];
  let size = 0;
  let last = 0;
  for (const [token] of source.matchAll(patternTokens)) {
    tokens++;
    if (token.startsWith('(')) {
      outer.push(size);
      size = 0;
    } else if (token === ')') {
      last = size;
      size += outer.pop() ?? 0;
    } else if (token.startsWith('{') && token.length > 1) {
      const times = Math.max(1, ...token.slice(1, -1).split(',').map(Number));
      size += last * (times - 1);
      repeated += last * (times - 1);
      last *= times;
    } else {
      last = 1;
      size += token.startsWith('\\Q') ? token.length : 1;
      if (token.length > 1) steps += stepsOfClass(token, ignoresCase);
    }
    if (size > most || tokens > most) break;
  }
  const open = outer.reduce((sum, each) => sum + each, size);
  return { tokens, atoms: open, hiddenSteps: steps + stepsPerRepeatedAtom * repeated };
}

function stepsOfClass(token: string, ignoresCase: boolean): number {
  const unicodeClasses = token.match(/\\p/gi)?.length ?? 0;
  const steps = unicodeClasses * (ignoresCase ? stepsPerUnicodeClassWithoutCase : stepsPerUnicodeClass);
  if (!ignoresCase || !token.startsWith('[')) return steps;
  let letters = 0;
  for (const [, from, to] of token.matchAll(ranges)) letters += Math.max(0, letterOf(to!) - letterOf(from!));
  return steps + stepsPerLetter * letters;
}

/** Both ends of each range in a class: a character, or an escape. */
const ranges = /(\\x\{[\da-f]+\}|\\x[\da-f]{2}|\\.|[^\\])-(\\x\{[\da-f]+\}|\\x[\da-f]{2}|\\.|[^\\])/gisu;

function letterOf(end: string): number {
  const hexadecimal = /^\\x\{?([\da-f]+)/i.exec(end)?.[1];
  const letter =
    hexadecimal === undefined
      ? end.codePointAt(end.length > 1 && end.startsWith('\\') ? 1 : 0)!
      : Number.parseInt(hexadecimal, 16);
  return Math.min(letter, lastLetterWithCase);
}
