import { addressList } from '../config/address-list.js';
import type { ApiKey, Credential } from './api-key-entry.js';
import { type DeclaredCaller, declaredNames } from './api-key-file.js';
import { Grants } from './grants.js';
import type { ManagedKey } from './managed-keys.js';
import { parseScope } from './scopes.js';

/** The current keys and certificates. The table is replaced as a whole, never changed. */
export interface CredentialTable {
  readonly byDigest: ReadonlyMap<string, Credential>;
  readonly byCertificate: ReadonlyMap<string, Credential>;
}

/** Also returns the names of the managed keys that are left out, since a record's caller must have one meaning. */
export function credentialTableOf(
  declared: readonly DeclaredCaller[],
  stored: readonly ManagedKey[],
): { readonly table: CredentialTable; readonly hidden: readonly string[] } {
  const taken = declaredNames(declared);
  const hidden: string[] = [];
  const byDigest = new Map<string, Credential>();
  const byCertificate = new Map<string, Credential>();
  // The file comes last: if both have a digest, the file wins.
  for (const key of stored) {
    if (key.revoked !== undefined) continue;
    if (taken.has(key.name.toLowerCase())) {
      hidden.push(key.name);
      continue;
    }
    for (const { digest, expires } of key.secrets) byDigest.set(digest, credentialOf(key, 'managed', expires));
  }
  for (const { key, digests, certificates } of declared) {
    const credential = credentialOf(key, 'declared');
    for (const digest of digests) byDigest.set(digest, credential);
    for (const name of certificates) byCertificate.set(name, credential);
  }
  return { table: Object.freeze({ byDigest, byCertificate }), hidden };
}

function credentialOf(key: ApiKey, source: Credential['source'], secretExpires = Number.POSITIVE_INFINITY): Credential {
  const scopes = key.scopes.map(parseScope).filter((scope) => scope !== undefined);
  return Object.freeze({
    key,
    grants: Grants.of(scopes, key.policySets),
    expires: Math.min(key.expires ?? Number.POSITIVE_INFINITY, secretExpires),
    from: key.addresses === undefined ? undefined : addressList(key.addresses),
    source,
  });
}
