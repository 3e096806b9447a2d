import type { Grants } from './grants.js';

/** One API key, whether a file declares it or the database holds it. */
export interface ApiKey {
  /** Names the caller: in records, in audit events, and as the user name of HTTP Basic. */
  readonly name: string;
  /** Who answers for it; a text for people. */
  readonly owner?: string;
  /** As `scopesOf` writes them: `decide`, `decide:invoices`. */
  readonly scopes: readonly string[];
  /** Limits every scope to these policy sets. */
  readonly policySets?: readonly string[];
  /** Milliseconds since the epoch; from then on the key is refused. */
  readonly expires?: number;
  /** Addresses and ranges that it may be used from; from anywhere when left out. */
  readonly addresses?: readonly string[];
  /** Decisions a day (UTC). */
  readonly dailyQuota?: number;
}

/** A secret of a key, by its digest. While a key is rotated it has two. */
export interface ApiKeySecret {
  /** SHA-256 in hexadecimal. */
  readonly digest: string;
  /** Milliseconds since the epoch: how long the secret before a rotation stays good. */
  readonly expires?: number;
}

/** What is looked up when a request comes; made once for each key and frozen. */
export interface Credential {
  readonly key: ApiKey;
  readonly grants: Grants;
  /** The earlier of the key's and the secret's end; milliseconds since the epoch. */
  readonly expires: number;
  readonly from: ((address: string) => boolean) | undefined;
  readonly source: 'declared' | 'managed';
}
