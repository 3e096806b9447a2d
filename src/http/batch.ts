import type { Json, JsonObject } from '../core/request.js';
import { VerdictError } from '../errors.js';
import type { HttpLimits } from './http-limits.js';
import type { BatchItem } from './strict-json.js';

/** A batch written out, every item with its defaults, may be this many times as long as its body may be. */
const maxWrittenOut = 8;

/** The items of a batch, and the members that those which lack them take from its defaults, each as a whole. */
export class Batch {
  readonly count: number;
  /** How long the batch is when each item has its defaults: what it costs its caller, and at most what it writes down. */
  readonly bytes: number;
  private readonly defaultBytes = new Map<string, number>();

  /** @throws VerdictError payload_too_large for defaults that make far more of a body than it is */
  constructor(
    private readonly items: readonly BatchItem[],
    private readonly defaults: JsonObject,
    bodyBytes: number,
    private readonly limits: HttpLimits,
  ) {
    this.count = items.length;
    let defaultBytes = 0;
    for (const [name, value] of Object.entries(defaults)) {
      const bytes = Buffer.byteLength(JSON.stringify(value)) + name.length;
      this.defaultBytes.set(name, bytes);
      defaultBytes += bytes;
    }
    this.bytes = bodyBytes + this.count * defaultBytes;
    const most = maxWrittenOut * limits.batchBytes;
    if (this.bytes > most) {
      throw new VerdictError(
        'payload_too_large',
        `With its defaults in each item the batch is longer than ${most} bytes.`,
      );
    }
  }

  /** Each item with its defaults, one at a time as the batch gets to it; an error for one that is too large. */
  *each(): Iterable<Json | VerdictError> {
    for (const item of this.items) yield this.withDefaults(item);
  }

  private withDefaults(item: BatchItem): Json | VerdictError {
    const value = item.value();
    if (value instanceof VerdictError || typeof value !== 'object' || value === null || Array.isArray(value))
      return value;
    let { bytes } = item;
    for (const [name, more] of this.defaultBytes) if (!Object.hasOwn(value, name)) bytes += more;
    if (bytes > this.limits.bodyBytes) {
      return new VerdictError(
        'payload_too_large',
        `The item with its defaults is longer than ${this.limits.bodyBytes} bytes.`,
      );
    }
    return { ...this.defaults, ...value };
  }
}
