import { setTimeout as delay } from 'node:timers/promises';
import { isSemantics, type Semantics } from '../../core/semantics.js';
import { isAway } from '../../database/database-error.js';
import type { PolicyArchive } from '../archive/policy-archive.js';
import { Confirmation } from '../confirmation.js';
import type { PolicySetFiles } from '../policy-set-files.js';
import { ageOf, type ExpectedServing, PolicySource, type SourceSink } from '../policy-source.js';
import { problemOfSet } from '../set-file-problems.js';
import type { SpoolCopy } from '../spool-copy.js';
import type { CopiedContent } from './policies-copy.js';
import type { PolicyHead, PolicyRepository, RepositoryWatch, StoredPolicySet } from './policy-repository.js';

export interface DatabaseSourceOptions {
  readonly repository: PolicyRepository;
  /** Has the versions that sets were rolled back to. */
  readonly archive: PolicyArchive;
  /** What was served last, for a start while the database is away; undefined where it is a file of this machine. */
  readonly copy?: SpoolCopy<CopiedContent>;
  readonly log: {
    warn(details: object, message: string): void;
    error(details: object, message: string): void;
  };
}

/** The database counts as away when nothing was heard of it for this long, in milliseconds. */
const awayMs = 3_000;
/** Pause between two looks at how long nothing was heard, in milliseconds. */
const checkMs = 500;
/** Pause between two tries of a start, in milliseconds. */
const retryMs = 100;
/** How long a start waits for the database before it serves the copy, in milliseconds. */
const startPatienceMs = 5_000;

