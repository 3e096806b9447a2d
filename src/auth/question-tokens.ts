import { hash } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { AttributeCount, type RequestLimits } from '../core/asked/attribute-count.js';
import { pointerToRounded } from '../core/exact-json.js';
import { pointerStep } from '../core/json-pointer.js';
import type { DeclaredToken, DeclaredTokens } from '../core/manifest/declared-tokens.js';
import { controlCharacter } from '../core/names.js';
import type { Json, JsonObject, TokenClaims } from '../core/request.js';
import { type ErrorCode, VerdictError } from '../errors.js';
import {
  isTokenFault,
  maxTokenLength,
  type TokenFault,
  TokenVerifier,
  type TokenVerifierOptions,
} from './token-verifier.js';

/** Tokens by the names that a policy set gives them, as the sender wrote them. */
export type SignedTokens = Readonly<Record<string, string>>;

export interface QuestionTokensOptions {
  /** Undefined where no issuer is configured: then no token is accepted. */
  readonly verifier: TokenVerifierOptions | undefined;
  readonly limits: RequestLimits;
  /** Most tokens that are remembered; 10,000 when left out. */
  readonly mostCached?: number;
}

const defaultMostCached = 10_000;
/** Most characters of the remembered tokens together. Their claims take about three times as much memory. */
const mostCachedText = 16 * 1024 * 1024;
/** A token is verified again after this time, in milliseconds, since the issuer's keys may have changed. */
const cachedMs = 5 * 60_000;

interface Verified {
  readonly claims: JsonObject;
  /** Milliseconds since the epoch. */
  readonly expires: number;
  /** Length of the token. */
  readonly length: number;
}

/**
 * The tokens that questions bring: verified by the configured issuers, for the audience that the policy set names, and
 * replaced by their claims. Nothing of a token but its hash is kept, and no message or error has a part of it.
 *
 *     await tokens.claimsOf(manifest.tokens, { user: 'eyJ…' }, Date.now())   // { user: { sub: 'ann', roles: ['editor'] } }
 */
export class QuestionTokens {
  private readonly verifier: TokenVerifier | undefined;
  private readonly mostCached: number;
  private readonly verified = new Map<string, Verified>();
  private cachedText = 0;
  /** Counts changes of keys: what was verified by earlier ones is not remembered. */
  private generation = 0;

  constructor(private readonly options: QuestionTokensOptions) {
    const { verifier, mostCached = defaultMostCached } = options;
    this.mostCached = mostCached;
    this.verifier = verifier && new TokenVerifier(verifier, () => this.forget());
  }

  /** Stops the fetching of keys in the background. */
  close(): void {
    this.verifier?.close();
  }

  /** Number of tokens that are remembered. */
  get cachedCount(): number {
    return this.verified.size;
  }

  /**
   * The claims that a set reads, by the names of the tokens.
   *
   * @param declared what the set declares
   * @throws VerdictError `token_unknown`, `token_invalid`, `token_expired`; `token_issuer_unavailable` where it cannot be said
   */
  async claimsOf(declared: DeclaredTokens, tokens: SignedTokens, now: number): Promise<TokenClaims> {
    const names = Object.keys(tokens);
    // Before anything is verified: what is refused anyway costs no signature.
    for (const name of names) {
      if (declared.has(name)) continue;
      const known = declared.size === 0 ? 'it declares none' : `it declares ${[...declared.keys()].join(', ')}`;
      throw refusal('token_unknown', name, `is no token that the policy set declares; ${known}`);
    }
    const claims = names.map(async (name) => {
      return [name, await this.verifyOne(name, declared.get(name)!, tokens[name]!, now)] as const;
    });
    return Object.fromEntries(await Promise.all(claims));
  }

  private async verifyOne(name: string, declared: DeclaredToken, token: string, now: number): Promise<JsonObject> {
    if (token.length > maxTokenLength) {
      throw refusal('token_invalid', name, `is longer than ${maxTokenLength} characters`);
    }
    // One that was verified for this audience is not verified for another one, and its claims are those of this declaration.
    const key = hash('sha256', `${keyOf(declared)}\n${token}`, 'base64');
    const known = this.verified.get(key);
    if (known !== undefined && known.expires > now) return known.claims;
    if (this.verifier === undefined) {
      throw refusal('token_invalid', name, 'cannot be verified: the service has no issuer of tokens');
    }
    const { generation } = this;
    const payload = await this.verify(this.verifier, token, declared, now);
    if (isTokenFault(payload)) {
      const code = payload.kind === 'expired' ? 'token_expired' : 'token_invalid';
      throw refusal(code, name, sentences[payload.kind]);
    }
    const claims = claimsRead(payload, declared);
    const fault = this.faultIn(claims);
    if (fault !== undefined) throw refusal('token_invalid', name, fault);
    const expires = Math.min(this.verifier.endOf(payload), now + cachedMs);
    if (generation === this.generation) this.remember(key, { claims, expires, length: token.length });
    return claims;
  }

