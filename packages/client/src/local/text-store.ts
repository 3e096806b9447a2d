/**
 * Texts as UTF-8, one behind the other in a few large pieces. Records wait by the thousand until they are sent: as bytes they are
 * nothing that a garbage collector looks at or moves, and are sent as they lie.
 */

/** Where a text lies. Behind it is a byte that is not part of it. */
export interface StoredText {
  readonly piece: Uint8Array<ArrayBuffer>;
  readonly start: number;
  readonly end: number;
}

const pieceLength = 2 ** 18;
/** The most bytes that a character of a text has: one of two halves has four. */
const mostOfCharacter = 3;
const encoder = new TextEncoder();

export class TextStore {
  private piece = new Uint8Array(0);
  private used = 0;

  add(text: string): StoredText {
    const most = text.length * mostOfCharacter;
    // A long one, for which much of a piece would stay empty, gets one that fits.
    if (most > pieceLength) return storedText(text);
    if (this.used + most >= this.piece.length) {
      this.piece = new Uint8Array(pieceLength + 1);
      this.used = 0;
    }
    const { piece, used: start } = this;
    const end = start + encoder.encodeInto(text, piece.subarray(start)).written;
    this.used = end + 1;
    return { piece, start, end };
  }
}

/** A text by itself. */
export function storedText(text: string): StoredText {
  const bytes = encoder.encode(text);
  const piece = new Uint8Array(bytes.length + 1);
  piece.set(bytes);
  return { piece, start: 0, end: bytes.length };
}

export function readText({ piece, start, end }: StoredText): string {
  return new TextDecoder().decode(piece.subarray(start, end));
}

/** Length of texts with a byte behind each. */
export function lengthOf(texts: readonly StoredText[]): number {
  return texts.reduce((sum, { start, end }) => sum + end - start + 1, 0);
}

/** Copies texts into bytes, from a place on, with a byte of that code behind each. What lies together is copied at once. */
export function copyTexts(texts: readonly StoredText[], into: Uint8Array, from: number, separator: number): void {
  let at = from;
  for (let index = 0; index < texts.length; ) {
    const { piece, start } = texts[index] as StoredText;
    let { end } = texts[index] as StoredText;
    const ends = [at + end - start];
    for (index++; index < texts.length; index++) {
      const next = texts[index] as StoredText;
      if (next.piece !== piece || next.start !== end + 1) break;
      end = next.end;
      ends.push(at + end - start);
    }
    into.set(piece.subarray(start, end), at);
    for (const place of ends) into[place] = separator;
    at += end - start + 1;
  }
}
