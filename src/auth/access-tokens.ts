import { hash } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { controlCharacter } from '../core/names.js';
import type { Caller } from './caller.js';
import { Grants } from './grants.js';
import { isTokenFault, maxTokenLength, TokenVerifier, type TokenVerifierOptions } from './token-verifier.js';

export interface AccessTokensOptions extends TokenVerifierOptions {
  readonly audience: readonly string[];
  /** Claim that holds the scopes, beside `scope` and `scp`. */
  readonly scopeClaim?: string;
  /** Called with the name of each caller whose token was verified. */
  readonly onCaller?: (name: string) => void;
}

const maxCached = 10_000;
/** A token is verified again after this time, in milliseconds, since the issuer's keys may have changed. */
const cachedMs = 5 * 60_000;

interface Verified {
  readonly caller: Caller;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/**
 * The callers of OAuth 2.0 access tokens (RFC 9068) and of those of OpenID providers.
 *
 * A verified token is remembered by its hash until it expires, for five minutes at most, so that a thousand requests a
 * second with one token cost one signature. The cache is bounded, and emptied when an issuer changes its keys.
 */
export class AccessTokens {
  private readonly verifier: TokenVerifier;
  private readonly verified = new Map<string, Verified>();

  constructor(private readonly options: AccessTokensOptions) {
    this.verifier = new TokenVerifier(options, () => this.verified.clear());
  }

  /** Stops the fetching of keys in the background. */
  close(): void {
    this.verifier.close();
  }

  /** The caller of a token that was verified before and still holds; costs a hash and a look-up. */
  cached(token: string, now: number): Caller | undefined {
    if (token.length > maxTokenLength) return undefined;
    const found = this.verified.get(hash('sha256', token, 'base64'));
    return found !== undefined && found.expires > now ? found.caller : undefined;
  }

  /** As `verify`, for a token that may have been verified before. */
  async callerOf(token: string, now: number): Promise<Caller | string> {
    return this.cached(token, now) ?? this.verify(token, now);
  }

  /**
   * Verifies a token. Returns its caller, or a text for the operator that says what is wrong with it.
   *
   * @throws VerdictError `identity_provider_unavailable` if there are no keys to verify it with
   */
  async verify(token: string, now: number): Promise<Caller | string> {
    const payload = await this.verifier.verify(token, { audience: this.options.audience }, now);
    if (isTokenFault(payload)) return payload.text;
    const name = this.nameOf(payload);
    if (name === undefined) return 'token names nobody: no sub, client_id or azp';
    // Names are written into records and logs, where a reader could take one name for another.
    if (controlCharacter.test(name)) return 'the name in the token has a control character';
    const caller: Caller = Object.freeze({ name, method: 'jwt', grants: this.grantsOf(payload), claims: payload });
    this.options.onCaller?.(name);
    this.remember(token, { caller, expires: Math.min(this.verifier.endOf(payload), now + cachedMs) });
    return caller;
  }

  private nameOf({ sub, iss, client_id, azp }: JWTPayload): string | undefined {
    const name = [sub, client_id, azp].find((claim) => typeof claim === 'string' && claim !== '');
    // Two issuers may know different people by the same name.
    return typeof name !== 'string' || this.verifier.issuerCount === 1
      ? (name as string | undefined)
      : `${iss}|${name}`;
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
