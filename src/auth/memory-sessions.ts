import {
  type BegunSession,
  hasEnded,
  makeSession,
  maxSessions,
  type Session,
  Sessions,
  sessionKey,
} from './sessions.js';

/** The sessions of this process, in memory: after a restart users log in again. */
export class MemorySessions extends Sessions {
  private readonly sessions = new Map<string, { readonly session: Session; lastUsed: number }>();

  async begin(keyDigest: string, now: number): Promise<BegunSession> {
    const made = makeSession(keyDigest, now);
    if (this.sessions.size >= maxSessions) this.sessions.delete(this.sessions.keys().next().value!);
    this.sessions.set(sessionKey(made.token), { session: made.session, lastUsed: now });
    return made;
  }

  find(token: string, now: number): Session | undefined {
    const key = sessionKey(token);
    const kept = this.sessions.get(key);
    if (kept === undefined) return undefined;
    if (hasEnded(kept.session, kept.lastUsed, now)) {
      this.sessions.delete(key);
      return undefined;
    }
    kept.lastUsed = now;
    return kept.session;
  }

  knows(): boolean {
    return true;
  }

  async end(token: string): Promise<void> {
    this.sessions.delete(sessionKey(token));
  }
}
