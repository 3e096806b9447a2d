import { availableParallelism } from 'node:os';

export const mostWorkers = 256;

/** How many processes share the port. `auto` counts the processor cores that this process may use. */
export function workerCountOf({ workers }: { readonly workers: string }): number {
  return workers === 'auto' ? Math.min(availableParallelism(), mostWorkers) : Number(workers);
}
