import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** A browser's session with an API key, of which only the digest is kept. */
export interface Session {
  readonly keyDigest: string;
  /** A request that changes something must send it in `X-CSRF-Token`. Another site cannot read it. */
  readonly csrfToken: string;
  /** Milliseconds since the epoch. */
  readonly ends: number;
}

export interface BegunSession {
  /** What the cookie holds. It exists only there; kept is its hash. */
  readonly token: string;
  readonly session: Session;
}

const lifetimeMs = 8 * 60 * 60_000;
/** A session that is not used for this time, in milliseconds, ends. */
export const sessionIdleMs = 30 * 60_000;
/** Most sessions at once. One more ends the oldest. */
export const maxSessions = 10_000;

/**
 * The sessions of browsers.
 *
 * This class is the token for the injector. Without PostgreSQL they are in memory (`MemorySessions`); with it, all replicas
 * have the same ones (`postgres/`). What each implementation must do is tested by one suite, `test/auth/sessions-suite.ts`.
 */
export abstract class Sessions {
  /**
   * Begins a session with the key of this digest.
   *
   * @param now milliseconds since 1970
   * @throws DatabaseError
   */
  abstract begin(keyDigest: string, now: number): Promise<BegunSession>;

  /**
   * Returns the session of a cookie, and notes that it was used; undefined if there is none, or it has ended or was idle for
   * too long. It is a promise, which may fail with a `DatabaseError`, only where a database has to be asked.
   *
   * @param now milliseconds since 1970
   */
  abstract find(token: string, now: number): Session | undefined | Promise<Session | undefined>;

  /** False if `find` would ask a database for a token that this process has not seen before. */
  abstract knows(token: string): boolean;

  /**
   * Ends a session, if there is one.
   *
   * @throws DatabaseError
   */
  abstract end(token: string): Promise<void>;
}

export function makeSession(keyDigest: string, now: number): BegunSession {
  const token = randomBytes(32).toString('base64url');
  const csrfToken = randomBytes(32).toString('base64url');
  return { token, session: { keyDigest, csrfToken, ends: now + lifetimeMs } };
}

/** By what a session is kept: the SHA-256 of its token, in hexadecimal. */
export function sessionKey(token: string): string {
  return hash('sha256', token);
}

/** @param lastUsed milliseconds since 1970, as `now` */
export function hasEnded({ ends }: Session, lastUsed: number, now: number): boolean {
  return now >= ends || now - lastUsed >= sessionIdleMs;
}

export function isCsrfToken(session: Session, given: unknown): boolean {
  const expected = Buffer.from(session.csrfToken);
  const actual = Buffer.from(typeof given === 'string' ? given : '');
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}

/** Over TLS the browser itself refuses a cookie of this name that another host or a plain connection set. */
export function sessionCookieName(secure: boolean): string {
  return secure ? '__Host-verdict-session' : 'verdict-session';
}

/** The session's token in a `Cookie` header. */
export function sessionTokenIn(cookies: string | undefined, secure: boolean): string | undefined {
  const prefix = `${sessionCookieName(secure)}=`;
  const cookie = cookies?.split('; ').find((each) => each.startsWith(prefix));
  return cookie?.slice(prefix.length);
}