/** The policy sets that were written into the database. */
export class DatabaseSource extends PolicySource {
  readonly title = 'policy database';
  readonly place = {};
  /** What was told last of each set: its revision is not enough, since a database that was restored gives it again. */
  private readonly told = new Map<string, string>();
  /** What serves and is not copied yet. */
  private readonly uncopied = new Map<string, CopiedContent>();
  /** Sets of which something else serves than the database has. */
  private readonly behind = new Set<string>();
  private sink: SourceSink | undefined;
  private watch: RepositoryWatch | undefined;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<unknown> = Promise.resolve();
  /** Every set that the database had at the last look. */
  private names: readonly string[] = [];
  private isAway = false;
  private isStopped = false;
  /** Whether the copy is what serves, since the database has not been read yet. */
  private servesCopy = false;
  private readonly confirmation = new Confirmation();
  /** When the last confirmation was, by the monotonic clock. */
  private confirmed = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: DatabaseSourceOptions) {
    super();
  }

  get confirmedAt(): number | undefined {
    if (this.watch !== undefined) this.noteConfirmed(performance.now() - this.watch.ageMs);
    return this.confirmation.at;
  }

  async start(sink: SourceSink): Promise<void> {
    this.sink = sink;
    const started = performance.now();
    let failure: unknown;
    for (;;) {
      failure = await this.look().then(
        () => undefined,
        (error: unknown) => error ?? new Error('the look failed'),
      );
      // Another failure than that of a server that is away does not pass by itself.
      if (!isAway(failure) || this.isStopped || performance.now() - started > startPatienceMs) break;
      await delay(retryMs);
    }
    if (failure !== undefined && !this.isStopped) await this.serveCopy(failure);
    if (this.isStopped) return;
    this.watch = this.options.repository.watch(() => this.look());
    this.timer = setInterval(() => void this.noteAge(), checkMs).unref();
  }

  reload(name?: string): Promise<void> {
    return this.look((candidate) => name === undefined || candidate === name);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.watch?.end();
    clearInterval(this.timer);
    await this.looking;
  }

  override async rollback(name: string, version: string, by: string, expected?: ExpectedServing): Promise<void> {
    expected?.require();
    await this.options.repository.pin(name, version, { expected: expected?.revision ?? 'any', by, at: Date.now() });
    await this.look();
  }

  latestRevision(name: string): Promise<number | undefined> {
    return this.options.repository.lastRevision(name);
  }

  /** Tells what has another revision than what was told, one look after another. */
  private look(forced: (name: string) => boolean = () => false): Promise<void> {
    const result = this.looking.then(() => this.lookNow(forced));
    this.looking = result.catch(() => undefined);
    return result;
  }

  private async lookNow(forced: (name: string) => boolean): Promise<void> {
    const { sink } = this;
    if (sink === undefined || this.isStopped) return;
    const asked = performance.now();
    const heads = await this.options.repository.heads();
    const there = new Set(heads.map(({ name }) => name));
    for (const name of sink.names()) if (!there.has(name)) await this.tellGone(sink, name);
    for (const head of heads) {
      if (this.isStopped) return;
      if (forced(head.name) || this.told.get(head.name) !== identityOf(head)) await this.tell(sink, head.name);
    }
    this.servesCopy = false;
    this.noteConfirmed(asked);
    this.names = [...there];
    await this.noteAway(false);
    await this.keepCopies(Date.now() - (performance.now() - asked));
  }

  /**
   * Writes copies of what serves. While one of them cannot be written, or another thing serves than the database has, the
   * copy is not confirmed: a start from it must not look fresher than it is.
   */
  private async keepCopies(confirmed: number): Promise<void> {
    const { copy } = this.options;
    if (copy === undefined) return;
    for (const content of await copy.keep([...this.uncopied.values()])) {
      if (this.uncopied.get(content.set.name) === content) this.uncopied.delete(content.set.name);
    }
    if (this.uncopied.size === 0 && this.behind.size === 0) await copy.confirm(this.names, confirmed);
  }

  private async tell(sink: SourceSink, name: string): Promise<void> {
    const since = performance.now();
    const { repository, archive } = this.options;
    let stored: StoredPolicySet | undefined;
    let set: PolicySetFiles | undefined;
    let semantics: Semantics | undefined;
    this.behind.add(name);
    try {
      stored = await repository.read(name);
      // It was removed in between: the next look tells.
      if (stored === undefined) return;
      const { pinned } = stored.head;
      set = pinned === undefined ? stored.set : await archive.files(name, pinned);
      // It is served under the defaults that it served under, as every earlier version.
      const number = pinned === undefined ? undefined : (await archive.version(name, pinned))?.semantics;
      if (number !== undefined && !isSemantics(number)) throw new Error(`it was archived under semantics ${number}`);
      semantics = number;
    } catch (error) {
      if (isAway(error)) throw error;
      // What is stored of one set keeps no other from being served.
      this.options.log.error({ err: error, policySet: name }, 'a policy set in the database cannot be read');
      await sink.fail(name, [unreadable], since);
      return;
    }
    const { head } = stored;
    if (set === undefined) await sink.fail(name, [pinnedMissing(head)], since);
    else {
      const { revision, gitCommit } = head;
      const pinnedOver = head.pinned === undefined ? undefined : head.version;
      const isServed = await sink.offer({
        set,
        revision,
        pinnedOver,
        semantics,
        gitCommit: async () => gitCommit,
        since,
      });
      if (isServed) {
        this.behind.delete(name);
        this.uncopied.set(name, { set, revision, pinnedOver, semantics });
      }
    }
    this.told.set(name, identityOf(head));
  }

  private async tellGone(sink: SourceSink, name: string): Promise<void> {
    this.told.delete(name);
    this.behind.delete(name);
    this.uncopied.delete(name);
    await sink.remove(name, 'it was removed from the database');
  }

  private async serveCopy(failure: unknown): Promise<void> {
    const { copy, log } = this.options;
    await this.noteAway(true);
    const copied = await copy?.read(Date.now());
    if (copied === undefined || this.sink === undefined) {
      log.error({ err: failure }, 'the policy database cannot be read, and there is no copy of its sets');
      return;
    }
    this.servesCopy = true;
    this.noteConfirmed(performance.now() - (Date.now() - copied.confirmed));
    const confirmed = new Date(copied.confirmed).toISOString();
    log.warn({ err: failure, sets: copied.sets.length, confirmed }, 'policy sets are served from a copy');
    for (const { name, content } of copied.sets) {
      // The database could be read before it failed: what it had is newer.
      if (this.told.has(name)) continue;
      const since = performance.now();
      if (content === undefined) await this.sink.fail(name, [copyDamaged], since);
      else await this.sink.offer({ ...content, since });
    }
  }

  private async noteAge(): Promise<void> {
    const { confirmedAt } = this;
    if (this.isStopped) return;
    if (ageOf(this) > awayMs) return this.noteAway(true);
    if (this.servesCopy || confirmedAt === undefined) return;
    // The watch can answer again without a look: nothing was changed meanwhile.
    await this.noteAway(false);
    await this.keepCopies(confirmedAt);
  }

  /**
   * The same confirmation is noted once, at its time, so that the wall clock counts too: the monotonic one stands still while
   * a machine is suspended.
   *
   * @param at by the monotonic clock
   */
  private noteConfirmed(at: number): void {
    // The watch gives an age, so the time that follows from it differs by rounding.
    if (at <= this.confirmed + 1) return;
    this.confirmed = at;
    this.confirmation.note(at);
  }

  private async noteAway(isAway: boolean): Promise<void> {
    if (this.isAway === isAway) return;
    this.isAway = isAway;
    await this.sink?.problem(isAway ? databaseAway : undefined);
  }
}

/** A text that changes whenever something else is to be served. */
function identityOf({ revision, version, digest, pinned }: PolicyHead): string {
  return [revision, version, digest, pinned].join(' ');
}

const databaseAway = Object.freeze(
  problemOfSet(
    'policy_database_away',
    'the database of the policy sets cannot be read, so changes are not seen',
    'see the health of the database; what is served is what was known last',
  ),
);

const unreadable = Object.freeze(
  problemOfSet('stored_set_unreadable', 'what the database has of this set cannot be read', 'write it again'),
);

const copyDamaged = Object.freeze(
  problemOfSet('policy_copy_damaged', 'the copy of this set cannot be used, and the database is away', 'see the log'),
);

function pinnedMissing({ name, pinned }: PolicyHead) {
  const message = `version ${pinned}, which was rolled back to, is not in the archive any more`;
  return problemOfSet(
    'pinned_version_missing',
    message,
    `write the set again, or roll ${name} back to another version`,
  );
}
