import type { ManagedKey } from './managed-keys.js';

/** Times as the rest of the API writes them, and digests left out: they are no secret, and no one needs them. */
export function describeKey({
  name,
  owner,
  scopes,
  policySets,
  addresses,
  dailyQuota,
  createdBy,
  ...key
}: ManagedKey): object {
  const { created, expires, revoked, secrets } = key;
  const lastUsed = Math.max(...secrets.map((secret) => secret.lastUsed ?? 0));
  return {
    name,
    owner,
    scopes,
    sets: policySets,
    addresses,
    dailyQuota,
    expires: time(expires),
    created: time(created),
    createdBy,
    revoked: time(revoked),
    lastUsed: lastUsed === 0 ? undefined : time(lastUsed),
    secrets: secrets.map((secret) => ({
      created: time(secret.created),
      expires: time(secret.expires),
      lastUsed: time(secret.lastUsed),
    })),
  };
}

function time(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds).toISOString();
}
