/**
 * Work of which one piece runs at a time, first come, first served, however many ask for it. A piece holds its place until
 * it has ended, also while it waits for a thread or a database: what runs in turns (`turns.ts`) bounds the time of the event
 * loop, this bounds memory, threads and processor time outside of it.
 *
 *     const checks = new OneAtATime({ pieces: 9, piecesOfCaller: 4 });
 *     checks.hasRoomFor('ann') ? await checks.run('ann', () => check(set)) : refuse();
 */
export class OneAtATime {
  private last: Promise<unknown> = Promise.resolve();
  /** Who asked for the pieces that run or wait. */
  private readonly callers: string[] = [];

  /** @param limits most pieces that run or wait, in all and of one caller */
  constructor(private readonly limits: { readonly pieces: number; readonly piecesOfCaller: number }) {}

  hasRoomFor(caller: string): boolean {
    const { pieces, piecesOfCaller } = this.limits;
    return this.callers.length < pieces && this.callers.filter((other) => other === caller).length < piecesOfCaller;
  }

  /** Runs a piece when those before it have ended, well or not. For one that there is no room for, ask first. */
  run<Result>(caller: string, piece: () => Promise<Result>): Promise<Result> {
    this.callers.push(caller);
    const result = this.last.then(piece).finally(() => this.callers.splice(this.callers.indexOf(caller), 1));
    this.last = result.catch(() => undefined);
    return result;
  }
}
