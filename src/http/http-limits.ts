import type { Config } from '../config/config.js';
import type { RequestLimits } from '../core/asked/attribute-count.js';

export interface HttpLimits extends RequestLimits {
  readonly bodyBytes: number;
  readonly batchBytes: number;
  /** Longest time for a batch, in seconds. */
  readonly batchSeconds: number;
}

export function httpLimitsOf(config: Config): HttpLimits {
  return {
    bodyBytes: config.maxBodyBytes,
    batchBytes: config.maxBatchBytes,
    batchItems: config.maxBatchItems,
    idLength: config.maxIdLength,
    attributeDepth: config.maxAttributeDepth,
    attributeMembers: config.maxAttributeMembers,
    attributeElements: config.maxAttributeElements,
    batchSeconds: config.maxBatchSeconds,
  };
}
