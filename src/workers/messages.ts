/**
 * What a primary and its workers say to each other, over the channel that `node:cluster` gives them (structured clone).
 *
 * A worker that is asked for the state of the whole service, such as its metrics, asks the primary (`ask`). The primary asks
 * every worker that serves, the asking one included (`asked`), collects what they say (`answer`), and sends all of it back
 * (`answers`). A worker that listens to the primary says so (`listening`), since what was sent
 * before is lost, and hears which one it is (`placed`). Once a second it says how many connections it has (`connections`), and hears
 * how many of them it should give up when it has many more than another (`release`).
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

/** Which of the workers of a service a process is. */
export interface WorkerPlace {
  /** The name of the service (`VERDICT_INSTANCE`). */
  readonly of: string;
  /** From 1. */
  readonly number: number;
  /** How often a process in this place ended by itself and another one was started, since the service started. */
  readonly restarts: number;
}

export type FromWorker =
  | { readonly kind: 'listening' }
  | { readonly kind: 'connections'; readonly count: number }
  | ({ readonly kind: 'serving' } & ServingUrls)
  | { readonly kind: 'failed'; readonly message: string; readonly code: number }
  | { readonly kind: 'ask'; readonly question: number; readonly topic: string }
  | { readonly kind: 'answer'; readonly question: number; readonly value: unknown };

export type FromPrimary =
  | ({ readonly kind: 'placed' } & WorkerPlace)
  | { readonly kind: 'release'; readonly count: number }
  | { readonly kind: 'asked'; readonly question: number; readonly topic: string }
  | {
      readonly kind: 'answers';
      readonly question: number;
      readonly answers: readonly WorkerAnswer[];
      readonly counts: WorkerCounts;
    };
