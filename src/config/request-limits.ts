import type { RequestLimits } from '../core/asked/attribute-count.js';
import type { Config } from './config.js';

/** How much a question may hold. */
export function requestLimitsOf(config: Config): RequestLimits {
  return {
    batchItems: config.maxBatchItems,
    idLength: config.maxIdLength,
    attributeDepth: config.maxAttributeDepth,
    attributeMembers: config.maxAttributeMembers,
    attributeElements: config.maxAttributeElements,
  };
}
