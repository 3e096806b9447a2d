import type { IncomingMessage } from 'node:http';
import type { AccessTokens } from './access-tokens.js';
import { digestOf } from './api-key.js';
import type { Credential } from './api-key-entry.js';
import type { ApiKeys } from './api-keys.js';
import type { AuthenticationMethod, Caller } from './caller.js';
import { certificateNames } from './client-certificate.js';
import { isCsrfToken, type Session, type Sessions, sessionTokenIn } from './sessions.js';

/** Why a request was not authenticated. The audit event says it, the answer does not. */
export interface Refusal {
  readonly refused: string;
  /** The method that was tried, if one was. */
  readonly method?: AuthenticationMethod;
  /** The name that the sender claimed, if it could be read. */
  readonly claimed?: string;
  /** A sentence that says what is wrong, if a page of another site may have made the browser send it: 403, not 401. */
  readonly forged?: string;
  /** No credential was shown, so nothing was tried. */
  readonly missing?: true;
}

export interface AuthenticatorOptions {
  readonly apiKeys: ApiKeys;
  readonly tokens: AccessTokens | undefined;
  readonly sessions: Sessions;
  /** True if browsers reach the service over TLS. Then cookies are sent over TLS only. */
  readonly secure: boolean;
  /** The origins of this service's own pages; undefined: the origin of the `Host` header. */
  readonly ownOrigins?: ReadonlySet<string>;
  /** Called before a token is verified, or a session is looked for in a database, that was not seen before. */
  readonly mayTry: (address: string) => boolean;
}

/** What a gRPC call shows of its caller. */
export interface CallCredentials {
  /** All values of `x-api-key`, and of `authorization`, in the metadata. */
  readonly apiKeys: readonly string[];
  readonly authorizations: readonly string[];
  /** As `certificateNames` of the connection. */
  readonly certificate: readonly string[] | string | undefined;
}

const tooManyFailures = 'too many failures before';
const noCsrfToken = 'The CSRF token of the session is missing or wrong.';
const anotherSite = 'A page of another site sent the credential.';

/** Methods that any site can make a browser send, and that change nothing. */
const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Who sent a request. A request shows at most one credential of its own: `Authorization: Bearer` (an API key or an
 * access token), `Authorization: Basic` (key name and key) or `X-API-Key`; with none of them, the session cookie or the
 * certificate of the connection counts. A wrong credential is refused, even if another one is right.
 */
export class Authenticator {
  constructor(private readonly options: AuthenticatorOptions) {}

  /**
   * True if a gateway's question shows a credential of the gateway itself. `Authorization` and the cookies in it are
   * then the user's.
   */
  static showsGateway(message: IncomingMessage): boolean {
    return message.headers['x-api-key'] !== undefined || certificateNames(message.socket) !== undefined;
  }

  /**
   * Authenticates the gateway that asks about a client's request; as `authenticate` if it shows no credential of its
   * own.
   */
  authenticateGateway(
    message: IncomingMessage,
    address: string,
    now: number,
  ): Caller | Refusal | Promise<Caller | Refusal> {
    const apiKey = message.headers['x-api-key'];
    if (apiKey !== undefined) {
      if (headerCount(message, 'x-api-key') > 1) return { refused: 'more than one credential' };
      return this.byKey('api_key', String(apiKey), address, now);
    }
    const names = certificateNames(message.socket);
    // The gateway's own certificate; `Origin` and `Sec-Fetch-Site` are those of the request that it asks about.
    return names === undefined ? this.authenticate(message, address, now) : this.byCertificate(names, address, now);
  }

  /** Returns a promise only for an access token that was not seen before, and for a session that a database has. */
  authenticate(message: IncomingMessage, address: string, now: number): Caller | Refusal | Promise<Caller | Refusal> {
    const { authorization, 'x-api-key': apiKey } = message.headers;
    if (apiKey !== undefined || authorization !== undefined) {
      if (headerCount(message, 'authorization') + headerCount(message, 'x-api-key') > 1) {
        return { refused: 'more than one credential' };
      }
      return this.byHeader(authorization, apiKey, message, address, now);
    }
    const token = sessionTokenIn(message.headers.cookie, this.options.secure);
    if (token !== undefined) return this.bySession(token, message, address, now);
    const names = certificateNames(message.socket);
    if (names === undefined) return { refused: 'no credential', missing: true };
    return this.ofAnotherSite(message, 'certificate') ?? this.byCertificate(names, address, now);
  }

