import { DatabaseError } from '../../database/database-error.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { PostgresTables } from '../../database/postgres/postgres-tables.js';
import {
  type BegunSession,
  hasEnded,
  makeSession,
  maxSessions,
  type Session,
  Sessions,
  sessionIdleMs,
  sessionKey,
} from '../sessions.js';
import { authTables } from './auth-tables.js';

/** How long a session that was read is taken for good, in milliseconds: a log-out on another replica holds after it. */
export const sessionCacheMs = 1_000;
/** The last use of a session is written when the one before is this old, in milliseconds. */
export const sessionUseStepMs = 60_000;
const defaultWaitMs = 5_000;
/** Most sessions that one statement looks for. */
const maxAsked = 1_000;
/** Most sessions that wait to be looked for. A request with a further one fails. */
export const maxWaitingSessions = 10_000;
/** Most tokens without a session that are remembered. */
const maxUnknown = 10_000;

export interface PostgresSessionsOptions {
  /** Longest wait of a request for its session, in milliseconds (5,000). */
  readonly waitMs?: number;
}

interface KnownSession {
  readonly session: Session;
  /** Not later than PostgreSQL was asked; milliseconds since 1970. */
  readonly readAt: number;
  lastUsed: number;
}

interface StoredSession {
  readonly digest: string;
  readonly key_digest: string;
  readonly csrf_token: string;
  readonly ends: number;
  readonly last_used: number;
}

