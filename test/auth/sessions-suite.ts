import { describe, expect, it } from 'vitest';
import { isCsrfToken, maxSessions, type Sessions, sessionIdleMs } from '../../src/auth/sessions.js';

/** A place where sessions are kept, empty at first. */
export interface SessionsHome {
  readonly sessions: Sessions;
  /** Begins sessions that nobody uses. */
  fill(count: number, now: number): Promise<void>;
}

const now = Date.UTC(2026, 10, 21, 12);
const lifetimeMs = 8 * 60 * 60_000;

/** What sessions must do, wherever they are kept. */
export function describeSessions(name: string, newHome: () => SessionsHome): void {
  describe(`sessions in ${name}`, () => {
    it('are found by their token, with the digest of their key and their CSRF token', async () => {
      const { sessions } = newHome();
      const { token, session } = await sessions.begin('digest', now);
      const { token: other, session: another } = await sessions.begin('digest', now);
      expect(token).toMatch(/^[\w-]{43}$/);
      expect(session).toEqual({
        keyDigest: 'digest',
        csrfToken: expect.stringMatching(/^[\w-]{43}$/),
        ends: now + lifetimeMs,
      });
      expect(await sessions.find(token, now)).toEqual(session);
      expect(await sessions.find(token, now + 5_000)).toEqual(session);
      expect(new Set([token, other, session.csrfToken, another.csrfToken]).size).toBe(4);
      expect(isCsrfToken((await sessions.find(token, now + 5_000))!, another.csrfToken)).toBe(false);
    });

    it.each([
      ['empty', ''],
      ['short', 'x'],
      ['as long as a token', 'x'.repeat(43)],
      ['the name of a prototype', '__proto__'],
      ['SQL', "'; DROP TABLE session; --"],
      ['NUL', '\0'.repeat(43)],
      ['long', 'x'.repeat(100_000)],
    ])('are not made up: %s', async (_name, token) => {
      const { sessions } = newHome();
      await sessions.begin('digest', now);
      expect(await sessions.find(token, now)).toBeUndefined();
      await sessions.end(token);
    });

    it('end eight hours after they began, however often they are used', async () => {
      const { sessions } = newHome();
      const { token } = await sessions.begin('digest', now);
      for (let at = now; at < now + lifetimeMs; at += sessionIdleMs - 1) {
        expect(await sessions.find(token, at)).toBeDefined();
      }
      expect(await sessions.find(token, now + lifetimeMs - 1)).toBeDefined();
      expect(await sessions.find(token, now + lifetimeMs)).toBeUndefined();
    });

    it('end when they were idle for half an hour', async () => {
      const { sessions } = newHome();
      const { token } = await sessions.begin('digest', now);
      const used = now + sessionIdleMs - 1;
      expect(await sessions.find(token, used)).toBeDefined();
      expect(await sessions.find(token, used + sessionIdleMs - 1)).toBeDefined();
      expect(await sessions.find(token, used + 2 * sessionIdleMs - 1)).toBeUndefined();
    });

    it('end by log-out, and no other with them', async () => {
      const { sessions } = newHome();
      const { token } = await sessions.begin('digest', now);
      const { token: other } = await sessions.begin('digest', now);
      await sessions.end(token);
      expect(await sessions.find(token, now)).toBeUndefined();
      expect(await sessions.find(token, now + 5_000)).toBeUndefined();
      expect(await sessions.find(other, now + 5_000)).toBeDefined();
      await sessions.end(token);
    });

    it(`are ${maxSessions} at most; one more ends the oldest`, async () => {
      const { sessions, fill } = newHome();
      const { token: oldest } = await sessions.begin('digest', now);
      const { token: second } = await sessions.begin('digest', now);
      await fill(maxSessions - 2, now);
      expect(await sessions.find(oldest, now + 1_000)).toBeDefined();
      const { token: newest } = await sessions.begin('digest', now + 1_000);
      expect(await sessions.find(oldest, now + 2_000)).toBeUndefined();
      expect(await sessions.find(second, now + 2_000)).toBeDefined();
      expect(await sessions.find(newest, now + 2_000)).toBeDefined();
    });
  });
}