  /**
   * Authenticates the caller of a gRPC call: by an API key, an access token, or a key with its name, in the metadata; with
   * none of them by the certificate of the connection. Browsers do not speak gRPC, so no other site can be behind it.
   */
  authenticateCall(
    { apiKeys, authorizations, certificate }: CallCredentials,
    address: string,
    now: number,
  ): Caller | Refusal | Promise<Caller | Refusal> {
    const [apiKey] = apiKeys;
    const [authorization] = authorizations;
    if (apiKeys.length + authorizations.length > 1) return { refused: 'more than one credential' };
    if (apiKey !== undefined) return this.byKey('api_key', apiKey, address, now);
    if (authorization === undefined) {
      if (certificate === undefined) return { refused: 'no credential', missing: true };
      return this.byCertificate(certificate, address, now);
    }
    const bearer = bearerIn(authorization);
    if (bearer !== undefined) return this.byBearer(bearer, address, now);
    const basic = readBasic(authorization);
    if (basic === undefined) return { refused: 'malformed Authorization header' };
    return this.byKey('basic', basic.key, address, now, basic.name);
  }

  /** The digest of the API key in a request that was authenticated by one: what a session is bound to. */
  static keyDigest({ headers }: IncomingMessage): string | undefined {
    const { authorization = '', 'x-api-key': apiKey } = headers;
    if (typeof apiKey === 'string') return digestOf(apiKey);
    const basic = readBasic(authorization);
    const key = basic?.key ?? bearerIn(authorization);
    return key?.startsWith('vd_') === true ? digestOf(key) : undefined;
  }

  private byHeader(
    authorization: string | undefined,
    apiKey: string | string[] | undefined,
    message: IncomingMessage,
    address: string,
    now: number,
  ): Caller | Refusal | Promise<Caller | Refusal> {
    if (authorization === undefined) return this.byKey('api_key', String(apiKey), address, now);
    const bearer = bearerIn(authorization);
    if (bearer !== undefined) return this.byBearer(bearer, address, now);
    const basic = readBasic(authorization);
    if (basic === undefined) return { refused: 'malformed Authorization header' };
    // A browser sends Basic credentials with a request of any site.
    return this.ofAnotherSite(message, 'basic') ?? this.byKey('basic', basic.key, address, now, basic.name);
  }

  private byBearer(bearer: string, address: string, now: number): Caller | Refusal | Promise<Caller | Refusal> {
    return bearer.startsWith('vd_') ? this.byKey('api_key', bearer, address, now) : this.byToken(bearer, address, now);
  }

  private byKey(
    method: 'api_key' | 'basic',
    key: string,
    address: string,
    now: number,
    name?: string,
  ): Caller | Refusal {
    const credential = this.options.apiKeys.authenticate(key, address, now, name);
    if (typeof credential !== 'string') return callerOf(credential, method);
    return { refused: credential, method, ...(name !== undefined && { claimed: name }) };
  }

  private byToken(token: string, address: string, now: number): Caller | Refusal | Promise<Caller | Refusal> {
    const { tokens, mayTry } = this.options;
    if (tokens === undefined) return { refused: 'malformed', method: 'api_key' };
    const known = tokens.cached(token, now);
    if (known !== undefined) return known;
    if (!mayTry(address)) return { refused: tooManyFailures, method: 'jwt' };
    return tokens
      .verify(token, now)
      .then((caller) => (typeof caller === 'string' ? { refused: caller, method: 'jwt' } : caller));
  }

