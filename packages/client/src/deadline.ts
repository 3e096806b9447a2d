import { VerdictUnavailable } from './errors.js';

/**
 * The end of a call: its time is over, or its caller gave up. What is late does not count, even if it would come: a `fetch` that
 * does not heed its signal is not waited for.
 *
 * Time is that of the monotonic clock: one that is set while a call waits neither ends it nor makes it wait longer.
 */
export class Deadline {
  private readonly endsAt: number;

  /** @param soonestMs milliseconds left to the one whose time is over first, where several wait for the call */
  constructor(
    private readonly timeoutMs: number,
    private readonly signal?: AbortSignal | null,
    private readonly soonestMs: () => number = () => Number.POSITIVE_INFINITY,
  ) {
    this.endsAt = performance.now() + timeoutMs;
  }

  get leftMs(): number {
    return this.endsAt - performance.now();
  }

  /** The time for one of `parts` that are still to come. The last has all that is left; the others leave some to everybody who waits. */
  shareMs(parts: number): number {
    return parts <= 1 ? this.leftMs : Math.max(0, Math.min(this.leftMs, this.soonestMs())) / parts;
  }

  /**
   * @param ms the most time for this part of the call
   * @param work ends when its signal says so
   * @throws VerdictUnavailable, `timeout` or `aborted`
   */
  within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.until<T>(ms, (resolve, reject, onEnd) => {
      const controller = new AbortController();
      onEnd((error) => controller.abort(error));
      work(controller.signal).then(resolve, reject);
    });
  }

  /**
   * As `within`, for what answers by itself: a signal costs more than a question in a batch.
   *
   * @param work is given a function that takes what is to be called, once, when the deadline ends it
   * @throws VerdictUnavailable, `timeout` or `aborted`
   */
  until<T>(
    ms: number,
    work: (
      resolve: (value: T) => void,
      reject: (error: unknown) => void,
      onEnd: (listener: (error: VerdictUnavailable) => void) => void,
    ) => void,
  ): Promise<T> {
    const { signal, timeoutMs } = this;
    const part = Math.min(ms, this.leftMs);
    return new Promise<T>((resolve, reject) => {
      let listener: ((error: VerdictUnavailable) => void) | undefined;
      const end = (error: VerdictUnavailable) => {
        done();
        reject(error);
        listener?.(error);
      };
      const onAbort = () =>
        end(new VerdictUnavailable('aborted', 'the caller ended the call', { cause: signal?.reason }));
      const onTime = () =>
        end(new VerdictUnavailable('timeout', `no answer within ${Math.round(Math.min(timeoutMs, ms))} ms`));
      const timer = setTimeout(onTime, Math.max(0, part));
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener('abort', onAbort);
      work(
        (value) => {
          done();
          resolve(value);
        },
        (error) => {
          done();
          reject(error);
        },
        (onEnd) => {
          listener = onEnd;
        },
      );
    });
  }

  /** Waits, if there is time for it. */
  async pause(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const waiting = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await this.within(Number.POSITIVE_INFINITY, () => waiting).finally(() => clearTimeout(timer));
  }
}
