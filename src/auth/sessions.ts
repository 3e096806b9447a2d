import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** A browser's session with an API key, of which only the digest is kept. */
export interface Session {
  readonly keyDigest: string;
  /** A request that changes something must send it in `X-CSRF-Token`. Another site cannot read it. */
  readonly csrfToken: string;
  /** Milliseconds since the epoch. */
  readonly ends: number;
  lastUsed: number;
}

const lifetimeMs = 8 * 60 * 60_000;
const idleMs = 30 * 60_000;
const maxSessions = 10_000;

/** The sessions of this process, in memory: after a restart users log in again. */
export class Sessions {
  private readonly sessions = new Map<string, Session>();

  /** Begins a session; the token goes into the cookie and is kept only as its hash. */
  begin(keyDigest: string, now: number): { readonly token: string; readonly session: Session } {
    const token = randomBytes(32).toString('base64url');
    const csrfToken = randomBytes(32).toString('base64url');
    const session: Session = { keyDigest, csrfToken, ends: now + lifetimeMs, lastUsed: now };
    // The oldest session ends first.
    if (this.sessions.size >= maxSessions) this.sessions.delete(this.sessions.keys().next().value!);
    this.sessions.set(hash('sha256', token), session);
    return { token, session };
  }

  /** The session of a cookie; undefined if it has ended or was idle for too long. */
  find(token: string, now: number): Session | undefined {
    const key = hash('sha256', token);
    const session = this.sessions.get(key);
    if (session === undefined) return undefined;
    if (now >= session.ends || now - session.lastUsed >= idleMs) {
      this.sessions.delete(key);
      return undefined;
    }
    session.lastUsed = now;
    return session;
  }

  end(token: string): void {
    this.sessions.delete(hash('sha256', token));
  }
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
