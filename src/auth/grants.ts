import { type GrantedScope, knownScopes, parseScope, type ScopeName } from './scopes.js';

/** The policy sets that a scope holds for; empty without the scope. */
export type PolicySets = 'all' | readonly string[];

/**
 * What a caller may do, by scope (P7). Frozen; asking costs one map look-up.
 *
 *     const grants = Grants.of([{ scope: 'decide', policySet: 'invoices' }]);
 *     grants.policySets('decide')     // ['invoices']
 *     grants.has('decisions:read')    // false
 */
export class Grants {
  /** Every scope on every set, for callers while authentication is off. */
  static readonly all = new Grants(new Map(knownScopes.map((scope) => [scope, 'all'])));

  private constructor(private readonly setsOf: ReadonlyMap<ScopeName, PolicySets>) {}

  /** `only` limits every scope to these sets, beside what the scopes say themselves. */
  static of(granted: readonly GrantedScope[], only?: readonly string[]): Grants {
    const setsOf = new Map<ScopeName, PolicySets>();
    for (const { scope, policySet } of granted) {
      const sets = policySet === undefined ? (only ?? 'all') : within(only, policySet);
      const before = setsOf.get(scope) ?? [];
      setsOf.set(scope, before === 'all' || sets === 'all' ? 'all' : [...new Set([...before, ...sets])]);
    }
    return new Grants(setsOf);
  }

  /** The scopes among the texts of a token. Other texts are ignored. */
  static ofTexts(texts: readonly string[]): Grants {
    return Grants.of(texts.map(parseScope).filter((granted) => granted !== undefined));
  }

  /** Whether the scope holds for any set. */
  has(scope: ScopeName): boolean {
    return this.policySets(scope).length > 0;
  }

  policySets(scope: ScopeName): PolicySets {
    return this.setsOf.get(scope) ?? [];
  }

  allows(scope: ScopeName, policySet: string): boolean {
    const sets = this.policySets(scope);
    return sets === 'all' || sets.includes(policySet);
  }

  /** The scopes in the form that keys have. */
  toTexts(): string[] {
    return [...this.setsOf].flatMap(([scope, sets]) =>
      sets === 'all' ? [scope] : sets.map((set) => `${scope}:${set}`),
    );
  }
}

function within(only: readonly string[] | undefined, policySet: string): readonly string[] {
  return only === undefined || only.includes(policySet) ? [policySet] : [];
}