  private async verify(verifier: TokenVerifier, token: string, demand: DeclaredToken, now: number) {
    try {
      return await verifier.verify(token, demand, now);
    } catch (error) {
      if (!(error instanceof VerdictError) || error.code !== 'identity_provider_unavailable') throw error;
      throw new VerdictError('token_issuer_unavailable', error.detail, error.extra);
    }
  }

  /** What no attribute of a request may hold either. The end of a sentence that begins with the token. */
  private faultIn(claims: JsonObject): string | undefined {
    const fault = new AttributeCount(this.options.limits).faultIn(claims);
    if (fault !== undefined) return `has claims of which one ${fault.detail}`;
    if (pointerToRounded(claims) !== undefined) return 'has a claim with a number that is too large to be exact';
    if (!isSound(claims)) return 'has a claim that no text of a request may be like';
    // Names that are bound to tokens are written into records and logs, where a reader could take one for another.
    const named = ['sub', 'iss', 'client_id', 'azp'].some((name) => isUnclear(claims[name]));
    return named ? 'names somebody with a control character' : undefined;
  }

  private remember(key: string, verified: Verified): void {
    while (this.verified.size >= this.mostCached || this.cachedText + verified.length > mostCachedText) {
      const [oldest, { length }] = this.verified.entries().next().value!;
      this.verified.delete(oldest);
      this.cachedText -= length;
    }
    const replaced = this.verified.get(key);
    this.verified.set(key, verified);
    this.cachedText += verified.length - (replaced?.length ?? 0);
  }

  private forget(): void {
    this.generation++;
    this.verified.clear();
    this.cachedText = 0;
  }
}

/** What a caller is told: never what is in the token, or in a message about it. */
const sentences: Readonly<Record<TokenFault['kind'], string>> = {
  malformed: 'is no signed token (JWS) with claims',
  signature: 'is not signed by a key of its issuer',
  algorithm: 'is signed by an algorithm that is not accepted',
  issuer: 'is of an issuer that is not accepted',
  audience: 'is for another audience',
  expired: 'has expired',
  time: 'is not valid now: it is for later, or for too long',
  type: 'is of another type: neither an access token nor an ID token',
  claims: 'lacks a claim that a token must have: iss, aud, exp',
};

function refusal(code: ErrorCode, name: string, detail: string): VerdictError {
  const pointer = `/tokens/${pointerStep(name)}`;
  return new VerdictError(code, `The token "${name}" ${detail}.`, {
    errors: [{ pointer, detail: `${name} ${detail}` }],
  });
}

const keys = new WeakMap<DeclaredToken, string>();

function keyOf(declared: DeclaredToken): string {
  let key = keys.get(declared);
  if (key === undefined) {
    const { audience, issuers, claims } = declared;
    key = JSON.stringify([audience, issuers ?? null, claims === undefined ? null : [...claims]]);
    keys.set(declared, key);
  }
  return key;
}

/** The claims that a set reads, by its names for them. */
function claimsRead(payload: JWTPayload, { claims }: DeclaredToken): JsonObject {
  // Sound: the payload was parsed from JSON.
  const all = payload as JsonObject;
  if (claims === undefined) return all;
  const read = [...claims].filter(([, claim]) => Object.hasOwn(all, claim));
  return Object.fromEntries(read.map(([name, claim]) => [name, all[claim]!]));
}

/** No member is called `__proto__`, and no text has a NUL or half of a character. */
function isSound(value: Json): boolean {
  if (typeof value === 'string') return isSoundText(value);
  if (value === null || typeof value !== 'object') return true;
  if (Array.isArray(value)) return value.every(isSound);
  return Object.entries(value).every(([name, member]) => name !== '__proto__' && isSoundText(name) && isSound(member));
}

function isSoundText(text: string): boolean {
  return !text.includes('\0') && !/\p{Surrogate}/u.test(text);
}

function isUnclear(claim: Json | undefined): boolean {
  return typeof claim === 'string' && controlCharacter.test(claim);
}
