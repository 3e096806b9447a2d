import { type StepMeter, stepsForText } from '../../step-budget.js';

/** Matches the segments of a path against a pattern of segments, without allocating and without backtracking. */

export type Segment =
  /** This text. Slashes in it join several segments. */
  | { readonly kind: 'text'; readonly text: string }
  /** One segment of prefix, at least one character, suffix. */
  | { readonly kind: 'variable'; readonly prefix: string; readonly suffix: string }
  /** Any characters, slashes included, between two slashes or up to the end: one or more whole segments. */
  | { readonly kind: 'star' };

type Part = Exclude<Segment, { kind: 'star' }>;

/** Without stars: matches a fixed number of segments. */
interface Block {
  readonly parts: readonly Part[];
  readonly segmentCount: number;
  /** Steps for comparing it at one segment of a name. */
  readonly stepsAtSegment: number;
}

/**
 * Positions are the indexes at which segments start; one more than the length of the name means that none is left. Since
 * blocks have fixed numbers of segments, each can take the first place where it fits and never needs to give it up
 * again: at worst it is compared at each segment of the name, once.
 */
export class SegmentMatcher {
  readonly hasStar: boolean;
  /** True if `values` works. With a star before the end the values would depend on the length of its match. */
  readonly hasValues: boolean;
  private readonly first: Block;
  /** One for each star: what follows it. */
  private readonly others: readonly Block[];
  /** Steps for comparing each block once. */
  private readonly steps: number;

  constructor(segments: readonly Segment[]) {
    const [first, ...others] = splitAtStars(segments);
    this.first = first as Block;
    this.others = others;
    this.steps = 5 + segments.reduce((sum, segment) => sum + stepsToCompare(segment), 0);
    this.hasStar = others.length > 0;
    this.hasValues = others.length === 0 || (others.length === 1 && others[0]?.segmentCount === 0);
  }

  matches(name: string, meter: StepMeter): boolean {
    const { others } = this;
    meter.spend(this.steps + stepsForText(name.length));
    let at = matchBlock(this.first, name, 0);
    if (others.length === 0) return at === name.length + 1;
    for (let index = 0; index < others.length; index++) {
      const block = others[index] as Block;
      if (at === -1 || at > name.length) return false;
      at = nextSegment(name, at);
      if (index === others.length - 1) return matchesAtEnd(block, name, at);
      at = findBlock(block, name, at, meter);
    }
    return false;
  }

  /** The text of each variable; only if `hasValues`. */
  values(name: string, meter: StepMeter): readonly string[] | undefined {
    meter.spend(2 * this.steps + stepsForText(name.length));
    const values: string[] = [];
    const at = matchBlock(this.first, name, 0, values);
    const matches = this.hasStar ? at !== -1 && at <= name.length : at === name.length + 1;
    return matches ? values : undefined;
  }
}

/** A part of a block is looked for and compared. */
function stepsToCompare(segment: Segment): number {
  switch (segment.kind) {
    case 'star':
      return 5;
    case 'text':
      return 5 + stepsForText(segment.text.length);
    case 'variable':
      return 10 + stepsForText(segment.prefix.length + segment.suffix.length);
    default:
      return segment satisfies never;
  }
}

const emptyBlock: Block = { parts: [], segmentCount: 0, stepsAtSegment: 5 };

function splitAtStars(segments: readonly Segment[]): readonly Block[] {
  const blocks: Block[] = [];
  let parts: Part[] = [];
  let texts: string[] = [];
  let segmentCount = 0;
  const endText = () => {
    if (texts.length > 0) parts.push({ kind: 'text', text: texts.join('/') });
    texts = [];
  };
  const endBlock = () => {
    endText();
    // Copied, because arrays that grew keep room for more, and there can be a matcher for each rule.
    const stepsAtSegment = parts.reduce((sum, part) => sum + stepsToCompare(part), 10);
    blocks.push(segmentCount === 0 ? emptyBlock : { parts: [...parts], segmentCount, stepsAtSegment });
    parts = [];
    segmentCount = 0;
  };
  for (const segment of segments) {
    if (segment.kind === 'star') {
      endBlock();
      continue;
    }
    segmentCount++;
    if (segment.kind === 'text') {
      texts.push(segment.text);
    } else {
      endText();
      parts.push(segment);
    }
  }
  endBlock();
  return blocks;
}

/** The position behind the block when it matches at `start`, else -1. */
function matchBlock(block: Block, name: string, start: number, values?: string[]): number {
  let at = start;
  for (const part of block.parts) {
    if (at > name.length) return -1;
    if (part.kind === 'text') {
      const end = at + part.text.length;
      if (!name.startsWith(part.text, at) || (end < name.length && name.charCodeAt(end) !== slash)) return -1;
      at = end + 1;
    } else {
      const { prefix, suffix } = part;
      const end = nextSegment(name, at) - 1;
      if (end - at <= prefix.length + suffix.length) return -1;
      if (!name.startsWith(prefix, at) || !name.startsWith(suffix, end - suffix.length)) return -1;
      values?.push(name.slice(at + prefix.length, end - suffix.length));
      at = end + 1;
    }
  }
  return at;
}

/** The position behind the first place from `start` on where the block matches, else -1. */
function findBlock(block: Block, name: string, start: number, meter: StepMeter): number {
  const { stepsAtSegment } = block;
  for (let at = start; at <= name.length; at = nextSegment(name, at)) {
    meter.spend(stepsAtSegment);
    const behind = matchBlock(block, name, at);
    if (behind !== -1) return behind;
  }
  return block.segmentCount === 0 ? start : -1;
}

/** Whether the block matches the last segments of the name, none of them before `start`. */
function matchesAtEnd(block: Block, name: string, start: number): boolean {
  if (block.segmentCount === 0) return true;
  let at = name.length + 1;
  for (let count = block.segmentCount; count > 0; count--) {
    if (at <= start) return false;
    at = name.lastIndexOf('/', at - 2) + 1;
  }
  return at >= start && matchBlock(block, name, at) === name.length + 1;
}

function nextSegment(name: string, at: number): number {
  const end = name.indexOf('/', at);
  return (end === -1 ? name.length : end) + 1;
}

const slash = 0x2f;
