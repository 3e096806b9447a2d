import type { Json, JsonObject } from '../core/request.js';
import { VerdictError } from '../errors.js';
import type { UncheckedDemand } from '../pdp/demand.js';
import type { HttpLimits } from './http-limits.js';
import type { BatchItem } from './strict-json.js';

/** Largest size of a batch with the defaults written into every item, as a multiple of the largest body. */
const maxWrittenOut = 8;

/** The items of a batch and its defaults. An item takes each member that it lacks, as a whole, from the defaults. */
export class Batch {
  readonly count: number;
  /**
   * Size of the batch in bytes with the defaults in each item. The caller's limit is charged for it, and no more is
   * recorded.
   */
  readonly bytes: number;
  private readonly defaultBytes = new Map<string, number>();

  /** @throws VerdictError payload_too_large if the defaults make the batch longer than `maxWrittenOut` bodies */
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

  /** What items demand themselves, of those that do. */
  *demands(): Iterable<UncheckedDemand> {
    for (const { demand } of this.items) if (demand !== undefined) yield demand;
  }

  /** Yields each item with its defaults when it is asked for, or an error for an item that is too large. */
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
