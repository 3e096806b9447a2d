/** Base paths of policy sets: the default set at the root, every set below `/sets/`. */
import type { FastifyRequest } from 'fastify';
import { VerdictError } from '../errors.js';
import { visiblePolicySet } from '../pdp/visible-policy-set.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';

/** Prefixes of each path, in the syntax of Fastify's router. */
export const policySetBases = ['', '/sets/:set'] as const;
export type PolicySetBase = (typeof policySetBases)[number];

/**
 * The id that the OpenAPI document gives an operation on a base.
 *
 *     idOnBase('searchSubjects', '/sets/:set') // 'searchSubjectsInSet'
 */
export function idOnBase(id: string, base: PolicySetBase): string {
  return base === '' ? id : `${id}InSet`;
}

/** The base path of one set's URLs, below the service's own. */
export function pathOfSet(set: string): string {
  return `/sets/${encodeURIComponent(set)}`;
}

/**
 * The policy set that a path names, if the caller's scopes name it.
 *
 * @throws VerdictError `not_found` at the root if the caller sees no default set
 */
export function policySetOf({ params, caller }: FastifyRequest, store: PolicyStore): ServedPolicySet {
  const { set } = params as { set?: string };
  try {
    return visiblePolicySet(store, caller.grants.policySets('decide'), set);
  } catch (error) {
    if (!(error instanceof VerdictError && error.code === 'no_policy_set')) throw error;
    throw new VerdictError('not_found', 'There is no default policy set; each set is below /sets/{set}.');
  }
}
