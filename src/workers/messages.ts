/**
 * What a primary and its workers say to each other, over the channel that `node:cluster` gives them (structured clone).
 *
 * A worker that is asked for the state of the whole service, such as its metrics, asks the primary (`ask`). The primary asks
 * every worker that serves, the asking one included (`asked`), collects what they say (`answer`), and sends all of it back
 * (`answers`).
 */

/** Where the service is reached: what it listens on, and how callers know it. */
export interface ServingUrls {
  readonly url: string;
  readonly outside: string;
}

/** How many workers there should be, how many serve, and how many were started again since the service started. */
export interface WorkerCounts {
  readonly wanted: number;
  readonly serving: number;
  readonly restarts: number;
}

export interface WorkerAnswer {
  /** The number of the worker, from 1. */
  readonly worker: number;
  readonly value: unknown;
}

export type FromWorker =
  | ({ readonly kind: 'serving' } & ServingUrls)
  | { readonly kind: 'failed'; readonly message: string; readonly code: number }
  | { readonly kind: 'ask'; readonly question: number; readonly topic: string }
  | { readonly kind: 'answer'; readonly question: number; readonly value: unknown };

export type FromPrimary =
  | { readonly kind: 'asked'; readonly question: number; readonly topic: string }
  | {
      readonly kind: 'answers';
      readonly question: number;
      readonly answers: readonly WorkerAnswer[];
      readonly counts: WorkerCounts;
    };
