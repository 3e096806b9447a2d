interface Waiter {
  readonly holds: () => boolean;
  /** By the monotonic clock, in milliseconds. */
  readonly endsAt: number;
  readonly resolve: (held: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Pause between two looks at all conditions that are waited for, in milliseconds; there are none while nobody waits. */
const lookMs = 10;

/** Those who wait, for a short time, until something holds. One timer serves all of them. */
export class Waiters {
  private readonly waiting = new Set<Waiter>();
  private timer: NodeJS.Timeout | undefined;

  /**
   * Resolves with true as soon as the condition is seen to hold, with false when it has not for `ms` milliseconds.
   *
   * @param holds is cheap; it is called with every `look`, and from time to time. Where it throws, the promise rejects: what
   *   looks has changed something else, and must not fail for it
   */
  async until(holds: () => boolean, ms: number): Promise<boolean> {
    if (holds()) return true;
    if (!(ms > 0)) return false;
    return new Promise((resolve, reject) => {
      this.waiting.add({ holds, endsAt: performance.now() + ms, resolve, reject });
      this.timer ??= setInterval(() => this.look(), lookMs);
    });
  }

  /** Looks now: something has changed. */
  look(): void {
    if (this.waiting.size === 0) return;
    const now = performance.now();
    for (const waiter of this.waiting) {
      try {
        const held = waiter.holds();
        if (held || now >= waiter.endsAt) this.end(waiter, held);
      } catch (error) {
        waiter.reject(error);
        this.end(waiter, false);
      }
    }
  }

  /** Lets everybody go. */
  stop(): void {
    for (const waiter of this.waiting) this.end(waiter, false);
  }

  private end(waiter: Waiter, held: boolean): void {
    this.waiting.delete(waiter);
    waiter.resolve(held);
    if (this.waiting.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
