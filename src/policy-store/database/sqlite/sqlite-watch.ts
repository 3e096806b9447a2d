import type { RepositoryWatch } from '../policy-repository.js';

/** Pause between two looks, in milliseconds. A look costs some tens of microseconds. */
const pollMs = 250;

/** Looks whether a policy set or its live data were changed in an SQLite file, by this process or a command: a file tells nobody. */
export class SqliteWatch implements RepositoryWatch {
  private readonly timer: NodeJS.Timeout;
  private seen: string | undefined;
  private isLooking = false;
  /** By the monotonic clock. */
  private confirmedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly query: (sql: string) => Promise<{ readonly n: number; readonly changed: number }[]>,
    private readonly look: () => Promise<void>,
  ) {
    this.timer = setInterval(() => void this.check(), pollMs).unref();
    void this.check();
  }

  get ageMs(): number {
    return performance.now() - this.confirmedAt;
  }

  end(): void {
    clearInterval(this.timer);
  }

  /** Does not throw: what fails is tried again with the next look, and the age says how long it has failed. */
  private async check(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      const askedAt = performance.now();
      // Each change makes a number of its set higher, a removal too.
      const [row] = await this.query(
        `SELECT (SELECT coalesce(sum(files + data), 0) FROM policy_revision) AS n,
           (SELECT coalesce(max(changed), 0) FROM policy_head) AS changed`,
      );
      const seen = `${row?.n} ${row?.changed}`;
      if (seen !== this.seen) await this.look();
      this.seen = seen;
      this.confirmedAt = askedAt;
    } catch {
      this.seen = undefined;
    } finally {
      this.isLooking = false;
    }
  }
}
