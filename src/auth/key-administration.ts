import type { AuditLog } from '../audit/audit-log.js';
import { VerdictError } from '../errors.js';
import type { ApiKey } from './api-key-entry.js';
import type { ApiKeys } from './api-keys.js';
import { anonymous } from './caller.js';
import { Grants, type PolicySets } from './grants.js';
import { keyNotFound, type ManagedKey, type ManagedKeys } from './managed-keys.js';
import { knownScopes, parseScope } from './scopes.js';

/** Who manages keys. The sets of its scope `keys:admin` are those that it administers. */
export interface KeyAdministrator {
  readonly name: string;
  readonly method: string;
  readonly grants: Grants;
  readonly address?: string;
  readonly requestId?: string;
}

/**
 * Managed API keys, for callers that may manage them (P7). `keys:admin` for all sets amounts to every other scope: the
 * first key of a service has nobody to get them from. Limited to policy sets, it sees and revokes only keys that reach
 * no further than those, and hands out only what it holds itself: else it could make a key that may do more than it.
 */
export class KeyAdministration {
  constructor(
    private readonly keys: ManagedKeys,
    private readonly live: Pick<ApiKeys, 'refresh' | 'isOfAnotherKind'>,
    private readonly audit: AuditLog,
    private readonly environment: string,
  ) {}

  async list(by: KeyAdministrator): Promise<readonly ManagedKey[]> {
    return (await this.keys.list()).filter((key) => reachesOnly(key, administered(by)));
  }

  /** @throws VerdictError `api_key_not_found` */
  async find(name: string, by: KeyAdministrator): Promise<ManagedKey> {
    const key = await this.keys.find(name);
    if (key !== undefined && reachesOnly(key, administered(by))) return key;
    throw keyNotFound(name);
  }

  /**
   * Makes a key and returns its text, which cannot be had again.
   *
   * @throws VerdictError `api_key_exists`, also for the name of a caller of another kind; `forbidden` for a key with
   *   more rights than its maker
   */
  async create(key: ApiKey, by: KeyAdministrator): Promise<string> {
    if (!reachesOnly(key, administered(by))) {
      throw new VerdictError('forbidden', 'The key would reach policy sets that the credential does not administer.');
    }
    refuseMoreThanHeld(key, by);
    if (this.live.isOfAnotherKind(key.name) || isReserved(key.name)) {
      throw new VerdictError('api_key_exists', `The name "${key.name}" is taken by a caller of another kind.`);
    }
    const text = await this.keys.create(key, this.environment, by.name, Date.now());
    await this.done('api_key_created', `${key.name}: ${key.scopes.join(' ')}`, by);
    return text;
  }

  /**
   * A new secret for the key; the one before stays good for `overlapMs`.
   *
   * @throws VerdictError `forbidden` for a key with more rights than the administrator, who learns the secret
   */
  async rotate(name: string, overlapMs: number, by: KeyAdministrator): Promise<string> {
    refuseMoreThanHeld(await this.find(name, by), by);
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

function administered({ grants }: KeyAdministrator): PolicySets {
  return grants.policySets('keys:admin');
}

function reachesOnly(key: ApiKey, within: PolicySets): boolean {
  if (within === 'all') return true;
  const grants = grantsOf(key);
  return knownScopes.every((scope) => {
    const sets = grants.policySets(scope);
    return sets !== 'all' && sets.every((set) => within.includes(set));
  });
}

function grantsOf({ scopes, policySets }: ApiKey): Grants {
  return Grants.of(
    scopes.map(parseScope).filter((scope) => scope !== undefined),
    policySets,
  );
}

/** @throws VerdictError `forbidden` that names each scope of the key that its administrator does not hold */
function refuseMoreThanHeld(key: ApiKey, by: KeyAdministrator): void {
  if (administered(by) === 'all') return;
  const grants = grantsOf(key);
  const lacking = knownScopes.flatMap((scope) => {
    const sets = grants.policySets(scope);
    if (sets === 'all') return by.grants.policySets(scope) === 'all' ? [] : [scope];
    return sets.filter((set) => !by.grants.allows(scope, set)).map((set) => `${scope}:${set}`);
  });
  if (lacking.length === 0) return;
  const named = lacking.slice(0, mostNamed).join(', ');
  throw new VerdictError(
    'forbidden',
    `The key has scopes that the credential does not hold itself: ${named}${lacking.length > mostNamed ? ', …' : ''}.`,
  );
}

/** Most scopes that a refusal names. */
const mostNamed = 20;
