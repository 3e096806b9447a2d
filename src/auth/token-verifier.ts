import { errors, type JWTPayload, jwtVerify } from 'jose';
import { VerdictError } from '../errors.js';
import { IssuerKeys } from './issuer-keys.js';

export interface TokenVerifierOptions {
  readonly issuers: readonly { readonly issuer: string; readonly jwksUrl?: string }[];
  readonly algorithms: readonly string[];
  /** How far the issuer's clock may be off, in seconds. */
  readonly clockSkewSeconds: number;
  /** The furthest end (`exp`) of a token that is accepted, in seconds from now; 86,400 when left out. */
  readonly maxLifetimeSeconds?: number;
  /** How long an issuer's keys stay good while it cannot be asked, in seconds; 3,600 when left out. */
  readonly keysMaxAgeSeconds?: number;
  readonly onProblem: (issuer: string, error: unknown) => void;
}

/** For whom a token must be, and by whom. */
export interface TokenDemand {
  readonly audience: readonly string[];
  /** Those of the configured issuers that count; all of them when left out. */
  readonly issuers?: readonly string[] | undefined;
}

/** Why a token is refused. */
export interface TokenFault {
  readonly kind:
    | 'malformed'
    | 'signature'
    | 'algorithm'
    | 'issuer'
    | 'audience'
    | 'expired'
    | 'time'
    | 'type'
    | 'claims';
  /** For the operator. It may quote names that the sender wrote. */
  readonly text: string;
}

/** Longest token, in characters; no provider's is longer. A longer one is refused before it is hashed. */
export const maxTokenLength = 8_192;
export const defaultMaxLifetimeSeconds = 86_400;
export const defaultKeysMaxAgeSeconds = 3_600;
/**
 * Accepted values of `typ`: those of RFC 9068 section 2.1 and of older providers. Log-out tokens have others.
 */
const tokenTypes = new Set([undefined, 'at+jwt', 'application/at+jwt', 'jwt']);

/**
 * Verifies tokens of the configured issuers: signature by a key of the issuer, pinned algorithms, issuer, audience, times,
 * type. The keys of an issuer are fetched when a token of it comes.
 */
export class TokenVerifier {
  private readonly issuers: ReadonlyMap<string, IssuerKeys>;

  /** @param onChange called when the keys of an issuer have changed or have expired: what was verified is verified again */
  constructor(
    private readonly options: TokenVerifierOptions,
    onChange: () => void,
  ) {
    const maxAgeMs = (options.keysMaxAgeSeconds ?? defaultKeysMaxAgeSeconds) * 1000;
    this.issuers = new Map(
      options.issuers.map(({ issuer, jwksUrl }) => [
        issuer,
        new IssuerKeys({
          issuer,
          ...(jwksUrl !== undefined && { jwksUrl }),
          maxAgeMs,
          onProblem: (error) => options.onProblem(issuer, error),
          onChange,
        }),
      ]),
    );
  }

  /** Number of issuers that are configured. */
  get issuerCount(): number {
    return this.issuers.size;
  }

  /** Stops the fetching of keys in the background. */
  close(): void {
    for (const keys of this.issuers.values()) keys.close();
  }

  /** The end of a token that was verified, in milliseconds since the epoch. */
  endOf({ exp }: JWTPayload): number {
    return (exp! + this.options.clockSkewSeconds) * 1000;
  }

  /**
   * The claims of a token, or what is wrong with it.
   *
   * @throws VerdictError `identity_provider_unavailable` if there are no keys to verify it with
   */
  async verify(token: string, demand: TokenDemand, now: number): Promise<JWTPayload | TokenFault> {
    if (token.length > maxTokenLength) return { kind: 'malformed', text: 'token too long' };
    try {
      const { payload } = await jwtVerify(token, this.keyOf, {
        issuer: [...(demand.issuers ?? this.issuers.keys())],
        audience: [...demand.audience],
        algorithms: [...this.options.algorithms],
        clockTolerance: this.options.clockSkewSeconds,
        currentDate: new Date(now),
        requiredClaims: ['exp', 'iss', 'aud'],
      });
      return this.faultInTimes(payload, now) ?? payload;
    } catch (error) {
      if (error instanceof VerdictError) throw error;
      if (error instanceof errors.JOSEError) {
        return { kind: kindOf(error), text: `${error.code}: ${error.message}` };
      }
      // A malformed key makes Web Crypto throw. That is a refused token and not an internal error.
      return { kind: 'signature', text: `token cannot be verified: ${(error as Error).message}` };
    }
  }

  /** The issuer is read before the signature is verified, only to choose among the configured ones' keys. */
  private readonly keyOf: Parameters<typeof jwtVerify>[1] = (header, token) => {
    const type = header.typ;
    if (type !== undefined && (typeof type !== 'string' || !tokenTypes.has(type.toLowerCase()))) throw new WrongType();
    const keys = this.issuers.get(issuerIn(token.payload as string));
    if (keys === undefined) throw new WrongIssuer();
    return keys.find(header, token);
  };

  /** Checks what jose accepts: an end too far away, and a token from the future. */
  private faultInTimes({ exp, iat }: JWTPayload, now: number): TokenFault | undefined {
    const { clockSkewSeconds, maxLifetimeSeconds = defaultMaxLifetimeSeconds } = this.options;
    const latest = now / 1000 + clockSkewSeconds;
    const fault = (text: string): TokenFault => ({ kind: 'time', text });
    if (exp! > latest + maxLifetimeSeconds)
      return fault(`the end of the token is more than ${maxLifetimeSeconds} s away`);
    if (iat === undefined) return undefined;
    if (typeof iat !== 'number' || iat > latest) return fault('the token was issued in the future');
    return iat > exp! ? fault('the token ends before it was issued') : undefined;
  }
}

class WrongType extends errors.JWTInvalid {
  constructor() {
    super('the type of the token is not that of an access token');
  }
}

class WrongIssuer extends errors.JWTInvalid {
  constructor() {
    super('the issuer is none of the configured ones');
  }
}

export function isTokenFault(verified: JWTPayload | TokenFault): verified is TokenFault {
  // Verified claims name their issuer.
  return !Object.hasOwn(verified, 'iss');
}

function kindOf(error: errors.JOSEError): TokenFault['kind'] {
  if (error instanceof WrongType) return 'type';
  if (error instanceof WrongIssuer) return 'issuer';
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === 'missing') return 'claims';
    if (error.claim === 'iss') return 'issuer';
    if (error.claim === 'aud') return 'audience';
    return ['exp', 'nbf', 'iat'].includes(error.claim) ? 'time' : 'claims';
  }
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) return 'algorithm';
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return 'malformed';
  return 'signature';
}

function issuerIn(payload: string): string {
  try {
    const { iss } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { iss?: unknown };
    return typeof iss === 'string' ? iss : '';
  } catch {
    return '';
  }
}
