/** Scopes: what a caller may do. Each can be limited to a policy set: `decide:invoices`. */

export const knownScopes = [
  'decide',
  'explain',
  'decisions:read',
  'decisions:erase',
  'policies:read',
  'policies:write',
  'data:read',
  'data:write',
  'bundles:read',
  'keys:admin',
  'metrics:read',
] as const;
export type ScopeName = (typeof knownScopes)[number];

/** A scope as it was granted: for one policy set, or for all of them. */
export interface GrantedScope {
  readonly scope: ScopeName;
  readonly policySet?: string;
}

/**
 * Reads a scope as keys and tokens write it; undefined for any other text.
 *
 *     parseScope('decisions:read')          // { scope: 'decisions:read' }
 *     parseScope('decisions:read:invoices') // { scope: 'decisions:read', policySet: 'invoices' }
 */
export function parseScope(text: string): GrantedScope | undefined {
  for (const scope of knownScopes) {
    if (text === scope) return { scope };
    if (text.startsWith(`${scope}:`) && text.length > scope.length + 1) {
      return { scope, policySet: text.slice(scope.length + 1) };
    }
  }
  return undefined;
}
