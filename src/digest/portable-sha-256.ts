/** SHA-256 (FIPS 180-4) in plain JavaScript: browsers have it only as a promise, and a set is compiled synchronously. */
import type { Sha256 } from '../core/sha-256.js';

const blockBytes = 64;
/** Code units of a text that are encoded at a time. */
const textPart = 65_536;

export const sha256: Sha256 = (parts) => {
  const hash = new Sha256State();
  const encoder = new TextEncoder();
  for (const part of parts) {
    if (typeof part !== 'string') {
      hash.update(part);
      continue;
    }
    for (let from = 0; from < part.length; ) {
      let to = Math.min(part.length, from + textPart);
      // A pair of surrogates is one character: it is not cut in two.
      if (isHighSurrogate(part.charCodeAt(to - 1)) && to < part.length) to++;
      hash.update(encoder.encode(part.slice(from, to)));
      from = to;
    }
  }
  return hash.digest();
};

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

/** The first 32 bits of the fractional parts of the square roots of the first 8 primes, and the cube roots of 64. */
const [initial, rounds] = constants();

function constants(): [Uint32Array, Uint32Array] {
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  const fraction = (root: number): number => Math.floor((root - Math.floor(root)) * 2 ** 32);
  return [Uint32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p))), Uint32Array.from(primes, cubeRootBits)];
}

/** `fraction(cbrt(prime))` with whole numbers: implementations differ in the last bits of `Math.cbrt`. */
function cubeRootBits(prime: number): number {
  const target = BigInt(prime) << 96n;
  let root = 0n;
  for (let bit = 1n << 35n; bit > 0n; bit >>= 1n) if ((root | bit) ** 3n <= target) root |= bit;
  return Number(root & 0xffffffffn);
}

class Sha256State {
  private readonly state = Uint32Array.from(initial);
  private readonly block = new Uint8Array(blockBytes);
  private readonly words = new Int32Array(blockBytes);
  private filled = 0;
  private length = 0;

  update(bytes: Uint8Array): void {
    this.length += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      const taken = Math.min(blockBytes - this.filled, bytes.length - at);
      this.block.set(bytes.subarray(at, at + taken), this.filled);
      this.filled += taken;
      at += taken;
      if (this.filled === blockBytes) this.compress();
    }
  }

  digest(): string {
    const bits = this.length * 8;
    this.block[this.filled++] = 0x80;
    if (this.filled > blockBytes - 8) {
      this.block.fill(0, this.filled);
      this.compress();
    }
    this.block.fill(0, this.filled);
    const view = new DataView(this.block.buffer);
    view.setUint32(blockBytes - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(blockBytes - 4, bits >>> 0);
    this.compress();
    return Array.from(this.state, (word) => word.toString(16).padStart(8, '0')).join('');
  }

  private compress(): void {
    const { words, state } = this;
    const view = new DataView(this.block.buffer);
    for (let i = 0; i < 16; i++) words[i] = view.getInt32(4 * i);
    for (let i = 16; i < blockBytes; i++) {
      const [early, late] = [words[i - 15] as number, words[i - 2] as number];
      const s0 = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
      const s1 = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
      words[i] = (words[i - 16] as number) + s0 + (words[i - 7] as number) + s1;
    }
    let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
    for (let i = 0; i < blockBytes; i++) {
      const choice = (e & f) ^ (~e & g);
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const added = (h + s1 + choice + (rounds[i] as number) + (words[i] as number)) | 0;
      const majority = (a & b) ^ (a & c) ^ (b & c);
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + added) | 0, c, b, a, (added + s0 + majority) | 0];
    }
    for (const [i, word] of [a, b, c, d, e, f, g, h].entries()) state[i] = (state[i] as number) + word;
    this.filled = 0;
  }
}

function rotate(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}
