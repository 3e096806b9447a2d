import type { Config } from '../config/config.js';
import { requestLimitsOf } from '../config/request-limits.js';
import type { RequestLimits } from '../core/asked/attribute-count.js';

export interface HttpLimits extends RequestLimits {
  readonly bodyBytes: number;
  readonly batchBytes: number;
  /** Longest time for a batch, in seconds. */
  readonly batchSeconds: number;
}

export function httpLimitsOf(config: Config): HttpLimits {
  return {
    ...requestLimitsOf(config),
    bodyBytes: config.maxBodyBytes,
    batchBytes: config.maxBatchBytes,
    batchSeconds: config.maxBatchSeconds,
  };
}
