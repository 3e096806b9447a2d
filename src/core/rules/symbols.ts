/** Keeps each text of a policy once and gives it a number. Rules hold numbers. */

/**
 * Number of maps. One large Map blocks the thread for hundreds of milliseconds when it grows; many small ones grow one
 * at a time.
 */
const shardCount = 64;

export class SymbolTable {
  private readonly texts: string[] = [];
  private readonly shards = Array.from({ length: shardCount }, () => new Map<string, number>());

  /** Returns the number of a text, or gives it a new one. */
  intern(text: string): number {
    const shard = this.shards[shardOf(text)] as Map<string, number>;
    let symbol = shard.get(text);
    if (symbol === undefined) {
      // A substring would keep the whole text of the file in memory.
      const own = text.length > 12 ? detach(text) : text;
      symbol = this.texts.length;
      this.texts.push(own);
      shard.set(own, symbol);
    }
    return symbol;
  }

  /** Returns the number of a text; undefined if no rule has it. */
  find(text: string): number | undefined {
    return (this.shards[shardOf(text)] as Map<string, number>).get(text);
  }

  text(symbol: number): string {
    return this.texts[symbol] as string;
  }

  get size(): number {
    return this.texts.length;
  }
}

/** A set of symbols, one bit for each. */
export class SymbolSet {
  private readonly bits: Uint8Array;

  constructor(symbols: Iterable<number>, tableSize: number) {
    this.bits = new Uint8Array((tableSize + 7) >> 3);
    for (const symbol of symbols) if (symbol >= 0) this.add(symbol);
  }

  has(symbol: number): boolean {
    return ((this.bits[symbol >> 3] ?? 0) & (1 << (symbol & 7))) !== 0;
  }

  /** Returns false if the symbol was there already. */
  add(symbol: number): boolean {
    if (this.has(symbol)) return false;
    this.bits[symbol >> 3] = (this.bits[symbol >> 3] as number) | (1 << (symbol & 7));
    return true;
  }
}

function shardOf(text: string): number {
  const { length } = text;
  if (length === 0) return 0;
  return (length + 7 * text.charCodeAt(length - 1) + 31 * text.charCodeAt(length >> 1)) & (shardCount - 1);
}

/** A copy that shares no memory with the text it was cut from, made of code units so that lone surrogates stay. */
function detach(text: string): string {
  const { length } = text;
  if (length > unitsPerCall) return detach(text.slice(0, unitsPerCall)) + detach(text.slice(unitsPerCall));
  const units = new Array<number>(length);
  for (let index = 0; index < length; index++) units[index] = text.charCodeAt(index);
  return String.fromCharCode(...units);
}

/** Code units for one call. Each is an argument and takes room on the stack. */
const unitsPerCall = 1_024;
