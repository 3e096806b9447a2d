/** Ids of traces and spans. Nobody depends on their being hard to guess. */
import { randomFillSync } from 'node:crypto';

/** As many bytes at once, since each call costs more than an id. */
const pool = Buffer.alloc(8_192);
let text = '';
let at = 0;

/** 32 hexadecimal digits. */
export function newTraceId(): string {
  return digits(32);
}

/** 16 hexadecimal digits. */
export function newSpanId(): string {
  return digits(16);
}

function digits(count: number): string {
  if (at + count > text.length) {
    text = randomFillSync(pool).toString('hex');
    at = 0;
  }
  const id = text.slice(at, at + count);
  at += count;
  // Ids of zeros alone mean none.
  return /[^0]/.test(id) ? id : digits(count);
}
