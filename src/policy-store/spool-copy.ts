import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../digest/sha-256.js';
import { replacePrivateFile } from '../files/replace-private-file.js';
import { atOnce } from '../turns/at-once.js';

/** The sets of a copy, and when they were known to be all that there are. */
export interface Copied<Content> {
  /** `content` is undefined where the copy of that set cannot be used. */
  readonly sets: readonly { readonly name: string; readonly content: Content | undefined }[];
  /** Milliseconds since 1970. */
  readonly confirmed: number;
}

/** What is copied of each set, and how it becomes a file. */
export interface CopiedKind<Content> {
  /** Of the format, in the index: `policies`. */
  readonly format: string;
  /** For people: `policy sets`. */
  readonly title: string;
  /** Of the names of files, without a dot. */
  readonly suffix: string;
  /** Members of the header beside those that each file has, and what follows it. */
  pack(content: Content): Promise<{ readonly name: string; readonly header: object; readonly body: Buffer }>;
  /** Rejects where the body is not what `pack` made. */
  unpack(name: string, header: object, body: Buffer): Promise<Content>;
}

export interface SpoolCopyOptions {
  /** The folder of the copy, which is made when it is not there. */
  readonly folder: string;
  /** Names the database; a copy of another one is not used. */
  readonly database: string;
  /** Hears what cannot be written, or read. A disk that is full keeps no change from being served. */
  readonly onProblem: (what: string, error: unknown) => void;
}

interface Index {
  readonly format: string;
  readonly database: string;
  readonly confirmed: string;
  readonly sets: readonly string[];
}

interface Header {
  readonly name: string;
  /** SHA-256 of what follows. */
  readonly sha256: string;
}

/** An index whose sets have not changed is written again when its time is this old, in milliseconds. */
const confirmStepMs = 10_000;
/** How far the time of a copy may be ahead of the clock, in milliseconds. */
const clockSkewMs = 60_000;
/** Sets that are written at the same time. */
const mostAtOnce = 8;
const indexName = 'index.json';

/**
 * What this replica had last of a database that all share, for a start while it is away. A folder with a file that names
 * the sets:
 *
 *     {"format":"verdict policies 1","database":"db:5432/main?schema=verdict","confirmed":"2026-11-29T08:00:00.000Z","sets":["invoices"]}
 *
 * and a file for each of them, by the digest of its name: a line of JSON, and what is copied of it.
 *
 *     {"name":"invoices","revision":7,"sha256":"…"}
 *     …
 *
 * Each file is replaced as a whole, a set's before the index that names it. No method but `read` throws.
 */
export class SpoolCopy<Content> {
  private written: { readonly sets: string; readonly confirmed: number } | undefined;
  private isFailing = false;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly kind: CopiedKind<Content>,
    private readonly options: SpoolCopyOptions,
  ) {}

  /** Reads the copy; undefined when there is none that can be used. Does not throw. */
  async read(now: number): Promise<Copied<Content> | undefined> {
    try {
      const text = await readFile(this.path(indexName), 'utf8').catch(ifMissing);
      if (text === undefined) return undefined;
      const index = JSON.parse(text) as Partial<Index>;
      if (index.format !== this.format || !Array.isArray(index.sets)) throw new Error('it is one of another release');
      if (index.database !== this.options.database) throw new Error(`it is one of another database: ${index.database}`);
      const confirmed = Date.parse(index.confirmed ?? '');
      if (!(confirmed <= now + clockSkewMs)) throw new Error(`its time is to come: ${index.confirmed}`);
      const sets: Copied<Content>['sets'][number][] = [];
      for (const name of index.sets) sets.push({ name, content: await this.readSet(name) });
      return { sets, confirmed };
    } catch (error) {
      this.options.onProblem(`the copy of the ${this.kind.title} cannot be used`, error);
      return undefined;
    }
  }

  /**
   * Keeps what serves of these sets now, several at a time: a disk takes longer to be sure of one than of eight.
   *
   * @returns those that are kept
   */
  async keep(contents: readonly Content[]): Promise<readonly Content[]> {
    const kept: Content[] = [];
    if (contents.length === 0) return kept;
    await this.attempt(async () => {
      let failure: unknown;
      // One that cannot be written keeps no other from it.
      const write = (content: Content) =>
        this.keepSet(content).then(
          () => void kept.push(content),
          (error: unknown) => {
            failure = error;
          },
        );
      await atOnce(contents, mostAtOnce, write);
      if (failure !== undefined) throw failure;
    });
    return kept;
  }

  /**
   * Notes that these are all the sets. The same ones as before are written every ten seconds at most.
   *
   * @param confirmed milliseconds since 1970
   */
  confirm(names: readonly string[], confirmed: number): Promise<void> {
    const sets = JSON.stringify(names);
    const { written } = this;
    // A clock that was set back makes it due, too.
    if (written?.sets === sets && Math.abs(confirmed - written.confirmed) < confirmStepMs) return Promise.resolve();
    return this.attempt(async () => {
      const { database } = this.options;
      const index: Index = { format: this.format, database, confirmed: new Date(confirmed).toISOString(), sets: names };
      await replacePrivateFile(this.path(indexName), Buffer.from(`${JSON.stringify(index)}\n`));
      if (written?.sets !== sets) await this.removeOthers(names);
      this.written = { sets, confirmed };
    });
  }

  private get format(): string {
    return `verdict ${this.kind.format} 1`;
  }

  private async keepSet(content: Content): Promise<void> {
    const { name, header, body } = await this.kind.pack(content);
    const line = JSON.stringify({ ...header, name, sha256: sha256([body]) });
    await replacePrivateFile(this.pathOf(name), Buffer.concat([Buffer.from(`${line}\n`), body]));
  }

  private async readSet(name: string): Promise<Content | undefined> {
    try {
      const file = await readFile(this.pathOf(name));
      const end = file.indexOf('\n');
      const body = file.subarray(end + 1);
      const header = JSON.parse(file.toString('utf8', 0, end)) as Header;
      if (header.name !== name || header.sha256 !== sha256([body])) throw new Error('it is damaged');
      return await this.kind.unpack(name, header, body);
    } catch (error) {
      this.options.onProblem(`the copy of the ${this.kind.title} of ${name} cannot be used`, error);
      return undefined;
    }
  }

  /** Removes files of sets that are not there any more. */
  private async removeOthers(names: readonly string[]): Promise<void> {
    const kept = new Set(names.map((name) => this.fileNameOf(name)));
    for (const file of await readdir(this.options.folder)) {
      if (file.endsWith(`.${this.kind.suffix}`) && !kept.has(file)) await rm(this.path(file), { force: true });
    }
  }

  /** One after another: two that replace the same file would rename each other's. */
  private attempt(write: () => Promise<void>): Promise<void> {
    this.writing = this.writing.then(() => this.attemptNow(write));
    return this.writing;
  }

  private async attemptNow(write: () => Promise<void>): Promise<void> {
    try {
      await mkdir(this.options.folder, { recursive: true, mode: 0o700 });
      await write();
      this.isFailing = false;
    } catch (error) {
      this.written = undefined;
      if (!this.isFailing) this.options.onProblem(`the copy of the ${this.kind.title} cannot be written`, error);
      this.isFailing = true;
    }
  }

  private pathOf(name: string): string {
    return this.path(this.fileNameOf(name));
  }

  /** Names of sets differ in case where file systems may not. */
  private fileNameOf(name: string): string {
    return `${sha256([name])}.${this.kind.suffix}`;
  }

  private path(file: string): string {
    return join(this.options.folder, file);
  }
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined;
  throw error;
}
