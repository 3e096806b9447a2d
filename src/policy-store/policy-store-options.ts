import type { PolicyArchive } from './archive/policy-archive.js';
import type { SourceLimits } from './source-limits.js';

/** The operator's log. Pino's loggers fit. */
export interface PolicyStoreLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** The result of loading a changed folder, for metrics and audit. */
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
  readonly directory: string;
  /** The set of requests that name none; by default the one named `default`, else the only one. */
  readonly defaultPolicySet?: string;
  /** Undefined: no version survives a restart, and there are no rollbacks. */
  readonly archive?: PolicyArchive;
  readonly log: PolicyStoreLog;
  readonly onLoad?: (event: LoadEvent) => void;
  /** Milliseconds between two looks at the directory. File events make it look at once. */
  readonly pollMs?: number;
  /** Milliseconds between the two looks that must agree before a folder is read. */
  readonly settleMs?: number;
  /** How long a folder may keep changing before that is a problem, in milliseconds. */
  readonly patienceMs?: number;
  readonly limits?: SourceLimits;
}
