/** Here now, or later: a decision in the process is made at once, and what waits for nothing costs no turn of the event loop. */
export type Awaitable<T> = T | Promise<T>;

/** Also for queries of databases that run when they are waited for, and are no promises. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** Goes on at once where it can. */
export function andThen<T, R>(value: Awaitable<T>, next: (value: T) => Awaitable<R>): Awaitable<R> {
  return isThenable(value) ? Promise.resolve(value).then(next) : next(value);
}
