/**
 * Glob patterns with the answers of doublestar 4.6, which is what Casbin's globMatch calls.
 *
 * A translation of doublestar's `Match` and not a matcher of our own for the same language: the answers depend on the
 * order in which it looks (only the last `*` and the last `**` are reconsidered, a class can match a slash, alternatives
 * are put in as text), and so does whether it notices that a glob is broken.
 */
import { quote } from '../../quote.js';
import type { StepMeter } from '../../step-budget.js';
import { FunctionError } from './function-definition.js';

/**
 * Alternatives multiply: `{a,b}{a,b}{a,b}…` has 2ⁿ ways. Ordinary globs and names stay far below these bounds; a match
 * that reaches them is an error, so that time stays linear.
 */
const baseSteps = 1_000_000;
const stepsPerCharacter = 20;
const maximumAlternatives = 500;
const stepsPerCall = 10;
/** Steps for one turn of the loop, which reads a character of glob and name. */
const stepsPerTurn = 2;

/** True when the glob is well-formed in all its parts. */
export function isValidGlob(glob: string): boolean {
  let depth = 0;
  for (let index = 0; index < glob.length; index++) {
    const character = glob[index];
    if (character === '\\') {
      if (++index >= glob.length) return false;
    } else if (character === '[') {
      index++;
      if (glob[index] === '^' || glob[index] === '!') index++;
      if (index >= glob.length || glob[index] === ']') return false;
      while (index < glob.length && glob[index] !== ']') index += glob[index] === '\\' ? 2 : 1;
      if (index >= glob.length) return false;
    } else if (character === '{') {
      depth++;
    } else if (character === '}') {
      if (depth-- === 0) return false;
    }
  }
  return depth === 0;
}

/**
 * Whether the glob matches the name. Throws FunctionError where doublestar notices that the glob is broken. It does not
 * always: `{a,[}` matches `a`, so `isValidGlob` refuses more globs than this.
 *
 *     matchGlob('/a/**', '/a', meter)           // true
 *     matchGlob('*.{png,jpg}', 'x.jpg', meter)  // true
 */
export function matchGlob(glob: string, name: string, meter: StepMeter): boolean {
  meter.spend(stepsPerCall);
  return new GlobMatch(name, baseSteps + stepsPerCharacter * (glob.length + name.length), meter).match(glob, {
    globIndex: 0,
    nameIndex: 0,
    star: never,
    doubleStar: never,
    alternatives: 0,
  });
}

/** Where a star can be reconsidered: it takes the name up to `nameIndex`, the glob goes on at `globIndex`. */
interface Retry {
  readonly globIndex: number;
  readonly nameIndex: number;
}
const never: Retry = { globIndex: -1, nameIndex: -1 };

interface Start {
  readonly globIndex: number;
  readonly nameIndex: number;
  readonly star: Retry;
  readonly doubleStar: Retry;
  /** How many `{…}` were replaced on the way here. */
  readonly alternatives: number;
}

class GlobMatch {
  constructor(
    private readonly name: string,
    private steps: number,
    private readonly meter: StepMeter,
  ) {}

  match(glob: string, start: Start): boolean {
    const { name } = this;
    let { globIndex, nameIndex, star, doubleStar } = start;
    let startOfSegment = true;

    while (nameIndex < name.length) {
      this.spend(stepsPerTurn);
      // `continue`: something matched, go on behind it. `break`: nothing matched.
      switch (glob[globIndex]) {
        case undefined:
          break;

        case '*':
          globIndex++;
          if (glob[globIndex] === '*') {
            globIndex++;
            if (startOfSegment && globIndex >= glob.length) return true;
            if (startOfSegment && glob[globIndex] === '/') {
              globIndex++;
              doubleStar = { globIndex, nameIndex };
              star = never;
              continue;
            }
          }
          startOfSegment = false;
          star = { globIndex, nameIndex };
          continue;

        case '?':
          startOfSegment = false;
          if (name[nameIndex] === '/') break;
          globIndex++;
          nameIndex += widthAt(name, nameIndex);
          continue;

        case '[': {
          startOfSegment = false;
          const read = this.matchClass(glob, globIndex, codePointAt(name, nameIndex));
          globIndex = read.end;
          if (!read.matches) break;
          nameIndex += widthAt(name, nameIndex);
          continue;
        }

        case '{':
          return this.matchAlternatives(glob, { ...start, globIndex, nameIndex, star, doubleStar });

        default:
          if (glob[globIndex] === '\\' && ++globIndex >= glob.length) throw broken(glob);
          if (codePointAt(glob, globIndex) !== codePointAt(name, nameIndex)) {
            if (glob[globIndex - 1] === '\\') globIndex--;
            break;
          }
          startOfSegment = glob[globIndex] === '/';
          globIndex += widthAt(glob, globIndex);
          nameIndex += widthAt(name, nameIndex);
          continue;
      }

      if (star !== never && name[star.nameIndex] !== '/') {
        star = { globIndex: star.globIndex, nameIndex: star.nameIndex + widthAt(name, star.nameIndex) };
        ({ globIndex, nameIndex } = star);
        startOfSegment = false;
        continue;
      }
      const slash = doubleStar === never ? -1 : name.indexOf('/', doubleStar.nameIndex);
      if (slash !== -1) {
        this.spend(slash - doubleStar.nameIndex);
        doubleStar = { globIndex: doubleStar.globIndex, nameIndex: slash + 1 };
        ({ globIndex, nameIndex } = doubleStar);
        startOfSegment = true;
        continue;
      }
      this.validate(glob.slice(globIndex));
      return false;
    }
    return this.matchesNothing(glob.slice(globIndex), start.alternatives);
  }

