export interface SourceLimits {
  /** Most bytes of one set. A compiled rule takes many times its bytes, and a set must not exhaust the process. */
  readonly maxBytes: number;
  /** Most files of one set. */
  readonly maxFiles: number;
}

/** Most sets of a service, where nothing else is configured. */
export const defaultMaxSets = 10_000;

export const defaultSourceLimits: SourceLimits = Object.freeze({ maxBytes: 64 * 1024 * 1024, maxFiles: 10_000 });
