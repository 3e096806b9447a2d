import { AttributeCount, type RequestLimits } from '../core/asked/attribute-count.js';
import type { DecisionRequest } from '../core/request.js';

/** What no attributes of a request may be, in those of a question that a mapping made: they were not validated. */
export function faultInAttributes(
  { subject, action, resource, attributes }: Omit<DecisionRequest, 'tokens'>,
  limits: RequestLimits,
): ReturnType<AttributeCount['faultIn']> {
  const count = new AttributeCount(limits);
  for (const each of [subject.attributes, action.attributes, resource.attributes, attributes]) {
    const fault = each && count.faultIn(each);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
