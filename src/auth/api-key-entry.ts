import type { Grants } from './grants.js';

/** One API key, whether a file declares it or the database holds it. */
export interface ApiKey {
  /** The caller's name in records and audit events, and the user name of HTTP Basic. */
  readonly name: string;
  /** Who is responsible for the key; a text for people. */
  readonly owner?: string;
  /** Scopes as texts: `decide`, `decide:invoices`. */
  readonly scopes: readonly string[];
  /** Limits every scope to these policy sets. */
  readonly policySets?: readonly string[];
  /** Milliseconds since the epoch; from then on the key is refused. */
  readonly expires?: number;
  /** Addresses and ranges that it may be used from; undefined: any. */
  readonly addresses?: readonly string[];
  /** Most decisions a day (UTC). */
  readonly dailyQuota?: number;
}

/** A secret of a key, by its digest. While a key is rotated it has two. */
export interface ApiKeySecret {
  /** SHA-256 in hexadecimal. */
  readonly digest: string;
  /** Milliseconds since the epoch: how long the secret before a rotation stays good. */
  readonly expires?: number;
}

/** The result of a key's look-up; made once for each key and frozen. */
export interface Credential {
  readonly key: ApiKey;
  readonly grants: Grants;
  /** The earlier end of key and secret, in milliseconds since the epoch. */
  readonly expires: number;
  readonly from: ((address: string) => boolean) | undefined;
  readonly source: 'declared' | 'managed';
}
