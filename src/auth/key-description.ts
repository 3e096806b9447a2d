import { Integer, Parts, Text, Texts, Time } from '../answers/members.js';
import type { ManagedKey } from './managed-keys.js';

/** One secret of a key, without its text. */
export class ApiKeySecretDescription {
  @Time()
  readonly created!: string;

  @Time({ optional: true })
  readonly expires?: string | undefined;

  @Time({ optional: true })
  readonly lastUsed?: string | undefined;
}

/** An API key as its administrators see it. */
export class ApiKeyDescription {
  @Text()
  readonly name!: string;

  @Text({ optional: true })
  readonly owner?: string | undefined;

  @Texts()
  readonly scopes!: readonly string[];

  @Texts({ optional: true, description: 'The policy sets that every scope is limited to.' })
  readonly sets?: readonly string[] | undefined;

  @Texts({ optional: true, description: 'The addresses and ranges that the key may be used from.' })
  readonly addresses?: readonly string[] | undefined;

  @Integer({ optional: true, description: 'Decisions a day (UTC).' })
  readonly dailyQuota?: number | undefined;

  @Time({ optional: true })
  readonly expires?: string | undefined;

  @Time()
  readonly created!: string;

  @Text()
  readonly createdBy!: string;

  @Time({ optional: true })
  readonly revoked?: string | undefined;

  @Time({ optional: true })
  readonly lastUsed?: string | undefined;

  @Parts(() => ApiKeySecretDescription)
  readonly secrets!: readonly ApiKeySecretDescription[];
}

/** Describes a key with times as RFC 3339. Digests are left out: they are not secret, but nobody needs them. */
export function describeKey({
  name,
  owner,
  scopes,
  policySets,
  addresses,
  dailyQuota,
  createdBy,
  ...key
}: ManagedKey): ApiKeyDescription {
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
    created: textOf(created),
    createdBy,
    revoked: time(revoked),
    lastUsed: lastUsed === 0 ? undefined : time(lastUsed),
    secrets: secrets.map((secret) => ({
      created: textOf(secret.created),
      expires: time(secret.expires),
      lastUsed: time(secret.lastUsed),
    })),
  };
}

function time(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : textOf(milliseconds);
}

function textOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
