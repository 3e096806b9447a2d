import type { AuditLog } from '../audit/audit-log.js';
import { VerdictError } from '../errors.js';
import type { ApiKey } from './api-key-entry.js';
import type { ApiKeys } from './api-keys.js';
import { anonymous } from './caller.js';
import { Grants, type PolicySets } from './grants.js';
import { keyNotFound, type ManagedKey, type ManagedKeys } from './managed-keys.js';
import { knownScopes, parseScope } from './scopes.js';

/** Who manages keys, and for which policy sets: the sets of the scope `keys:admin`. */
export interface KeyAdministrator {
  readonly name: string;
  readonly method: string;
  readonly policySets: PolicySets;
  readonly address?: string;
  readonly requestId?: string;
}

/**
 * Managed API keys, for callers that may manage them. `keys:admin` amounts to every other scope, since it can make a
 * key that has them; limited to policy sets, it makes and sees only keys that reach no further than those.
 */
export class KeyAdministration {
  constructor(
    private readonly keys: ManagedKeys,
    private readonly live: Pick<ApiKeys, 'refresh' | 'isOfAnotherKind'>,
    private readonly audit: AuditLog,
    private readonly environment: string,
  ) {}

  async list(by: KeyAdministrator): Promise<readonly ManagedKey[]> {
    return (await this.keys.list()).filter((key) => reachesOnly(key, by.policySets));
  }

  /** @throws VerdictError `api_key_not_found` */
  async find(name: string, by: KeyAdministrator): Promise<ManagedKey> {
    const key = await this.keys.find(name);
    if (key !== undefined && reachesOnly(key, by.policySets)) return key;
    throw keyNotFound(name);
  }

  /**
   * Makes a key and returns its text, which cannot be had again.
   *
   * @throws VerdictError `api_key_exists`, also for the name of a caller of another kind; `forbidden` for a key with
   *   more rights than its maker
   */
  async create(key: ApiKey, by: KeyAdministrator): Promise<string> {
    if (!reachesOnly(key, by.policySets)) {
      throw new VerdictError('forbidden', 'The key would reach policy sets that the credential does not administer.');
    }
    if (this.live.isOfAnotherKind(key.name) || isReserved(key.name)) {
      throw new VerdictError('api_key_exists', `The name "${key.name}" is taken by a caller of another kind.`);
    }
    const text = await this.keys.create(key, this.environment, by.name, Date.now());
    await this.done('api_key_created', `${key.name}: ${key.scopes.join(' ')}`, by);
    return text;
  }

  /** A new secret for the key; the one before stays good for `overlapMs`. */
  async rotate(name: string, overlapMs: number, by: KeyAdministrator): Promise<string> {
    await this.find(name, by);
    const text = await this.keys.rotate(name, this.environment, overlapMs, Date.now());
    await this.done('api_key_rotated', name, by);
    return text;
  }

  /** When this resolves, the key is refused here; other processes see it within a second. */
  async revoke(name: string, by: KeyAdministrator): Promise<void> {
    await this.find(name, by);
    await this.keys.revoke(name, Date.now());
    await this.done('api_key_revoked', name, by);
  }

  private async done(
    type: 'api_key_created' | 'api_key_rotated' | 'api_key_revoked',
    detail: string,
    { name: actor, method, address, requestId }: KeyAdministrator,
  ): Promise<void> {
    await this.live.refresh();
    await this.audit.record({
      type,
      actor,
      method,
      detail,
      ...(address !== undefined && { address }),
      ...(requestId !== undefined && { requestId }),
    });
  }
}

/** Names that records use for callers without a key. A key must not have them. */
function isReserved(name: string): boolean {
  return name.toLowerCase() === anonymous.name;
}

function reachesOnly({ scopes, policySets }: ApiKey, within: PolicySets): boolean {
  if (within === 'all') return true;
  const granted = scopes.map(parseScope).filter((scope) => scope !== undefined);
  const grants = Grants.of(granted, policySets);
  return knownScopes.every((scope) => {
    const sets = grants.policySets(scope);
    return sets !== 'all' && sets.every((set) => within.includes(set));
  });
}
