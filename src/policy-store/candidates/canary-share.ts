import { BindingError } from '../../core/policy/binding.js';
import type { DecisionRequest } from '../../core/request.js';
import { sha256 } from '../../digest/sha-256.js';
import type { ServedPolicySet } from '../served-policy-set.js';

/** Hexadecimal digits of a digest that are read as a number: 48 bits, which a double holds exactly. */
const digits = 12;

/**
 * Whether a canary that answers this share of the subjects answers this one. It follows from the names of set and subject
 * alone, so every replica says the same, and whom a share has a larger one has too.
 *
 *     isInShare('invoices', 'user', 'alice', 0.05)   // true or false, today and tomorrow
 */
export function isInShare(policySet: string, type: string | undefined, id: string, share: number): boolean {
  const digest = sha256([JSON.stringify([policySet, type ?? null, id])]);
  return Number.parseInt(digest.slice(0, digits), 16) < share * 16 ** digits;
}

/** The type of a subject as the evaluation sees it: one that a request does not say is that of the only entity of its id. */
export function subjectTypeOf(set: ServedPolicySet, { subject }: DecisionRequest): string | undefined {
  if (subject.type !== undefined) return subject.type;
  const { entities } = set.compiled;
  if (entities.size === 0) return undefined;
  const bound = entities.bind(subject, 'subject');
  return bound instanceof BindingError ? undefined : bound.type;
}
