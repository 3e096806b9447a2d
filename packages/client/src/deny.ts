import type { VerdictUnavailable } from './errors.js';
import type { UnavailableDeny } from './types.js';

/** The deny in the place of an answer that there is not. */
export function deny(unavailable: VerdictUnavailable): UnavailableDeny {
  return { allowed: false, decision: 'deny', reason: reasonOf(unavailable), obligations: [], errors: [], unavailable };
}

export function reasonOf({ message }: VerdictUnavailable): UnavailableDeny['reason'] {
  return { code: 'unavailable', message };
}
