import { existsSync } from 'node:fs';
import { DecisionIds } from './decision-ids.js';
import type { DecisionQuery } from './decision-query.js';
import type { DecisionRecord, NewDecisionRecord } from './decision-record.js';
import { type DecisionPage, findRecord, type LogView, searchRecords } from './decision-search.js';
import { type Group, GroupCommit } from './group-commit.js';
import { Journal } from './journal.js';
import { KeyIndex, openReader } from './key-index.js';
import type { SearchScope } from './record-filter.js';
import type { SqliteConnection } from './sqlite-connection.js';

export interface DecisionLogOptions {
  /** `sqlite:` and the path of the file. */
  readonly url: string;
  /**
   * What `append` promises when it resolves. `sync`: the record is committed and survives the end of the process,
   * kill -9 included. `off`: nothing; no record is written, those that are there can be read.
   */
  readonly mode: 'sync' | 'off';
  /** Hears of what goes wrong behind the scenes, where there is no caller to tell. */
  readonly onProblem?: (what: string, error: unknown) => void;
}

/** So much WAL is worth writing back: less often means fewer commits that meet a checkpoint, more means a long start. */
const checkpointBytes = 16 * 1024 * 1024;
/** So many commits later the index may have a segment to write. */
const indexCommits = 512;

/**
 * The decision log: what the PDP answered, to whom and why.
 *
 *     const log = new DecisionLog({ url: 'sqlite:./data/verdict.sqlite', mode: 'sync' });
 *     await log.start();
 *     await log.append({ id: log.nextId(Date.now()), … });   // committed; only now may the answer leave
 *     await log.search({ subject: 'alice', limit: 20 });     // and it is found at once
 *     await log.stop();
 *
 * A commit is one row of the journal (journal.ts) with the exact texts of its records; making them searchable and
 * writing the WAL back happen behind it, on a connection of their own (key-index.ts). Three connections: the writer,
 * the background, the reader. None blocks the event loop, and no write waits for another.
 */
export class DecisionLog {
  readonly #group = new GroupCommit((group) => this.#commit(group));
  #ids = new DecisionIds(0, 0);
  #journal: Journal | undefined;
  #index: KeyIndex | undefined;
  #reader: SqliteConnection | undefined;
  #background: Promise<void> = Promise.resolve();
  #tidying = false;
  #uncheckpointed = 0;
  #commitsSinceIndexed = 0;

  constructor(private readonly options: DecisionLogOptions) {}

  /** Opens or makes the files; after a crash this is also the recovery, and takes milliseconds. */
  async start(): Promise<void> {
    const path = sqlitePath(this.options.url);
    if (this.options.mode === 'off' && !existsSync(path)) return;
    const indexPath = path.replace(/(\.[^./\\]+)?$/, '.index$1');
    this.#journal = await Journal.open(path, 'NORMAL');
    const { writer, end } = this.#journal;
    this.#ids = new DecisionIds(writer, end.until);
    this.#index = await KeyIndex.open(indexPath, path, writer, end.sequence);
    this.#reader = await openReader(indexPath, path);
    this.#startTidying();
  }

  /** Commits what is pending and closes the files; nothing may be appended any more. */
  async stop(): Promise<void> {
    await this.#group.flush();
    await this.#background;
    await this.#reader?.close();
    await this.#index?.close();
    await this.#journal?.close();
    this.#reader = this.#index = this.#journal = undefined;
  }

  /** A UUIDv7 for a decision made at `nowMs` (milliseconds since 1970), higher than every id before it. */
  nextId(nowMs: number): string {
    return this.#ids.next(nowMs);
  }

  /**
   * Records a decision; resolves when the mode's promise holds and rejects when it cannot be kept: then the decision
   * must not be answered. The record is serialised before this returns.
   */
  append(record: NewDecisionRecord): Promise<void> {
    return this.options.mode === 'off' ? written : this.#group.add(record);
  }

  /** Records that were appended and are not committed yet. */
  get depth(): number {
    return this.#group.depth;
  }

  /** A page of records, newest first; `scope` says what the caller may see. Throws VerdictError `invalid_request`. */
  search(query: DecisionQuery, scope: SearchScope = {}): Promise<DecisionPage> {
    return searchRecords(this.#view(), query, scope);
  }

  /** The record with this id; undefined where there is none or the caller may not see it. */
  find(id: string, scope: SearchScope = {}): Promise<DecisionRecord | undefined> {
    return findRecord(this.#view(), id, scope);
  }

  /**
   * Brings the key index up to the newest record. The log does so by itself in large steps, and finds records that are
   * not indexed yet; before a bulk of queries on a file at rest it can be worth doing all of it.
   */
  async indexNow(): Promise<void> {
    await this.#inBackground(async () => {
      while (await this.#index?.indexStep(true));
    });
  }

  #view(): LogView {
    return {
      connection: this.#reader,
      end: this.#journal?.end ?? { sequence: 0, until: 0, lag: 0 },
      indexedTo: this.#index?.indexedTo ?? 0,
    };
  }

  async #commit(group: Group): Promise<void> {
    this.#uncheckpointed += await this.#journal!.commit(group);
    this.#commitsSinceIndexed++;
    if (this.#uncheckpointed >= checkpointBytes || this.#commitsSinceIndexed >= indexCommits) this.#startTidying();
  }

  #startTidying(): void {
    if (this.#tidying) return;
    this.#tidying = true;
    void this.#inBackground(async () => {
      this.#commitsSinceIndexed = 0;
      while (await this.#index?.indexStep()) await this.#checkpointIfDue();
      await this.#checkpointIfDue();
    })
      // The records are committed and are found without index; the next turn tries again.
      .catch((error: unknown) => this.options.onProblem?.('the key index or the checkpoint failed', error))
      .finally(() => {
        this.#tidying = false;
      });
  }

  /** One thing after another: they share a connection and its transactions. */
  #inBackground(work: () => Promise<void>): Promise<void> {
    const done = this.#background.then(work);
    this.#background = done.catch(() => undefined);
    return done;
  }

  async #checkpointIfDue(): Promise<void> {
    if (this.#uncheckpointed < checkpointBytes) return;
    this.#uncheckpointed = 0;
    await this.#index?.checkpoint();
  }
}

const written = Promise.resolve();

function sqlitePath(url: string): string {
  if (!url.startsWith('sqlite:')) throw new Error(`not a sqlite: URL: ${url}`);
  return url.slice('sqlite:'.length);
}
