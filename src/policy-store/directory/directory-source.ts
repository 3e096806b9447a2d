import { setTimeout as delay } from 'node:timers/promises';
import { assert } from '../../core/assert.js';
import type { PolicyProblem } from '../../core/problem.js';
import { Confirmation } from '../confirmation.js';
import { PolicySource, type SourceSink } from '../policy-source.js';
import type { SourceLimits } from '../source-limits.js';
import { DirectoryWatch } from './directory-watch.js';
import { gitCommitOf } from './git-commit.js';
import { type FolderScan, PolicyDirectory } from './policy-directory.js';

export interface DirectorySourceOptions {
  readonly directory: string;
  /** Milliseconds between two looks at the directory (400). File events make it look at once. */
  readonly pollMs?: number;
  /** Milliseconds between the two looks that must agree before a folder is read (100). */
  readonly settleMs?: number;
  /** How long a folder may keep changing before that is a problem, in milliseconds (5,000). */
  readonly patienceMs?: number;
  readonly limits?: SourceLimits;
  /** Hears of a defect: nothing in a directory causes one. */
  readonly onDefect: (error: unknown) => void;
}

/** How long a start waits for folders that keep changing, in milliseconds. */
const startPatienceMs = 2_000;
/** Pause between two looks while something keeps changing, in milliseconds. */
const restlessPollMs = 20;

/** The policy sets in the folders of a directory, which is watched. Its files have no revisions. */
export class DirectorySource extends PolicySource {
  readonly title = 'policy directory';
  private readonly directory: PolicyDirectory;
  private readonly watch: DirectoryWatch;
  private readonly patienceMs: number;
  /** The state of each folder that was told last, with or without success. */
  private readonly told = new Map<string, string>();
  /** Sets whose folder is not at rest, and since when, by the monotonic clock. */
  private readonly restlessSince = new Map<string, number>();
  private problemTold: PolicyProblem | undefined;
  private sink: SourceSink | undefined;
  private readonly confirmation = new Confirmation();
  private looking: Promise<unknown> = Promise.resolve();
  private watching: Promise<void> | undefined;
  private isStopped = false;

  constructor(private readonly options: DirectorySourceOptions) {
    super();
    this.directory = new PolicyDirectory(options.directory, options.limits);
    this.watch = new DirectoryWatch(this.directory, options.settleMs ?? 100);
    this.patienceMs = options.patienceMs ?? 5_000;
  }

  get place(): object {
    return { directory: this.options.directory };
  }

  get confirmedAt(): number | undefined {
    return this.confirmation.at;
  }

  /** Files have no revisions. */
  async latestRevision(): Promise<undefined> {
    return undefined;
  }

  async start(sink: SourceSink): Promise<void> {
    this.sink = sink;
    await this.lookUntilSettled(() => false, Math.min(this.patienceMs, startPatienceMs));
    // Nobody is to be told that a set does not exist, or get another one's answer, because it is not at rest yet.
    for (const name of [...this.restlessSince.keys()]) await this.failChanging(name);
    this.watching = this.keepWatching();
  }

  async reload(name?: string): Promise<void> {
    await this.lookUntilSettled((candidate) => name === undefined || candidate === name, this.patienceMs);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.watch.close();
    await this.watching;
    await this.looking;
  }

  private async keepWatching(): Promise<void> {
    let settled = true;
    while (!this.isStopped) {
      await this.watch.changeOrTimeout(settled ? (this.options.pollMs ?? 400) : restlessPollMs);
      if (this.isStopped) return;
      try {
        settled = await this.look(() => false);
      } catch (error) {
        // Nothing in the directory can cause this; but if a defect ended the watch, the sets would grow old unnoticed.
        this.options.onDefect(error);
        await delay(restlessPollMs);
      }
    }
  }

  private async lookUntilSettled(forced: (name: string) => boolean, patienceMs: number): Promise<void> {
    const until = performance.now() + patienceMs;
    while (!(await this.look(forced)) && performance.now() < until);
  }

  /** @returns false if a folder was changing, so that another look is due soon */
  private look(forced: (name: string) => boolean): Promise<boolean> {
    const result = this.looking.then(() => this.lookNow(forced));
    this.looking = result.catch(() => undefined);
    return result;
  }

  private async lookNow(forced: (name: string) => boolean): Promise<boolean> {
    const { sink } = this;
    assert(sink !== undefined, 'a source is started before it looks');
    const known = new Map(sink.names().map((name) => [name, this.told.get(name)]));
    const asked = performance.now();
    const { problem, changed, gone, restless, atRest } = await this.watch.changes(known, forced);
    if (this.isStopped) return true;
    if (atRest && problem?.code !== this.problemTold?.code) {
      this.problemTold = problem;
      await sink.problem(problem);
    }
    for (const name of gone) await this.tellGone(sink, name);
    for (const name of restless) await this.noteChanging(name);
    let settled = atRest;
    for (const scan of changed) settled = (await this.tell(sink, scan)) && settled;
    if (settled && problem === undefined) this.confirmation.note(asked);
    return settled;
  }

  /** @returns false if the folder changed while it was read */
  private async tell(sink: SourceSink, scan: FolderScan): Promise<boolean> {
    const since = performance.now();
    const { name } = scan;
    const content = await this.directory.read(scan);
    if (content === 'changed') {
      await this.noteChanging(name);
      return false;
    }
    this.restlessSince.delete(name);
    this.told.set(name, scan.fingerprint);
    if (content.problems.some(({ severity }) => severity === 'error')) await sink.fail(name, content.problems, since);
    else await sink.offer({ set: content.set, gitCommit: () => gitCommitOf(scan.path), since });
    return true;
  }

  private async tellGone(sink: SourceSink, name: string): Promise<void> {
    this.told.delete(name);
    this.restlessSince.delete(name);
    await sink.remove(name, 'its folder is gone');
  }

  private async noteChanging(name: string): Promise<void> {
    const now = performance.now();
    const since = this.restlessSince.get(name) ?? now;
    this.restlessSince.set(name, since);
    if (now - since >= this.patienceMs) await this.failChanging(name);
  }

  private async failChanging(name: string): Promise<void> {
    this.told.delete(name);
    await this.sink?.fail(name, [keepsChanging], performance.now());
  }
}

const keepsChanging: PolicyProblem = Object.freeze({
  severity: 'error',
  code: 'policy_set_changing',
  message: 'the files of this set keep changing',
  file: '.',
  line: 1,
  column: 1,
  hint: 'write them elsewhere, then rename the folder or swap a link to it',
});
