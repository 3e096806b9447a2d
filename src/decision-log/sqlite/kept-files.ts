import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isDamaged } from '../../database/sqlite/sqlite-connection.js';
import type { GapCause } from '../log-gap.js';
import { JournalFiles, type JournalFilesOptions } from './journal-files.js';
import { setFilesAside } from './log-files.js';
import { salvage } from './salvage.js';
import { SteadyState } from './steady-state.js';

export interface KeptFilesOptions extends JournalFilesOptions {
  /** Pause between two attempts to write while the files cannot be written, in milliseconds (1,000). */
  readonly retryMs: number | undefined;
  /** Time between two looks at whether the files are still those that lie at their paths, in milliseconds (1,000). */
  readonly watchMs: number | undefined;
  /** Resolves when nothing in the background uses the files. */
  readonly settle: () => Promise<void>;
  /** Begins to make anew, behind the decisions, an index that was lost. */
  readonly reindex: () => void;
  /** Called with each opened file before it is used. */
  readonly onOpened: (files: JournalFiles) => void;
}

/** Why the files cannot be written, and when that is over. */
export interface Trouble {
  readonly error: unknown;
  /** Resolves when a write succeeded, and when the files are closed. */
  readonly over: Promise<void>;
}

const defaultRetryMs = 1_000;
const defaultWatchMs = 1_000;

/**
 * The files of the journal, kept open and writable. When a write failed, or a file is not at its place any more, they are
 * brought back and opened again until a write succeeds. A damaged file is set aside under another name first: nothing is
 * ever written over it.
 */
export class KeptFiles {
  private now: JournalFiles | undefined;
  private current: Trouble | undefined;
  private readonly steady = new SteadyState();
  private readonly stopping = new AbortController();
  private watchTimer: NodeJS.Timeout | undefined;
  private rescuing: Promise<void> | undefined;
  private readonly damages: string[] = [];

  constructor(private readonly options: KeptFilesOptions) {}

  /** The files; undefined before `start`, after `take` and while they are opened again. */
  get files(): JournalFiles | undefined {
    return this.now;
  }

  /** Undefined while the files can be written. */
  get trouble(): Trouble | undefined {
    return this.current;
  }

  /**
   * Describes for people which files were damaged since the start, and what was lost with them; undefined if none was. One
   * that lost nothing is named too: its disk should not be trusted.
   */
  get damage(): string | undefined {
    return this.damages.length === 0 ? undefined : this.damages.join('; ');
  }

  /** True if the files can be written and have been writable for a while since the last failure. */
  get isSteady(): boolean {
    return this.steady.isWorking();
  }

  /** Opens the files, or makes them. */
  async start(): Promise<JournalFiles> {
    const files = await this.openOrReplace();
    this.use(files);
    return files;
  }

  /** Begins to look whether the files are at their places. */
  startWatching(): void {
    this.watchTimer = setInterval(() => this.watch(), this.options.watchMs ?? defaultWatchMs).unref();
  }

  /** Brings back what vanished, since it is lost when this process ends; then ends all attempts to write. */
  async stop(): Promise<void> {
    clearInterval(this.watchTimer);
    this.watch();
    await this.rescuing;
    this.stopping.abort();
  }

  get isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  /** Gives the files to the caller, who closes them. */
  take(): JournalFiles | undefined {
    const { files } = this;
    this.now = undefined;
    return files;
  }

  /**
   * Looks whether the open files are those that lie at their paths. One that was removed or moved over goes on taking
   * commits, and all of them are lost when this process ends.
   */
  private watch(): void {
    const vanished = this.files?.vanished();
    if (vanished === undefined || this.trouble !== undefined) return;
    this.failed(new Error(vanished));
  }

  /** Takes note of a write that failed, and begins to bring the files back. */
  failed(error: unknown): void {
    this.steady.failed();
    this.options.onProblem(`the decision log cannot be written: ${this.options.path}`, error);
    this.current = { error, over: this.recover(error) };
  }

  /** Tries until a write succeeds; ends early when the log is stopped. */
  private async recover(first: unknown): Promise<void> {
    let error = first;
    for (let attempt = 0; ; attempt++) {
      try {
        // What vanished is there for as long as this process is.
        if (attempt > 0 || this.files?.vanished() === undefined)
          await delay(this.options.retryMs ?? defaultRetryMs, undefined, { signal: this.stopping.signal, ref: false });
      } catch {
        return;
      }
      try {
        if (this.files?.vanished() !== undefined) {
          const rescue = this.rescue(this.files);
          this.rescuing = rescue.catch(() => undefined);
          await rescue;
        } else if (isDamaged(error) || this.files === undefined || this.files.isBroken)
          await this.reopen(isDamaged(error));
        await this.files!.journal.probe();
        break;
      } catch (again) {
        error = again;
      }
    }
    this.current = undefined;
    this.steady.recovered();
    this.options.onProblem('the decision log can be written again', undefined);
  }

  private async reopen(damaged: boolean): Promise<void> {
    const files = this.files;
    await this.options.settle();
    this.now = undefined;
    await files?.close();
    if (damaged && existsSync(this.options.path)) await this.setAside(this.trouble?.error, files?.journal.end.sequence);
    this.use(await this.openFiles(damaged ? 'file_damaged' : undefined));
  }

  private async rescue(files: JournalFiles): Promise<void> {
    const vanished = files.vanished();
    await this.options.settle();
    const { damaged, aside } = await files.rescue();
    this.now = undefined;
    this.use(await this.openFiles());
    this.options.reindex();
    const lost = damaged.reduce((sum, { count }) => sum + count, 0);
    if (lost > 0) this.damages.push(`${vanished}; ${lost} decision records are lost`);
    const found = aside.length === 0 ? '' : `; what lay there instead is now ${aside.join(' and ')}`;
    this.options.onProblem(
      `${vanished}; what was committed is written back, ${lost} decision records are lost${found}`,
      undefined,
    );
  }

  /** Gives the damaged open file another name. What can be read of it becomes a closed file of the journal. */
  private async setAside(error: unknown, end?: number): Promise<void> {
    const name = setFilesAside(this.options.path);
    const lost = await salvage(name, this.options.path, end);
    const kept =
      lost === undefined
        ? 'nothing of it could be read'
        : `what could be read of it is kept, ${lost === null ? 'and nobody can say how many' : lost} decision records are lost`;
    this.damages.push(`${this.options.path} was damaged and is now ${name}; ${kept}`);
    this.options.onProblem(
      `the decision log's file is damaged; it was set aside as ${name}, a new one is begun; ${kept}`,
      error,
    );
  }

  private openFiles(cause?: GapCause): Promise<JournalFiles> {
    return JournalFiles.open(this.options, cause);
  }

  /** A journal that is damaged is set aside first, with its WAL. Nothing is ever written over it. */
  private async openOrReplace(): Promise<JournalFiles> {
    try {
      return await this.openFiles();
    } catch (error) {
      if (!isDamaged(error)) throw error;
      await this.setAside(error);
      return this.openFiles('file_damaged');
    }
  }

  private use(files: JournalFiles): void {
    this.now = files;
    this.options.onOpened(files);
    if (files.damage !== undefined) this.damages.push(files.damage);
    if (files.missing !== undefined) {
      this.options.onProblem(`files of the decision log are missing: ${files.missing}`, undefined);
    }
  }
}
