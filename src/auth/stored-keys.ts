import type { ManagedKey } from './managed-keys.js';

/** A key as it lies in a table, whatever the database. Times in milliseconds since 1970. */
export interface StoredKey {
  readonly name: string;
  readonly owner: string | null;
  readonly scopes: readonly string[];
  readonly policy_sets: readonly string[] | null;
  readonly addresses: readonly string[] | null;
  readonly daily_quota: number | null;
  readonly expires: number | null;
  readonly created: number;
  readonly created_by: string;
  readonly revoked: number | null;
}

export interface StoredSecret {
  readonly digest: string;
  readonly key_name: string;
  readonly created: number;
  readonly expires: number | null;
  readonly last_used: number | null;
}

/** The keys with their secrets, both in the order in which they come. What is null in a table is left out. */
export function toManagedKeys(keys: readonly StoredKey[], secrets: readonly StoredSecret[]): ManagedKey[] {
  const byName = new Map<string, StoredSecret[]>(keys.map(({ name }) => [name, []]));
  for (const secret of secrets) byName.get(secret.key_name)?.push(secret);
  return keys.map((key) => toManagedKey(key, byName.get(key.name)!));
}

function toManagedKey(key: StoredKey, secrets: readonly StoredSecret[]): ManagedKey {
  return Object.freeze({
    name: key.name,
    ...(key.owner !== null && { owner: key.owner }),
    scopes: key.scopes,
    ...(key.policy_sets !== null && { policySets: key.policy_sets }),
    ...(key.addresses !== null && { addresses: key.addresses }),
    ...(key.daily_quota !== null && { dailyQuota: key.daily_quota }),
    ...(key.expires !== null && { expires: key.expires }),
    created: key.created,
    createdBy: key.created_by,
    ...(key.revoked !== null && { revoked: key.revoked }),
    secrets: secrets.map(({ digest, created, expires, last_used }) => ({
      digest,
      created,
      ...(expires !== null && { expires }),
      ...(last_used !== null && { lastUsed: last_used }),
    })),
  });
}
