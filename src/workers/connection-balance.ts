/** A worker keeps what it has while it has no more than this many times the connections of the worker with the least. */
const mostTimes = 1.5;

/**
 * How many connections a worker should give up. The system gives a connection to whichever worker is first to accept it, and
 * clients such as gateways keep theirs for hours: a worker that was started later than the others would have next to none.
 *
 *     surplusOf(60, [60, 4])    // 28
 *     surplusOf(36, [36, 28])   // 0: that is even enough
 *     surplusOf(2, [2, 0])      // 0
 *
 * @param own how many it has
 * @param all how many each worker has that serves, this one included
 */
export function surplusOf(own: number, all: readonly number[]): number {
  const mean = all.reduce((sum, each) => sum + each, 0) / all.length;
  const isEven = own <= mean + 1 || own <= mostTimes * Math.min(...all);
  return isEven ? 0 : Math.floor(own - mean);
}
