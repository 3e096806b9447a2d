/**
 * Searches a text for a compiled regular expression, counting each step.
 *
 * The instructions are those that `re2js` compiles, as RE2 and Go have them. It could search by itself, and does so
 * faster once it has seen many texts; but its first search of a text builds tables that take up to a thousand times as
 * long as the next one, so the question alone would not determine its cost. This is Thompson's simulation: it follows
 * all ways through the instructions at once, character by character, with at most one step for each instruction and
 * character.
 */
import type { StepMeter } from '../../step-budget.js';

/** An instruction of `re2js`. */
export interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  readonly runes: { readonly [index: number]: number; readonly length: number };
  matchRune(rune: number): boolean;
}

export interface PatternProgram {
  readonly inst: readonly Instruction[];
  readonly start: number;
}

/** Operation codes of `re2js`. */
const op = {
  alt: 1,
  altMatch: 2,
  capture: 3,
  emptyWidth: 4,
  fail: 5,
  match: 6,
  nop: 7,
  rune: 8,
  rune1: 9,
  any: 10,
  anyNotLine: 11,
};

const beginLine = 1;
const endLine = 2;
const beginText = 4;
const endText = 8;
const wordBoundary = 16;
const noWordBoundary = 32;

/** Stack and lists of instructions, reused by the next search. Searches never overlap. */
let space = { first: new Int32Array(0), second: new Int32Array(0), mark: new Int32Array(0), stack: new Int32Array(0) };
/**
 * The mark of instructions that are listed for the current character. It is never used twice, so marks need not be
 * cleared.
 */
let generation = 0;

/** Steps for each character, beside those for its instructions. */
const stepsPerCharacter = 3;
const stepsPerInstruction = 2;

export class PatternSearch {
  private readonly ops: Uint8Array;
  private readonly outs: Int32Array;
  private readonly args: Int32Array;
  private readonly singles: Int32Array;
  /** Whether it can match at the beginning of the text alone. */
  private readonly anchored: boolean;

  constructor(private readonly program: PatternProgram) {
    const { inst } = program;
    this.ops = Uint8Array.from(inst, (instruction) => instruction.op);
    this.outs = Int32Array.from(inst, ({ out }) => out);
    this.args = Int32Array.from(inst, ({ arg }) => arg);
    this.singles = Int32Array.from(inst, ({ runes }) => runes[0] ?? -1);
    this.anchored = this.beginsWithText();
  }

  /** Whether it is found anywhere in the text. */
  test(text: string, meter: StepMeter): boolean {
    const { ops, outs, singles, anchored } = this;
    const { inst, start } = this.program;
    makeSpace(ops.length);
    let { first: listed, second: next } = space;
    let count = 0;
    let [before, at] = [-1, 0];
    let rune = runeAt(text, 0);
    generation++;
    for (;;) {
      // The instructions that the character before led to are in `listed`; another search begins at this character.
      if (!anchored || at === 0) count = this.follow(start, listed, count, contextOf(before, rune));
      meter.spend(stepsPerInstruction * count + stepsPerCharacter);
      for (let index = 0; index < count; index++) if (ops[listed[index] as number] === op.match) return true;
      if (rune < 0 || (anchored && count === 0)) return false;
      const width = rune > 0xffff ? 2 : 1;
      const following = runeAt(text, at + width);
      const context = contextOf(rune, following);
      generation++;
      let nextCount = 0;
      for (let index = 0; index < count; index++) {
        const place = listed[index] as number;
        let matches = false;
        switch (ops[place]) {
          case op.rune1:
            matches = singles[place] === rune;
            break;
          case op.rune:
            matches = (inst[place] as Instruction).matchRune(rune);
            break;
          case op.any:
            matches = true;
            break;
          case op.anyNotLine:
            matches = rune !== lineFeed;
            break;
        }
        if (matches) nextCount = this.follow(outs[place] as number, next, nextCount, context);
      }
      [listed, next, count] = [next, listed, nextCount];
      [before, rune, at] = [rune, following, at + width];
    }
  }

  /** Lists what can be reached from an instruction without reading a character. */
  private follow(from: number, list: Int32Array, listed: number, context: number): number {
    const { ops, outs, args } = this;
    const { mark, stack } = space;
    let count = listed;
    let depth = 0;
    let place = from;
    for (;;) {
      // 0 is an instruction that fails.
      while (place !== 0 && mark[place] !== generation) {
        mark[place] = generation;
        list[count++] = place;
        switch (ops[place]) {
          case op.alt:
          case op.altMatch:
            stack[depth++] = args[place] as number;
            place = outs[place] as number;
            break;
          case op.emptyWidth:
            place = ((args[place] as number) & ~context) === 0 ? (outs[place] as number) : 0;
            break;
          case op.capture:
          case op.nop:
            place = outs[place] as number;
            break;
          default:
            place = 0;
        }
      }
      if (depth === 0) return count;
      place = stack[--depth] as number;
    }
  }

  private beginsWithText(): boolean {
    for (let place = this.program.start; ; place = this.outs[place] as number) {
      switch (this.ops[place]) {
        case op.emptyWidth:
          if (((this.args[place] as number) & beginText) !== 0) return true;
          break;
        case op.capture:
        case op.nop:
          break;
        default:
          return false;
      }
    }
  }
}

function makeSpace(length: number): void {
  if (space.mark.length >= length && generation < 2_000_000_000) return;
  const array = () => new Int32Array(Math.max(256, length));
  space = { first: array(), second: array(), mark: array(), stack: array() };
  generation = 0;
}

const lineFeed = 0x0a;

function runeAt(text: string, at: number): number {
  return text.codePointAt(at) ?? -1;
}

/** Flags of the empty matches between two characters; -1 is an end of the text. */
function contextOf(before: number, after: number): number {
  let context = isWord(before) === isWord(after) ? noWordBoundary : wordBoundary;
  if (before < 0) context |= beginText | beginLine;
  else if (before === lineFeed) context |= beginLine;
  if (after < 0) context |= endText | endLine;
  else if (after === lineFeed) context |= endLine;
  return context;
}

/** `[0-9A-Za-z_]` */
function isWord(rune: number): boolean {
  return (
    (rune >= 0x61 && rune <= 0x7a) || (rune >= 0x41 && rune <= 0x5a) || (rune >= 0x30 && rune <= 0x39) || rune === 0x5f
  );
}