  private bySession(
    token: string,
    message: IncomingMessage,
    address: string,
    now: number,
  ): Caller | Refusal | Promise<Caller | Refusal> {
    const foreign = this.ofAnotherSite(message, 'session');
    if (foreign !== undefined) return foreign;
    const { sessions, mayTry } = this.options;
    if (!sessions.knows(token) && !mayTry(address)) return { refused: tooManyFailures, method: 'session' };
    const found = sessions.find(token, now);
    return found instanceof Promise
      ? found.then((session) => this.ofSession(session, message, address, now))
      : this.ofSession(found, message, address, now);
  }

  private ofSession(
    session: Session | undefined,
    message: IncomingMessage,
    address: string,
    now: number,
  ): Caller | Refusal {
    if (session === undefined) return { refused: 'unknown or ended session', method: 'session' };
    const credential = this.options.apiKeys.recheck(session.keyDigest, address, now);
    if (typeof credential === 'string') return { refused: credential, method: 'session' };
    const safe = safeMethods.has(message.method ?? '');
    if (!safe && !isCsrfToken(session, message.headers['x-csrf-token'])) {
      return { refused: 'no valid CSRF token', method: 'session', claimed: credential.key.name, forged: noCsrfToken };
    }
    return callerOf(credential, 'session');
  }

  /** Refuses a credential that a browser sends by itself if another site caused the request. */
  private ofAnotherSite(message: IncomingMessage, method: AuthenticationMethod): Refusal | undefined {
    const { secure, ownOrigins } = this.options;
    if (!isFromAnotherSite(message, secure, ownOrigins)) return undefined;
    return { refused: 'sent by another site', method, forged: anotherSite };
  }

  private byCertificate(names: readonly string[] | string, address: string, now: number) {
    if (typeof names === 'string') return { refused: names, method: 'certificate' } as const;
    const credential = this.options.apiKeys.ofCertificate(names, address, now);
    if (typeof credential !== 'string') return callerOf(credential, 'certificate');
    return { refused: `${credential} certificate`, method: 'certificate', claimed: names.at(-1)! } as const;
  }
}

/** The caller, one object for each credential and method, so that data that is kept by caller is made once. */
function callerOf(credential: Credential, method: AuthenticationMethod): Caller {
  let byMethod = callers.get(credential);
  if (byMethod === undefined) {
    byMethod = new Map();
    callers.set(credential, byMethod);
  }
  let caller = byMethod.get(method);
  if (caller === undefined) {
    const { key, grants } = credential;
    const quota = key.dailyQuota === undefined ? {} : { dailyQuota: key.dailyQuota };
    caller = Object.freeze({ name: key.name, method, grants, ...quota });
    byMethod.set(method, caller);
  }
  return caller;
}

const callers = new WeakMap<Credential, Map<AuthenticationMethod, Caller>>();

function bearerIn(authorization: string): string | undefined {
  return /^bearer +([\x21-\x7e]+)$/i.exec(authorization)?.[1];
}

/** RFC 7617: the name ends at the first colon. */
function readBasic(authorization: string): { readonly name: string; readonly key: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization)?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  return colon === -1 ? undefined : { name: text.slice(0, colon), key: text.slice(colon + 1) };
}

/**
 * Whether a page of another site sent a request, by what browsers say: `Origin` (old browsers too) where they send it, and
 * `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/), by which a link from elsewhere may lead to a page here.
 */
function isFromAnotherSite(
  { method = '', headers }: IncomingMessage,
  secure: boolean,
  ownOrigins: ReadonlySet<string> | undefined,
): boolean {
  const { origin, host, 'sec-fetch-site': site } = headers;
  if (origin !== undefined && ownOrigins?.has(origin) !== true) {
    // Where nothing here speaks TLS, a proxy that nobody configured may.
    const own = origin === `https://${host}` || (!secure && origin === `http://${host}`);
    if (!own) return true;
  }
  return site !== undefined && site !== 'same-origin' && site !== 'none' && !safeMethods.has(method);
}

/** Node keeps the first of two `Authorization` headers, and a proxy may have looked at the second. */
function headerCount({ rawHeaders }: IncomingMessage, name: string): number {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const header = rawHeaders[index]!;
    if (header.length === name.length && header.toLowerCase() === name) count++;
  }
  return count;
}
