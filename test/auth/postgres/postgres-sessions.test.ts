import { randomBytes } from 'node:crypto';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { ApiKeys } from '../../../src/auth/api-keys.js';
import { Authenticator } from '../../../src/auth/authenticator.js';
import { PostgresManagedKeys } from '../../../src/auth/postgres/postgres-managed-keys.js';
import {
  maxWaitingSessions,
  PostgresSessions,
  sessionCacheMs,
  sessionUseStepMs,
} from '../../../src/auth/postgres/postgres-sessions.js';
import { sessionIdleMs, sessionKey } from '../../../src/auth/sessions.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { describeSessions } from '../sessions-suite.js';

const now = Date.UTC(2026, 10, 21, 12);
const randomToken = () => randomBytes(32).toString('base64url');
const away = { isUnavailable: true };

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeSessions('PostgreSQL', () => {
    const database = openDatabase(server().newSchema());
    return {
      sessions: new PostgresSessions(database),
      fill: async (count, time) => {
        await database.write(
          `INSERT INTO ${database.table('session')} (digest, key_digest, csrf_token, ends, last_used)
           SELECT 'digest ' || n, 'other', 'token', $2::int8, $3::int8 FROM generate_series(1, $1::int) AS n`,
          [count, time + 10_000_000, time],
        );
      },
    };
  });

  function openReplica(url = server().newSchema(), waitMs = 60_000) {
    const database = openDatabase(url);
    const sessions = new PostgresSessions(database, { waitMs });
    /** Each statement that reads outside of a transaction. */
    const statements = vi.spyOn(database, 'query');
    const rows = () =>
      server().query(`SELECT * FROM ${database.table('session')} ORDER BY place`) as Promise<
        { digest: string; last_used: string }[]
      >;
    return { url, database, sessions, statements, rows };
  }

  it('a session is good on every replica, and a log-out on one ends it on all within a second', async () => {
    const { url, sessions: one } = openReplica();
    const { sessions: two } = openReplica(url);
    const { token, session } = await one.begin('digest', now);
    expect(await two.find(token, now)).toEqual(session);
    await one.end(token);
    expect(await one.find(token, now)).toBeUndefined();
    // Uses do not make what was read good for longer.
    expect(two.find(token, now + sessionCacheMs - 1)).toEqual(session);
    expect(await two.find(token, now + sessionCacheMs)).toBeUndefined();
    // A clock that was set back does not bring it to life.
    expect(await two.find(token, now)).toBeUndefined();
  });

  it('a clock that is set back makes what was read good for no longer', async () => {
    const { url, sessions: one } = openReplica();
    const { sessions: two } = openReplica(url);
    const { token } = await one.begin('digest', now - 60_000);
    expect(await two.find(token, now)).toBeDefined();
    await one.end(token);
    expect(await two.find(token, now - 1)).toBeUndefined();
  });

  it('a log-out holds although PostgreSQL was asked for the session before', async () => {
    const { sessions, database, statements } = openReplica();
    const { token, session } = await sessions.begin('digest', now);
    const { query } = Object.getPrototypeOf(database) as typeof database;
    statements.mockImplementationOnce(async (...statement) => {
      const rows = await query.apply(database, statement);
      await sessions.end(token);
      return rows as never;
    });
    expect(sessions.find(token, now)).toEqual(session);
    expect(await sessions.find(token, now + sessionCacheMs)).toBeUndefined();
    expect(sessions.find(token, now + sessionCacheMs)).toBeUndefined();
  });

  it('keeps the hash of a token, and not the token', async () => {
    const { sessions, rows } = openReplica();
    const { token } = await sessions.begin('digest', now);
    expect(await rows()).toMatchObject([{ digest: sessionKey(token), key_digest: 'digest' }]);
    expect(JSON.stringify(await rows())).not.toContain(token);
  });

  it('writes the last use once a minute, and a session that is used on one replica is not idle on another', async () => {
    const { url, sessions: one, rows } = openReplica();
    const { sessions: two } = openReplica(url);
    const lastUsed = async () => Number((await rows())[0]!.last_used);
    const { token } = await one.begin('digest', now);
    await one.find(token, now + sessionUseStepMs - 1);
    expect(await lastUsed()).toBe(now);
    await two.find(token, now + sessionUseStepMs);
    expect(await lastUsed()).toBe(now + sessionUseStepMs);
    await two.find(token, now + sessionIdleMs);
    expect(await one.find(token, now + 2 * sessionIdleMs - 1)).toBeDefined();
  });

  it('knows uses of the last minute that are not written', async () => {
    const { sessions } = openReplica();
    const { token } = await sessions.begin('digest', now);
    await sessions.find(token, now + sessionUseStepMs - 1);
    expect(await sessions.find(token, now + sessionUseStepMs - 1 + sessionIdleMs - 1)).toBeDefined();
  });

  it('removes sessions that have ended when another begins', async () => {
    const { sessions, rows } = openReplica();
    await sessions.begin('idle', now);
    const { token: used } = await sessions.begin('used', now + 1);
    const { token } = await sessions.begin('new', now + sessionIdleMs);
    expect((await rows()).map(({ digest }) => digest)).toEqual([used, token].map(sessionKey));
  });

  it('P10: tokens that are made up become few statements, and one that was sent before none', async () => {
    const { sessions, statements } = openReplica();
    await sessions.begin('digest', now);
    statements.mockClear();
    const tokens = Array.from({ length: maxWaitingSessions + 1 }, randomToken);
    const found = tokens.map((token) => sessions.find(token, now));
    // The first was sent; all others wait, and no more may.
    await expect(sessions.find(randomToken(), now)).rejects.toMatchObject(away);
    expect(new Set(await Promise.all(found))).toEqual(new Set([undefined]));
    expect(statements).toHaveBeenCalledTimes(11);
    for (const token of [tokens.at(-1)!, 'x', '', 'x'.repeat(44)]) {
      expect(sessions.knows(token)).toBe(true);
      expect(sessions.find(token, now)).toBeUndefined();
    }
    expect(statements).toHaveBeenCalledTimes(11);
    expect(sessions.knows(tokens[0]!)).toBe(false);
  });

  it('P10: an address that failed too often is not looked up for, unless the session was seen before', async () => {
    const { url, database, sessions, statements } = openReplica();
    const managed = await PostgresManagedKeys.open(database);
    const key = await managed.create({ name: 'ann', scopes: ['decide'] }, 'test', 'me', now);
    const apiKeys = new ApiKeys({ managed, log: { info: () => undefined, error: () => undefined } });
    await apiKeys.refresh();
    const mayTry = vi.fn(() => false);
    const options = { apiKeys, tokens: undefined, sessions, secure: false, mayTry };
    const withCookie = (token: string) => {
      const message = new IncomingMessage(new Socket());
      Object.assign(message, { method: 'GET', headers: { cookie: `verdict-session=${token}` } });
      return message;
    };
    const authenticate = (token: string, at: number) =>
      new Authenticator(options).authenticate(withCookie(token), '192.0.2.1', at);
    const { token } = await sessions.begin((await managed.find('ann'))!.secrets[0]!.digest, now);
    const { token: foreign } = await new PostgresSessions(openDatabase(url)).begin('digest', now);
    statements.mockClear();
    expect(key).toMatch(/^vd_test_/);
    for (const each of [randomToken(), foreign]) {
      expect(authenticate(each, now)).toEqual({ refused: 'too many failures before', method: 'session' });
    }
    expect(statements).not.toHaveBeenCalled();
    expect(mayTry).toHaveBeenCalledTimes(2);
    // At once from what was read, and after that from PostgreSQL.
    expect(authenticate(token, now)).toMatchObject({ name: 'ann', method: 'session' });
    expect(await authenticate(token, now + sessionCacheMs)).toMatchObject({ name: 'ann', method: 'session' });
    expect(statements).toHaveBeenCalledTimes(1);
    expect(mayTry).toHaveBeenCalledTimes(2);
  });

  it('while PostgreSQL is away, what was read is good for its second, and nothing else is refused', async () => {
    const { sessions } = openReplica();
    const { token, session } = await sessions.begin('digest', now);
    await server().stop();
    expect(sessions.find(token, now + sessionCacheMs - 1)).toEqual(session);
    await expect(sessions.find(token, now + sessionCacheMs)).rejects.toMatchObject(away);
    await expect(sessions.find(randomToken(), now)).rejects.toMatchObject(away);
    await expect(sessions.begin('digest', now)).rejects.toMatchObject(away);
    await expect(sessions.end(token)).rejects.toMatchObject(away);
    await server().resume();
    expect(await sessions.find(token, now + sessionCacheMs)).toEqual(session);
  });

  it('a request does not wait for its session for ever', async () => {
    const { url, database, sessions } = openReplica();
    const { token, session } = await sessions.begin('digest', now);
    const { sessions: hasty } = openReplica(url, 50);
    expect(await hasty.find(token, now)).toEqual(session);
    await database.transaction(async (client) => {
      await client.query(`LOCK TABLE ${database.table('session')} IN ACCESS EXCLUSIVE MODE`);
      const asked = [token, randomToken()].map((each) => hasty.find(each, now + sessionCacheMs));
      for (const each of asked) await expect(each).rejects.toMatchObject({ ...away, code: 'TIMEOUT' });
    });
    await expect.poll(() => hasty.find(token, now + sessionCacheMs)).toEqual(session);
  });
});
