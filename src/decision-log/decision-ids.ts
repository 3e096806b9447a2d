import { randomFillSync } from 'node:crypto';

const countersPerMillisecond = 4096;

/**
 * Decision ids: UUIDv7 (RFC 9562), strictly increasing within a log file, also when the clock steps back or restarts.
 *
 *     0199c2f6-3d41-7003-8a41-90b7c3d9e211
 *     milliseconds   | counter (rand_a) | writer: 30 bits of rand_b | 32 random bits
 *
 * The writer's number keeps the files of two processes apart. The random bits are for mode `async`: an id that was
 * answered and lost with its record must not be given out again after a restart.
 */
export class DecisionIds {
  private latest: number;
  private counter = countersPerMillisecond;
  private prefix = '';
  private readonly writer: string;
  private random = '';
  private randomAt = 0;

  /** `after` is the highest millisecond that any earlier id may have used. */
  constructor(writer: number, after: number) {
    this.latest = after;
    const high = (0x8000 | (writer >>> 16)).toString(16);
    this.writer = `-${high}-${(writer & 0xffff).toString(16).padStart(4, '0')}`;
  }

  /** The highest millisecond that an id has used. */
  get milliseconds(): number {
    return this.latest;
  }

  next(nowMs: number): string {
    if (nowMs > this.latest) this.startMillisecond(nowMs);
    else if (this.counter === countersPerMillisecond) this.startMillisecond(this.latest + 1);
    const counter = (0x7000 | this.counter++).toString(16);
    return `${this.prefix}${counter}${this.writer}${this.randomHex()}`;
  }

  private startMillisecond(milliseconds: number): void {
    this.latest = milliseconds;
    this.counter = 0;
    this.prefix = idBeginning(milliseconds);
  }

  /** Eight digits out of a pool: one call to the system's generator for 512 ids. */
  private randomHex(): string {
    if (this.randomAt === this.random.length) {
      this.random = randomFillSync(Buffer.allocUnsafe(2048)).toString('hex');
      this.randomAt = 0;
    }
    const start = this.randomAt;
    this.randomAt += 8;
    return this.random.slice(start, this.randomAt);
  }
}

/** What every UUIDv7 of a millisecond (since 1970) begins with: `0199c2f6-3d41-`. */
function idBeginning(milliseconds: number): string {
  const hex = milliseconds.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-`;
}

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The milliseconds in a UUIDv7 in lower case; undefined for any other text. */
export function idMilliseconds(id: string): number | undefined {
  return uuid7.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : undefined;
}

/** The writer that an id of `DecisionIds` names; undefined for a text that is not a UUIDv7 in lower case. */
export function idWriter(id: string): number | undefined {
  if (!uuid7.test(id)) return undefined;
  return (Number.parseInt(id.slice(19, 23), 16) & 0x3fff) * 0x10000 + Number.parseInt(id.slice(24, 28), 16);
}
