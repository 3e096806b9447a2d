/** Base paths of policy sets: the default set at the root, every set below `/sets/`. */
import type { FastifyRequest } from 'fastify';
import type { PolicySets } from '../auth/grants.js';
import { VerdictError } from '../errors.js';
import type { Demand } from '../pdp/demand.js';
import type { FreshSets } from '../pdp/fresh-sets.js';
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
export function policySetOf(request: FastifyRequest, store: PolicyStore): ServedPolicySet {
  return onBase(request, (visible, name) => visiblePolicySet(store, visible, name));
}

/**
 * The same, as fresh as demanded. A promise only where it must be waited for.
 *
 * @throws VerdictError also `policy_too_old`, `unknown_revision`, `no_revision`
 */
export function freshPolicySetOf(
  request: FastifyRequest,
  sets: FreshSets,
  demand: Demand,
): ServedPolicySet | Promise<ServedPolicySet> {
  return onBase(request, (visible, name) => sets.find(visible, name, demand));
}

function onBase<Found>(
  { params, caller }: FastifyRequest,
  find: (visible: PolicySets, name: string | undefined) => Found,
): Found {
  const { set } = params as { set?: string };
  try {
    return find(caller.grants.policySets('decide'), set);
  } catch (error) {
    if (!(error instanceof VerdictError && error.code === 'no_policy_set')) throw error;
    throw new VerdictError('not_found', 'There is no default policy set; each set is below /sets/{set}.');
  }
}
