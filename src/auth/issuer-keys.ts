import { createLocalJWKSet, errors, type FlattenedJWSInput, type JSONWebKeySet, type JWSHeaderParameters } from 'jose';
import { isTrustworthyUrl } from '../config/token-rules.js';
import { VerdictError } from '../errors.js';

/** Shortest time between two fetches that an unknown key causes, in milliseconds. */
const cooldownMs = 10_000;
/** Time between two fetches, in milliseconds. A key that the issuer withdrew is valid for this long at most. */
const refreshMs = 60_000;
const timeoutMs = 5_000;
const maxBytes = 512 * 1024;

export interface IssuerKeysOptions {
  readonly issuer: string;
  /** Undefined: the `jwks_uri` of the issuer's OpenID or OAuth metadata. */
  readonly jwksUrl?: string;
  /** Called with the error of each failed fetch. */
  readonly onProblem: (error: unknown) => void;
  /** How long the keys that were fetched last stay good while none can be fetched, in milliseconds. */
  readonly maxAgeMs: number;
  /** Called when the issuer's keys have changed or have expired. */
  readonly onChange: () => void;
  /** Milliseconds between two fetches; 60,000 when left out. */
  readonly refreshMs?: number;
}

/**
 * The public keys of one issuer: fetched when they are first needed, from then on each minute, and when a token names a
 * key that is not among them (at a bounded rate, so that invented names do not flood the issuer). While the issuer is
 * away, or answers without a key, the last keys stay valid for `maxAgeMs`.
 */
export class IssuerKeys {
  private keySet: ReturnType<typeof createLocalJWKSet> | undefined;
  private text = '';
  private jwksUrl: string | undefined;
  private triedAt = Number.NEGATIVE_INFINITY;
  private fetchedAt = Number.NEGATIVE_INFINITY;
  private fetching: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: IssuerKeysOptions) {
    this.jwksUrl = options.jwksUrl;
  }

  /**
   * The key that a token is signed with. It is chosen from the issuer's keys alone: `jwk`, `jku` and `x5u` in a header,
   * which the sender writes, are never looked at.
   *
   * @throws VerdictError `identity_provider_unavailable` while there are no keys at all; jose's errors for an unknown key
   */
  readonly find = async (header: JWSHeaderParameters, token: FlattenedJWSInput) => {
    this.timer ??= setInterval(() => void this.refresh(), this.options.refreshMs ?? refreshMs).unref();
    this.dropWhatIsTooOld();
    if (this.keySet === undefined) await this.fetchAtBoundedRate();
    try {
      return await this.known(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.fetchAtBoundedRate();
      return this.known(header, token);
    }
  };

  /** Stops the fetching in the background. */
  close(): void {
    clearInterval(this.timer);
  }

  private async refresh(): Promise<void> {
    this.triedAt = performance.now();
    await this.fetchOnce();
    this.dropWhatIsTooOld();
  }

  private dropWhatIsTooOld(): void {
    if (this.keySet === undefined || performance.now() - this.fetchedAt <= this.options.maxAgeMs) return;
    this.keySet = undefined;
    this.options.onChange();
  }

  private known(header: JWSHeaderParameters, token: FlattenedJWSInput) {
    if (this.keySet === undefined) {
      throw new VerdictError('identity_provider_unavailable', 'The keys of the token issuer cannot be fetched now.', {
        retryAfter: cooldownMs / 1000,
      });
    }
    return this.keySet(header, token);
  }

  private fetchAtBoundedRate(): Promise<void> {
    if (this.fetching === undefined) {
      if (performance.now() - this.triedAt < cooldownMs) return Promise.resolve();
      this.triedAt = performance.now();
    }
    return this.fetchOnce();
  }

  private fetchOnce(): Promise<void> {
    this.fetching ??= this.fetch()
      .catch(this.options.onProblem)
      .finally(() => {
        this.fetching = undefined;
      });
    return this.fetching;
  }

  private async fetch(): Promise<void> {
    this.jwksUrl ??= await this.discover();
    const text = await fetchText(this.jwksUrl);
    const keySet = JSON.parse(text) as JSONWebKeySet;
    const local = createLocalJWKSet(keySet);
    if (!keySet.keys.some(({ kty }) => typeof kty === 'string'))
      throw new Error(`${this.jwksUrl} answered without any key`);
    this.keySet = local;
    this.fetchedAt = performance.now();
    if (text !== this.text && this.text !== '') this.options.onChange();
    this.text = text;
  }

  /** OpenID Connect Discovery 1.0 section 4; RFC 8414 section 3 puts its path in front of the issuer's. */
  private async discover(): Promise<string> {
    const { issuer } = this.options;
    const base = new URL(issuer);
    const path = base.pathname.replace(/\/$/, '');
    const places = [
      `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
      `${base.origin}/.well-known/oauth-authorization-server${path}`,
    ];
    let problem: unknown;
    for (const place of places) {
      try {
        const metadata = JSON.parse(await fetchText(place)) as { issuer?: unknown; jwks_uri?: unknown };
        if (metadata.issuer !== issuer) throw new Error(`${place} speaks for another issuer: ${metadata.issuer}`);
        if (typeof metadata.jwks_uri !== 'string') throw new Error(`${place} names no jwks_uri`);
        if (!isTrustworthyUrl(metadata.jwks_uri)) throw new Error(`${place} names keys on plain HTTP`);
        return metadata.jwks_uri;
      } catch (error) {
        problem ??= error;
      }
    }
    throw problem;
  }
}

async function fetchText(url: string): Promise<string> {
  const response = await fetch(url, {
    // Refused below. With `error`, Node forgets the signal once the head of the answer is there.
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
    headers: { accept: 'application/json' },
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > maxBytes) throw new Error(`${url} answered more than ${maxBytes} bytes`);
  }
  return text;
}
