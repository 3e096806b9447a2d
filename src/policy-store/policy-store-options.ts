import type { ValueHash } from '../decision-log/value-hash.js';
import type { PolicyArchive } from './archive/policy-archive.js';
import type { LiveSets } from './data/live-sets.js';
import type { PolicySource } from './policy-source.js';

/** The operator's log. Pino's loggers fit. */
export interface PolicyStoreLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** The result of loading what the source has of a set, for metrics and audit. */
export interface LoadEvent {
  readonly policySet: string;
  readonly result: 'served' | 'unchanged' | 'failed' | 'removed';
  readonly durationMs: number;
  /** The version that was served before; at a start, the one when the process last ended. */
  readonly from: string | undefined;
  /** The version that is served now, if any. */
  readonly to: string | undefined;
}

export interface PolicyStoreOptions {
  readonly source: PolicySource;
  /** The set of requests that name none; by default the one named `default`, else the only one. */
  readonly defaultPolicySet?: string;
  /** Undefined: no version survives a restart, and there are no rollbacks. */
  readonly archive?: PolicyArchive;
  /** Undefined: no set has live data. */
  readonly live?: LiveSets;
  readonly log: PolicyStoreLog;
  readonly onLoad?: (event: LoadEvent) => void;
  /** What records show of values that a manifest hashes; without it they are masked. */
  readonly hash?: ValueHash | undefined;
  /** The highest age of a set, in milliseconds, at which it answers requests; undefined: any. */
  readonly maxStalenessMs?: number;
  /** Most sets that are served (10,000). */
  readonly maxSets?: number;
  /** When a set is tried again that failed for another reason than its files, in milliseconds (5,000). */
  readonly retryMs?: number;
}
