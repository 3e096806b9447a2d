import { hash } from 'node:crypto';
import { errors, type JWTPayload, jwtVerify } from 'jose';
import { controlCharacter } from '../core/names.js';
import { VerdictError } from '../errors.js';
import type { Caller } from './caller.js';
import { Grants } from './grants.js';
import { IssuerKeys } from './issuer-keys.js';

export interface AccessTokensOptions {
  readonly issuers: readonly { readonly issuer: string; readonly jwksUrl?: string }[];
  readonly audience: readonly string[];
  readonly algorithms: readonly string[];
  /** Claim that holds the scopes, beside `scope` and `scp`. */
  readonly scopeClaim?: string;
  /** How far the issuer's clock may be off, in seconds. */
  readonly clockSkewSeconds: number;
  /** The furthest end (`exp`) of a token that is accepted, in seconds from now; 86,400 when left out. */
  readonly maxLifetimeSeconds?: number;
  /** How long an issuer's keys stay good while it cannot be asked, in seconds; 3,600 when left out. */
  readonly keysMaxAgeSeconds?: number;
  /** Called with the name of each caller whose token was verified. */
  readonly onCaller?: (name: string) => void;
  readonly onProblem: (issuer: string, error: unknown) => void;
}

/** Longest token, in characters; no provider's is longer. A longer one is refused before it is hashed. */
const maxTokenLength = 8_192;
const maxCached = 10_000;
/** A token is verified again after this time, in milliseconds, since the issuer's keys may have changed. */
const cachedMs = 5 * 60_000;
export const defaultMaxLifetimeSeconds = 86_400;
export const defaultKeysMaxAgeSeconds = 3_600;
/**
 * Accepted values of `typ`: those of RFC 9068 section 2.1 and of older providers. ID and log-out tokens have others.
 */
const tokenTypes = new Set([undefined, 'at+jwt', 'application/at+jwt', 'jwt']);

interface Verified {
  readonly caller: Caller;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/**
 * OAuth 2.0 access tokens (RFC 9068) and those of OpenID providers: signature by a key of the issuer, pinned
 * algorithms, issuer, audience, times, type.
 *
 * A verified token is remembered by its hash until it expires, for five minutes at most, so that a thousand requests a
 * second with one token cost one signature. The cache is bounded, and emptied when an issuer changes its keys.
 */
export class AccessTokens {
  private readonly issuers: ReadonlyMap<string, IssuerKeys>;
  private readonly verified = new Map<string, Verified>();

  constructor(private readonly options: AccessTokensOptions) {
    this.issuers = new Map(
      options.issuers.map(({ issuer, jwksUrl }) => [
        issuer,
        new IssuerKeys({
          issuer,
          ...(jwksUrl !== undefined && { jwksUrl }),
          maxAgeMs: (options.keysMaxAgeSeconds ?? defaultKeysMaxAgeSeconds) * 1000,
          onProblem: (error) => options.onProblem(issuer, error),
          onChange: () => this.verified.clear(),
        }),
      ]),
    );
  }

  /** Stops the fetching of keys in the background. */
  close(): void {
    for (const keys of this.issuers.values()) keys.close();
  }

  /** The caller of a token that was verified before and still holds; costs a hash and a look-up. */
  cached(token: string, now: number): Caller | undefined {
    if (token.length > maxTokenLength) return undefined;
    const found = this.verified.get(hash('sha256', token, 'base64'));
    return found !== undefined && found.expires > now ? found.caller : undefined;
  }

  /**
   * Verifies a token. Returns its caller, or a text for the operator that says what is wrong with it.
   *
   * @throws VerdictError `identity_provider_unavailable` if there are no keys to verify it with
   */
  async verify(token: string, now: number): Promise<Caller | string> {
    if (token.length > maxTokenLength) return 'token too long';
    try {
      const { payload } = await jwtVerify(token, this.keyOf, {
        issuer: [...this.issuers.keys()],
        audience: [...this.options.audience],
        algorithms: [...this.options.algorithms],
        clockTolerance: this.options.clockSkewSeconds,
        currentDate: new Date(now),
        requiredClaims: ['exp', 'iss', 'aud'],
      });
      const wrongTime = this.faultInTimes(payload, now);
      if (wrongTime !== undefined) return wrongTime;
      const name = this.nameOf(payload);
      if (name === undefined) return 'token names nobody: no sub, client_id or azp';
      // Names are written into records and logs, where a reader could take one name for another.
      if (controlCharacter.test(name)) return 'the name in the token has a control character';
      const caller: Caller = Object.freeze({ name, method: 'jwt', grants: this.grantsOf(payload), claims: payload });
      this.options.onCaller?.(name);
      const expires = (payload.exp! + this.options.clockSkewSeconds) * 1000;
      this.remember(token, { caller, expires: Math.min(expires, now + cachedMs) });
      return caller;
    } catch (error) {
      if (error instanceof VerdictError) throw error;
      if (error instanceof errors.JOSEError) return `${error.code}: ${error.message}`;
      // A malformed key makes Web Crypto throw. That is a refused token and not an internal error.
      return `token cannot be verified: ${(error as Error).message}`;
    }
  }

  /** The issuer is read before the signature is verified, only to choose among the configured ones' keys. */
  private readonly keyOf: Parameters<typeof jwtVerify>[1] = (header, token) => {
    const type = header.typ;
    if (type !== undefined && (typeof type !== 'string' || !tokenTypes.has(type.toLowerCase()))) {
      throw new errors.JWTInvalid('the type of the token is not that of an access token');
    }
    const keys = this.issuers.get(issuerIn(token.payload as string));
    if (keys === undefined) throw new errors.JWTInvalid('the issuer is none of the configured ones');
    return keys.find(header, token);
  };

  /** Checks what jose accepts: an end too far away, and a token from the future. */
  private faultInTimes({ exp, iat }: JWTPayload, now: number): string | undefined {
    const { clockSkewSeconds, maxLifetimeSeconds = defaultMaxLifetimeSeconds } = this.options;
    const latest = now / 1000 + clockSkewSeconds;
    if (exp! > latest + maxLifetimeSeconds) return `the end of the token is more than ${maxLifetimeSeconds} s away`;
    if (iat === undefined) return undefined;
    if (typeof iat !== 'number' || iat > latest) return 'the token was issued in the future';
    return iat > exp! ? 'the token ends before it was issued' : undefined;
  }

  private nameOf({ sub, iss, client_id, azp }: JWTPayload): string | undefined {
    const name = [sub, client_id, azp].find((claim) => typeof claim === 'string' && claim !== '');
    // Two issuers may know different people by the same name.
    return typeof name !== 'string' || this.issuers.size === 1 ? (name as string | undefined) : `${iss}|${name}`;
  }

  private grantsOf(payload: JWTPayload): Grants {
    const { scopeClaim } = this.options;
    const claims = [payload.scope, payload.scp, ...(scopeClaim === undefined ? [] : [payload[scopeClaim]])];
    const texts = claims.flatMap((claim) =>
      typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [],
    );
    return Grants.ofTexts(texts.filter((text) => typeof text === 'string'));
  }

  private remember(token: string, verified: Verified): void {
    // Removes the oldest. If it is still valid, it is verified again when it is used next.
    if (this.verified.size >= maxCached) this.verified.delete(this.verified.keys().next().value!);
    this.verified.set(hash('sha256', token, 'base64'), verified);
  }
}

function issuerIn(payload: string): string {
  try {
    const { iss } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { iss?: unknown };
    return typeof iss === 'string' ? iss : '';
  } catch {
    return '';
  }
}