/** A session that is looked for, by requests that came before the statement was sent. */
interface LookUp {
  /** When the first of them came. */
  readonly now: number;
  readonly found: Promise<Session | undefined>;
  readonly resolve: (session: Session | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The sessions of all replicas, in PostgreSQL.
 *
 * Anybody can send cookies, so they must not become load there: one statement at a time looks for all that wait, a
 * session that was found is good for a second, and a token without a session is remembered, since it never gets one: tokens
 * are random, and a session is written before its token is told.
 */
export class PostgresSessions extends Sessions {
  private readonly tables: PostgresTables;
  private readonly table: string;
  /** By the hash of the token, the one that was read last at the end. At most `maxSessions`; older ones go first. */
  private readonly known = new Map<string, KnownSession>();
  /** Hashes of tokens without a session. The oldest are removed if there are too many. */
  private readonly unknown = new Set<string>();
  private readonly waiting = new Map<string, LookUp>();
  private readonly waitMs: number;
  private isAsking = false;

  constructor(database: PostgresDatabase, { waitMs = defaultWaitMs }: PostgresSessionsOptions = {}) {
    super();
    this.waitMs = waitMs;
    this.tables = authTables(database);
    this.table = this.tables.name('session');
  }

  async begin(keyDigest: string, now: number): Promise<BegunSession> {
    const made = makeSession(keyDigest, now);
    const { token, session } = made;
    const key = sessionKey(token);
    await this.tables.transaction(async (client) => {
      // Replicas begin sessions one after another, so that there are never too many.
      await client.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, [this.table]);
      await client.query(`DELETE FROM ${this.table} WHERE ends <= $1 OR last_used <= $2`, [now, now - sessionIdleMs]);
      await client.query(
        `DELETE FROM ${this.table}
         WHERE place <= (SELECT place FROM ${this.table} ORDER BY place DESC OFFSET $1 LIMIT 1)`,
        [maxSessions - 1],
      );
      await client.query(
        `INSERT INTO ${this.table} (digest, key_digest, csrf_token, ends, last_used) VALUES ($1, $2, $3, $4, $5)`,
        [key, keyDigest, session.csrfToken, session.ends, now],
      );
    });
    this.keep(key, { session, readAt: now, lastUsed: now });
    return made;
  }

  find(token: string, now: number): Session | undefined | Promise<Session | undefined> {
    if (!isWellFormed(token)) return undefined;
    const key = sessionKey(token);
    if (this.unknown.has(key)) return undefined;
    const known = this.known.get(key);
    // A clock that was set back makes no session good for longer.
    if (known === undefined || now < known.readAt || now - known.readAt >= sessionCacheMs) return this.lookUp(key, now);
    if (hasEnded(known.session, known.lastUsed, now)) return undefined;
    known.lastUsed = now;
    return known.session;
  }

  knows(token: string): boolean {
    if (!isWellFormed(token)) return true;
    const key = sessionKey(token);
    return this.known.has(key) || this.unknown.has(key);
  }

  async end(token: string): Promise<void> {
    const key = sessionKey(token);
    await this.tables.write(`DELETE FROM ${this.table} WHERE digest = $1`, [key]);
    this.forget(key);
  }

  private lookUp(key: string, now: number): Promise<Session | undefined> {
    const before = this.waiting.get(key);
    // One that was sent already may not see a log-out that came before this request.
    if (before !== undefined) return before.found;
    if (this.waiting.size >= maxWaitingSessions)
      return Promise.reject(tooSlow(`${maxWaitingSessions} sessions wait to be looked for`));
    let resolve!: LookUp['resolve'];
    let reject!: LookUp['reject'];
    const found = new Promise<Session | undefined>((...settle) => {
      [resolve, reject] = settle;
    });
    const timer = setTimeout(() => {
      if (this.waiting.get(key) === lookUp) this.waiting.delete(key);
      reject(tooSlow(`a session was not found within ${this.waitMs} ms`));
    }, this.waitMs).unref();
    const settled = () => clearTimeout(timer);
    found.then(settled, settled);
    const lookUp = { now, found, resolve, reject };
    this.waiting.set(key, lookUp);
    void this.askForAll();
    return found;
  }

  private async askForAll(): Promise<void> {
    if (this.isAsking) return;
    this.isAsking = true;
    while (this.waiting.size > 0) {
      const asked = [...this.waiting].slice(0, maxAsked);
      for (const [key] of asked) this.waiting.delete(key);
      await this.ask(new Map(asked));
    }
    this.isAsking = false;
  }

  /** Answers look-ups, all with the error if there is one. Does not throw. */
  private async ask(lookUps: ReadonlyMap<string, LookUp>): Promise<void> {
    try {
      const rows = await this.tables.query<StoredSession>(
        `SELECT digest, key_digest, csrf_token, ends, last_used FROM ${this.table} WHERE digest = ANY($1::text[])`,
        [[...lookUps.keys()]],
      );
      const stored = new Map(rows.map((row) => [row.digest, row]));
      const used = new Map<string, number>();
      const answers = [...lookUps].map(([key, { now, resolve }]) => {
        const row = stored.get(key);
        const session = this.note(key, row, now);
        if (session !== undefined && now - row!.last_used >= sessionUseStepMs) used.set(key, now);
        return () => resolve(session);
      });
      await this.writeUses(used);
      for (const answer of answers) answer();
    } catch (error) {
      for (const { reject } of lookUps.values()) reject(error);
    }
  }

  /** Remembers what PostgreSQL says about a token, and returns its session if it is good. */
  private note(key: string, row: StoredSession | undefined, now: number): Session | undefined {
    if (row === undefined) {
      this.forget(key);
      return undefined;
    }
    // It ended here while PostgreSQL was asked.
    if (this.unknown.has(key)) return undefined;
    const session: Session = { keyDigest: row.key_digest, csrfToken: row.csrf_token, ends: row.ends };
    // Uses of the last minute may be known here alone.
    const lastUsed = Math.max(row.last_used, this.known.get(key)?.lastUsed ?? 0);
    this.known.delete(key);
    if (hasEnded(session, lastUsed, now)) return undefined;
    this.keep(key, { session, readAt: now, lastUsed: now });
    return session;
  }

  private async writeUses(uses: ReadonlyMap<string, number>): Promise<void> {
    if (uses.size === 0) return;
    // Rows that another replica is writing are left to it: waiting for one another in different orders would never end.
    await this.tables.write(
      `UPDATE ${this.table} AS session SET last_used = greatest(session.last_used, uses.time)
       FROM unnest($1::text[], $2::int8[]) AS uses (digest, time)
       WHERE session.digest = uses.digest
         AND session.digest IN (SELECT digest FROM ${this.table} WHERE digest = ANY($1::text[]) FOR UPDATE SKIP LOCKED)`,
      [[...uses.keys()], [...uses.values()]],
    );
  }

  private keep(key: string, known: KnownSession): void {
    if (this.known.size >= maxSessions) this.known.delete(this.known.keys().next().value!);
    this.known.set(key, known);
  }

  private forget(key: string): void {
    this.known.delete(key);
    if (this.unknown.size >= maxUnknown) this.unknown.delete(this.unknown.keys().next().value!);
    this.unknown.add(key);
  }
}

/** 32 bytes in base64url. */
function isWellFormed(token: string): boolean {
  return /^[\w-]{43}$/.test(token);
}

/** Nobody knows whether the session is good, so it is not refused. */
function tooSlow(what: string): DatabaseError {
  return new DatabaseError(`TIMEOUT: ${what}`, 'TIMEOUT', true, true);
}
