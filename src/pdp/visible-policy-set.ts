import type { PolicySets } from '../auth/grants.js';
import { noPolicySet, policySetNotFound } from '../errors.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';

/**
 * The policy set that a request names, among the sets that the caller may use. So the default is the caller's default
 * (the configured one, the one named `default`, or the only one), and any other set is not found like what is not.
 *
 * @throws VerdictError `no_policy_set` with the names of the caller's sets, `policy_set_not_found`,
 *   `policy_set_unavailable`
 */
export function visiblePolicySet(store: PolicyStore, visible: PolicySets, name: string | undefined): ServedPolicySet {
  return store.resolve(visibleName(store, visible, name));
}

/**
 * The name of that set, which need not be there. Undefined where the caller may use all sets, names none, and there is no
 * default.
 *
 * @throws VerdictError `no_policy_set`, `policy_set_not_found`
 */
export function visibleName(store: PolicyStore, visible: PolicySets, name: string | undefined): string | undefined {
  if (visible === 'all') return name ?? store.defaultName();
  const chosen = name ?? defaultAmong(store, visible);
  if (chosen === undefined) {
    throw noPolicySet(visible);
  }
  if (!visible.includes(chosen)) throw policySetNotFound(chosen);
  return chosen;
}

function defaultAmong(store: PolicyStore, visible: readonly string[]): string | undefined {
  const ofAll = store.defaultName();
  if (ofAll !== undefined && visible.includes(ofAll)) return ofAll;
  return visible.length === 1 ? visible[0] : undefined;
}