  /**
   * Reads the class at `start` as far as doublestar does before it knows: `end` lies behind the class when it matches,
   * else where reading stopped, perhaps in the middle of it.
   */
  private matchClass(glob: string, start: number, character: number): { matches: boolean; end: number } {
    let index = start + 1;
    const next = () => {
      const member = codePointAt(glob, index);
      index += widthAt(glob, index);
      return member;
    };
    const negated = glob[index] === '!' || glob[index] === '^';
    if (negated) index++;
    if (index >= glob.length || glob[index] === ']') throw broken(glob);

    let found = false;
    let low = maximumCodePoint;
    while (index < glob.length && glob[index] !== ']') {
      this.spend(1);
      let member = next();
      const isRange = low < maximumCodePoint && member === hyphen && index < glob.length && glob[index] !== ']';
      if (isRange) {
        if (glob[index] === '\\') index++;
        member = next();
      } else if (member === backslash) {
        member = next();
      }
      found = isRange ? low <= character && character <= member : member === character;
      if (found) break;
      low = isRange ? maximumCodePoint : member;
    }
    if (found === negated) {
      if (index >= glob.length) throw broken(glob);
      return { matches: false, end: index };
    }
    while (index < glob.length && glob[index] !== ']') {
      this.spend(1);
      index += glob[index] === '\\' ? 2 : 1;
    }
    if (index >= glob.length) throw broken(glob);
    return { matches: true, end: index + 1 };
  }

  private matchAlternatives(glob: string, start: Start): boolean {
    const { before, alternatives, after } = this.splitAlternatives(glob, start.globIndex, start.alternatives);
    for (const alternative of alternatives) {
      this.spend(4 * glob.length);
      if (this.match(before + alternative + after, { ...start, alternatives: start.alternatives + 1 })) return true;
    }
    return false;
  }

  /** True if the rest of the glob matches the empty text. `/**` does, since it may mean a directory. */
  private matchesNothing(glob: string, replaced: number): boolean {
    if (['', '*', '**', '/**', '**/', '/**/'].includes(glob)) return true;
    if (!glob.startsWith('{')) {
      this.validate(glob);
      return false;
    }
    const { alternatives, after } = this.splitAlternatives(glob, 0, replaced);
    for (const alternative of alternatives) {
      this.spend(4 * glob.length);
      if (this.matchesNothing(alternative + after, replaced + 1)) return true;
    }
    return false;
  }

  private splitAlternatives(glob: string, open: number, replaced: number) {
    if (replaced >= maximumAlternatives) throw tooCostly();
    this.spend(glob.length - open);
    const alternatives: string[] = [];
    let depth = 1;
    let start = open + 1;
    for (let index = start; index < glob.length; index++) {
      const character = glob[index];
      if (character === '\\') {
        index++;
      } else if (character === '{') {
        depth++;
      } else if (character === ',' && depth === 1) {
        alternatives.push(glob.slice(start, index));
        start = index + 1;
      } else if (character === '}' && --depth === 0) {
        alternatives.push(glob.slice(start, index));
        return { before: glob.slice(0, open), alternatives, after: glob.slice(index + 1) };
      }
    }
    throw broken(glob);
  }

  private validate(rest: string): void {
    this.spend(rest.length);
    if (!isValidGlob(rest)) throw broken(rest);
  }

  private spend(steps: number): void {
    this.meter.spend(steps);
    this.steps -= steps;
    if (this.steps < 0) throw tooCostly();
  }
}

function broken(glob: string): FunctionError {
  return new FunctionError(`globMatch: the pattern is broken at ${quote(glob)}`);
}

function tooCostly(): FunctionError {
  return new FunctionError('globMatch: the pattern has too many ways to match');
}

// Go decodes the end of a text as U+FFFD, zero bytes long.
function codePointAt(text: string, index: number): number {
  return text.codePointAt(index) ?? 0xfffd;
}

function widthAt(text: string, index: number): number {
  const code = text.codePointAt(index);
  return code === undefined ? 0 : code > 0xffff ? 2 : 1;
}

const maximumCodePoint = 0x10ffff;
const hyphen = 0x2d;
const backslash = 0x5c;
