import type { Reason } from '../core/decision.js';

export const notAllowed = 'You may not do this.';

/** The message of the deciding rule. Gateways show it to the client, so it holds nothing else of the policy. */
export function userReason({ message }: Pick<Reason, 'message'>): string {
  if (typeof message === 'string') return message;
  const isObject = typeof message === 'object' && message !== null && !Array.isArray(message);
  const english = isObject ? message.en : undefined;
  return typeof english === 'string' ? english : notAllowed;
}
