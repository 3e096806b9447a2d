interface Waiting {
  readonly records: number;
  readonly admit: (admitted: boolean) => void;
}

/**
 * Most records of batches that wait for their commit: two commits' worth, so that the next one is always full and a single
 * decision that comes behind them is committed some milliseconds later.
 */
const mostRecords = 256;

/**
 * The part of the log's queue that batches may fill, half of it at most: a single decision always finds the rest. Where it
 * is full batches wait, first come, first served, until some of it is given back.
 */
export class BulkRoom {
  readonly size: number;
  private used = 0;
  private readonly waiting: Waiting[] = [];

  constructor(queueLimit: number) {
    this.size = Math.max(1, Math.min(mostRecords, Math.floor(queueLimit / 2)));
  }

  /** Takes room for records, `size` at most; false where `ms` milliseconds pass first. */
  take(records: number, ms: number): Promise<boolean> {
    if (this.waiting.length === 0 && this.used + records <= this.size) {
      this.used += records;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const waiting: Waiting = {
        records,
        admit: (admitted) => {
          clearTimeout(timer);
          resolve(admitted);
        },
      };
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(waiting), 1);
        resolve(false);
        this.admit();
      }, ms);
      this.waiting.push(waiting);
    });
  }

  giveBack(records: number): void {
    this.used -= records;
    this.admit();
  }

  private admit(): void {
    for (let first = this.waiting[0]; first !== undefined; first = this.waiting[0]) {
      if (this.used + first.records > this.size) return;
      this.waiting.shift();
      this.used += first.records;
      first.admit(true);
    }
  }
}
