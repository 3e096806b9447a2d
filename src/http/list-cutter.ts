/** Cuts the long lists out of a body, so that they can be parsed piece by piece. */

const quoteCode = 0x22;
const commaCode = 0x2c;
const openBracketCode = 0x5b;
const backslashCode = 0x5c;
const closeBracketCode = 0x5d;
const openBraceCode = 0x7b;
const closeBraceCode = 0x7d;

/** Levels of a list that is cut out: the body, a member of it, and a member of that. */
const listDepth = 3;
/** Bytes of a piece, or more: its last element is whole. */
const pieceBytes = 16 * 1024;

/** Elements of a list, from `start` up to but without `end`, with the commas between them. */
interface Piece {
  readonly start: number;
  readonly end: number;
}

/**
 * Cuts the lists of `{"add": {"roles": […], "entities": […]}, "remove": {…}}` out of a body: those that are a member of a
 * member of it. It accepts any bytes: `JSON.parse` says afterwards of the rest and of every piece whether it is JSON.
 */
export class ListCutter {
  /** The pieces of each list, in the order of the body. */
  readonly lists: Piece[][] = [];
  /** The first element that is longer than allowed. */
  oversized: { readonly list: number; readonly element: number } | undefined;
  /** Bytes outside the lists. */
  bytesOutside = 0;

  private readonly outside: Piece[] = [];
  private outsideStart = 0;
  private offset = 0;
  private depth = 0;
  private inString = false;
  private inList = false;
  private pieceStart = 0;
  private elementStart = 0;
  private element = 0;

  /** @param elementBytes longest element of a list */
  constructor(
    private readonly body: Buffer,
    private readonly elementBytes: number,
  ) {}

  /** Looks at about `bytes` bytes. Returns true at the end of the body. */
  run(bytes: number): boolean {
    const { body } = this;
    const end = Math.min(body.length, this.offset + bytes);
    while (this.offset < end) {
      const byte = body[this.offset++]!;
      if (this.inString) {
        if (byte === backslashCode) this.offset++;
        else if (byte === quoteCode) this.inString = false;
        continue;
      }
      switch (byte) {
        case quoteCode:
          this.inString = true;
          break;
        case openBraceCode:
          this.depth++;
          break;
        case openBracketCode:
          if (++this.depth === listDepth) this.beginList();
          break;
        case commaCode:
          if (this.inList && this.depth === listDepth) this.endElement(false);
          break;
        case closeBraceCode:
        case closeBracketCode:
          if (this.inList && this.depth === listDepth) this.endElement(true);
          this.depth--;
      }
    }
    if (this.offset < body.length) return false;
    this.keepOutside(body.length);
    return true;
  }

  /** The body with `[n]` in the place of list n. */
  rest(): string {
    return this.outside
      .map(({ start, end }, n) => `${n === 0 ? '' : n - 1}${this.body.toString('utf8', start, end)}`)
      .join('');
  }

  /** A piece of a list as the text of a list; `null` stands where the list goes on, so that no comma is lost. */
  textOf(pieces: readonly Piece[], at: number): string {
    const { start, end } = pieces[at]!;
    const [before, after] = [at > 0 ? 'null,' : '', at < pieces.length - 1 ? ',null' : ''];
    return `[${before}${this.body.toString('utf8', start, end)}${after}]`;
  }

  private beginList(): void {
    this.inList = true;
    this.keepOutside(this.offset);
    this.lists.push([]);
    this.pieceStart = this.offset;
    this.elementStart = this.offset;
    this.element = 0;
  }

  private endElement(isLast: boolean): void {
    const end = this.offset - 1;
    if (end - this.elementStart > this.elementBytes) {
      this.oversized ??= { list: this.lists.length - 1, element: this.element };
    }
    this.element++;
    this.elementStart = this.offset;
    if (isLast || end - this.pieceStart >= pieceBytes) {
      this.lists.at(-1)!.push({ start: this.pieceStart, end });
      this.pieceStart = this.offset;
    }
    if (!isLast) return;
    this.inList = false;
    this.outsideStart = end;
  }

  private keepOutside(end: number): void {
    this.outside.push({ start: this.outsideStart, end });
    this.bytesOutside += end - this.outsideStart;
  }
}
