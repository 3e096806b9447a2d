import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { replacePrivateFile } from '../files/replace-private-file.js';
import { digestOf } from './api-key.js';
import type { ManagedKey } from './managed-keys.js';

/** Keys, and when they were known to be all that there are. */
export interface CopiedKeys {
  readonly keys: readonly ManagedKey[];
  /** Milliseconds since 1970. */
  readonly confirmed: number;
}

/** A copy whose keys have not changed is written again when its time is this old, in milliseconds. */
export const confirmStepMs = 60_000;
/** How far the time of a copy may be ahead of the clock, in milliseconds. */
const clockSkewMs = 60_000;
const format = 'verdict keys 1';

interface Header {
  readonly format: string;
  /** Which database the keys are those of. */
  readonly database: string;
  readonly confirmed: string;
  /** SHA-256 of the second line. */
  readonly sha256: string;
}

/**
 * A copy of the managed keys, by digest alone, for a start while their database is away. Its file has two lines, a header
 * and the keys, is its owner's alone, and is replaced as a whole by a rename.
 *
 *     {"format":"verdict keys 1","database":"db.example:5432/main?schema=verdict","confirmed":"2026-11-29T08:00:00.000Z","sha256":"…"}
 *     [{"name":"shop","scopes":["decide"],"secrets":[{"digest":"…","created":1764400000000}], …}]
 */
export class KeysCopy {
  /** The second line as it was written last; the same keys are not put into words again. */
  private body: Buffer | undefined;
  private sha256 = '';
  private written = Number.NEGATIVE_INFINITY;
  private writing: Promise<void> = Promise.resolve();

  /**
   * @param path the file
   * @param database names the database; a copy of another one is not used
   */
  constructor(
    private readonly path: string,
    private readonly database: string,
  ) {}

  /**
   * Reads the copy; undefined when there is none.
   *
   * @param now milliseconds since 1970
   * @throws Error when there is one that cannot be used: it says why
   */
  async read(now: number): Promise<CopiedKeys | undefined> {
    const text = await readFile(this.path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const end = text.indexOf('\n');
    const header = parse(text.slice(0, Math.max(0, end))) as Partial<Header> | undefined;
    const body = text.slice(end + 1).trimEnd();
    if (header?.format !== format) throw new Error('it is not a copy of keys, or one of another release');
    if (header.sha256 !== digestOf(body)) throw new Error('it is damaged');
    if (header.database !== this.database) throw new Error(`it is one of another database: ${header.database}`);
    const confirmed = Date.parse(header.confirmed ?? '');
    if (!(confirmed <= now + clockSkewMs)) throw new Error(`its time is to come: ${header.confirmed}`);
    // Sound: the digest says that this class wrote it.
    return { keys: JSON.parse(body) as readonly ManagedKey[], confirmed };
  }

  /**
   * Writes the keys. Of calls that come while one is written the last counts.
   *
   * @throws the file system's error
   */
  write({ keys, confirmed }: CopiedKeys): Promise<void> {
    this.body = Buffer.from(`${JSON.stringify(keys)}\n`);
    this.sha256 = createHash('sha256').update(this.body.subarray(0, -1)).digest('hex');
    return this.replace(confirmed);
  }

  /**
   * Notes that the keys that were written last are still all that there are, once a minute at most.
   *
   * @param confirmed milliseconds since 1970
   * @throws the file system's error
   */
  async confirm(confirmed: number): Promise<void> {
    // A clock that was set back makes it due, too.
    if (this.body === undefined || Math.abs(confirmed - this.written) < confirmStepMs) return;
    await this.replace(confirmed);
  }

  private replace(confirmed: number): Promise<void> {
    const { body, sha256, database } = this;
    this.written = confirmed;
    const header: Header = { format, database, confirmed: new Date(confirmed).toISOString(), sha256 };
    const done = this.writing.then(async () => {
      // Another call came in between, with newer keys.
      if (this.body !== body) return;
      await replacePrivateFile(this.path, Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), body!]));
    });
    this.writing = done.catch(() => {
      this.written = Number.NEGATIVE_INFINITY;
    });
    return done;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
