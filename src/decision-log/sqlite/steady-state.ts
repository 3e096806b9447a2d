const shortestMs = 3_000;
const longestMs = 60_000;

/**
 * Whether something works, for load balancers that send requests by it. A failure counts at once; after it, the thing
 * must work for a while before it counts as working: 3 s, and twice as long each time when it failed again within a
 * minute, 60 s at most. What fails every other second is then seen as failing, and not as flapping.
 */
export class SteadyState {
  private failing = false;
  /** Since when it has been as it is now, by the monotonic clock. */
  private since = Number.NEGATIVE_INFINITY;
  private holdMs = 0;

  failed(now = performance.now()): void {
    if (this.failing) return;
    this.holdMs = now - this.since < longestMs ? Math.min(longestMs, this.holdMs * 2) : shortestMs;
    this.failing = true;
    this.since = now;
  }

  recovered(now = performance.now()): void {
    if (!this.failing) return;
    this.failing = false;
    this.since = now;
  }

  isWorking(now = performance.now()): boolean {
    return !this.failing && now - this.since >= this.holdMs;
  }
}
