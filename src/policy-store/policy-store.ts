import { formatProblem, PolicyError, type PolicyProblem, presentProblems } from '../core/problem.js';
import { currentSemantics } from '../core/semantics.js';
import { ArchivedVersions } from './archived-versions.js';
import { DirectorySource, type FolderScan, type SourceLimits } from './directory-source.js';
import { DirectoryWatch } from './directory-watch.js';
import { gitCommitOf } from './git-commit.js';
import { type LoadedPolicySet, loadPolicySet } from './load-policy-set.js';
import type { PolicyArchive } from './policy-archive.js';
import { type PolicySetFiles, testsVersionOf, versionOf } from './policy-set-files.js';
import type { PolicySetStatus } from './policy-set-status.js';
import { type Entry, PolicySetTable } from './policy-set-table.js';
import type { ServedPolicySet } from './served-policy-set.js';

/** The operator's log. Pino's loggers fit. */
export interface PolicyStoreLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** The result of loading a changed folder, for metrics and audit. */
export interface LoadEvent {
  readonly policySet: string;
  readonly result: 'served' | 'unchanged' | 'failed' | 'removed';
  readonly durationMs: number;
  /** The version that was served before; at a start, the one when the process last ended. */
  readonly from: string | undefined;
  /** The version that is served now, if any. */
  readonly to: string | undefined;
}

export interface PolicyStoreOptions {
  readonly directory: string;
  /** The set of requests that name none; by default the one named `default`, else the only one. */
  readonly defaultPolicySet?: string;
  /** Undefined: no version survives a restart, and there are no rollbacks. */
  readonly archive?: PolicyArchive;
  readonly log: PolicyStoreLog;
  readonly onLoad?: (event: LoadEvent) => void;
  /** Milliseconds between two looks at the directory. File events make it look at once. */
  readonly pollMs?: number;
  /** Milliseconds between the two looks that must agree before a folder is read. */
  readonly settleMs?: number;
  /** How long a folder may keep changing before that is a problem, in milliseconds. */
  readonly patienceMs?: number;
  readonly limits?: SourceLimits;
}

/** Time in milliseconds after which a set is loaded again that failed for another reason than its files. */
const retryMs = 5_000;

/**
 * The policy sets of a directory. A set is loaded as a whole or not at all (P1), replaced in one assignment, and kept
 * if its next version is broken. Changes of the directory and requests of operators are handled one after another.
 */
export class PolicyStore {
  private readonly source: DirectorySource;
  private readonly watch: DirectoryWatch;
  private readonly archived: ArchivedVersions;
  private readonly sets: PolicySetTable;
  /** Sets whose folder is not at rest, and since when, by the monotonic clock. */
  private readonly restlessSince = new Map<string, number>();
  private work: Promise<unknown> = Promise.resolve();
  private watching: Promise<void> | undefined;
  private stopped = false;

  constructor(private readonly options: PolicyStoreOptions) {
    this.archived = new ArchivedVersions(options.archive);
    this.source = new DirectorySource(options.directory, options.limits);
    this.watch = new DirectoryWatch(this.source, options.settleMs ?? 100);
    this.sets = new PolicySetTable(options.defaultPolicySet);
  }

  /** Loads every set, then watches the directory. Resolves also when a set, or the whole directory, cannot be loaded. */
  async start(): Promise<void> {
    for (const state of (await this.options.archive?.states()) ?? []) {
      Object.assign(this.sets.obtain(state.name), { archived: state, pinnedOver: state.pinnedOver });
    }
    await this.checkUntilSettled(() => false, Math.min(this.patienceMs, 2_000));
    await this.exclusively(async () => {
      // Nobody is to be told that a set does not exist, or get another one's answer, because it is not at rest yet.
      for (const name of this.restlessSince.keys()) this.failChanging(name);
      for (const entry of this.sets.entries) await this.serveArchived(entry);
    });
    this.sets.isStarted = true;
    this.watching = this.keepWatching();
  }

  /** Ends the watch and the threads of stock Casbin; what was resolved before can no longer be counted on. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.watch.close();
    await this.watching;
    await this.work;
    await this.archived.stop();
    await Promise.all(this.sets.entries.map((entry) => entry.loaded?.stop()));
  }

  /**
   * The version of a set that serves now.
   *
   * @throws VerdictError `no_policy_set`, `policy_set_not_found`, `policy_set_unavailable`
   */
  resolve(name?: string): ServedPolicySet {
    return this.sets.resolve(name);
  }

  /** The set of requests that name none, if there is one. */
  defaultName(): string | undefined {
    return this.sets.defaultName();
  }

  /** Whether requests that name no set are answered, and some of those that name one. */
  get isServing(): boolean {
    const byDefault = this.defaultName();
    const served = this.statuses().filter(({ state }) => state !== 'failed');
    return served.length > 0 && (byDefault === undefined || served.some(({ name }) => name === byDefault));
  }

  /** Every set, in the order of their names. */
  statuses(): readonly PolicySetStatus[] {
    return this.sets.statuses();
  }

  /** @throws VerdictError `policy_set_not_found` */
  status(name: string): PolicySetStatus {
    return this.sets.status(name);
  }

  /**
   * A version that serves or once did, also of a set that was removed: to ask it what it would answer.
   *
   * @param semantics the number of the defaults to read it with; by default the one that it serves or served under
   * @throws VerdictError `policy_version_not_found`, `policy_version_invalid`
   */
  async version(name: string, version: string, semantics?: number): Promise<ServedPolicySet> {
    const serving = this.sets.served(name);
    const isIt =
      serving?.version === version && serving.compiled.semantics === (semantics ?? serving.compiled.semantics);
    return isIt ? serving : this.archived.get(name, version, semantics);
  }

  /** Why the directory as a whole cannot be used; what was served before goes on. */
  get problem(): PolicyProblem | undefined {
    return this.sets.directoryProblem;
  }

  /**
   * Reads the folder again, whether or not it seems to have changed; without a name, that of every set. When this
   * resolves, the status says what became of it.
   *
   * @throws VerdictError `policy_set_not_found`
   */
  async reload(name?: string): Promise<void> {
    if (name !== undefined) this.sets.get(name);
    await this.checkUntilSettled((candidate) => name === undefined || candidate === name, this.patienceMs);
  }

  /**
   * Serves an earlier version until the folder's version changes, across restarts too. Rolling back to the folder's own
   * version ends an earlier rollback.
   *
   * @throws VerdictError `policy_set_not_found`, `policy_version_not_found`, `policy_version_invalid`
   */
  async rollback(name: string, version: string): Promise<PolicySetStatus> {
    return this.exclusively(async () => {
      const entry = this.sets.get(name);
      const folderVersion = entry.folder?.version;
      const pinnedOver = folderVersion === version ? undefined : (folderVersion ?? '');
      await this.serve(entry, await this.archived.load(name, version), pinnedOver);
      return this.sets.status(name);
    });
  }

  private get patienceMs(): number {
    return this.options.patienceMs ?? 5_000;
  }

  /** One at a time: a rollback must not meet a reload halfway. */
  private exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.work.then(work).finally(() => this.sets.publish());
    this.work = result.catch(() => undefined);
    return result;
  }

  private async keepWatching(): Promise<void> {
    let settled = true;
    while (!this.stopped) {
      await this.watch.changeOrTimeout(settled ? (this.options.pollMs ?? 400) : 20);
      if (this.stopped) return;
      try {
        settled = await this.check(() => false);
      } catch (error) {
        // Nothing in the directory can cause this; but if a defect ended the watch, the sets would grow old unnoticed.
        this.options.log.error({ err: error }, 'looking for changed policy sets failed');
      }
    }
  }

  private async checkUntilSettled(forced: (name: string) => boolean, patienceMs: number): Promise<void> {
    const until = performance.now() + patienceMs;
    while (!(await this.check(forced)) && performance.now() < until);
  }

  /** @returns false if a folder was changing, so that another look is due soon */
  private check(forced: (name: string) => boolean): Promise<boolean> {
    return this.exclusively(async () => {
      const known = new Map(this.sets.entries.map(({ name, folder }) => [name, folder?.fingerprint]));
      const due = (name: string) => forced(name) || performance.now() > (this.sets.find(name)?.retryAt ?? Infinity);
      const { problem, changed, gone, restless, atRest } = await this.watch.changes(known, due);
      if (atRest && problem?.code !== this.sets.directoryProblem?.code) this.noteDirectory(problem);
      for (const name of gone) await this.remove(name);
      for (const name of restless) this.noteChanging(name);
      let settled = atRest;
      for (const scan of changed) settled = (await this.loadFolder(scan)) && settled;
      return settled;
    });
  }

  /** @returns false if the folder changed while it was read */
  private async loadFolder(scan: FolderScan): Promise<boolean> {
    const startedAt = performance.now();
    const { name, fingerprint } = scan;
    const content = await this.source.read(scan);
    if (content === 'changed') {
      this.noteChanging(name);
      return false;
    }
    const entry = this.sets.obtain(name);
    const from = entry.loaded?.served.version ?? entry.archived?.version;
    entry.retryAt = Number.POSITIVE_INFINITY;
    this.restlessSince.delete(name);
    let result: LoadEvent['result'] = 'failed';
    if (content.problems.some(({ severity }) => severity === 'error')) {
      entry.folder = { fingerprint };
      this.fail(entry, content.problems);
    } else {
      entry.folder = { fingerprint, version: versionOf(content.set.files) };
      try {
        result = await this.serveFolder(entry, scan, content.set);
        entry.problems = [];
      } catch (error) {
        if (error instanceof PolicyError) {
          this.fail(entry, error.problems);
        } else {
          // The folder is not to blame, so it is tried again without a change.
          entry.retryAt = performance.now() + retryMs;
          this.fail(entry, [loadFailed]);
          this.options.log.error({ err: error, policySet: name }, 'a policy set could not be put into service');
        }
      }
    }
    if (entry.loaded === undefined) await this.serveArchived(entry);
    this.sets.publish();
    const to = entry.loaded?.served.version;
    this.options.onLoad?.({ policySet: name, result, durationMs: performance.now() - startedAt, from, to });
    return true;
  }

  private async serveFolder(entry: Entry, scan: FolderScan, set: PolicySetFiles): Promise<'served' | 'unchanged'> {
    const version = entry.folder?.version;
    if (entry.pinnedOver === '') {
      // When the pin was set the folder could not be read; this is the version that it is over.
      entry.pinnedOver = version;
      const pinned = entry.loaded?.served.version ?? entry.archived?.version;
      if (pinned !== undefined)
        await this.options.archive?.setState({ name: entry.name, version: pinned, pinnedOver: version }, Date.now());
    }
    if (entry.pinnedOver === version && (await this.serveArchived(entry))) return 'unchanged';
    // Tests are not a part of the version: when they change, they are run again on what serves already.
    const checked = `${version} ${testsVersionOf(set.files)}`;
    const serves = () => {
      const served = entry.loaded?.served;
      return served?.version === version && served?.compiled.semantics === currentSemantics;
    };
    if (serves() && entry.checked === checked) return 'unchanged';
    const loaded = await loadPolicySet(set);
    entry.checked = checked;
    if (serves()) {
      await loaded.stop();
      return 'unchanged';
    }
    await this.serve(entry, loaded, undefined, async (archive) =>
      archive.keep(set, Date.now(), await gitCommitOf(scan.path)),
    );
    return 'served';
  }

  /** Archives the version and notes that it serves, then puts it into service. */
  private async serve(
    entry: Entry,
    loaded: LoadedPolicySet,
    pinnedOver: string | undefined,
    keep?: (archive: PolicyArchive) => Promise<void>,
  ): Promise<void> {
    const { archive } = this.options;
    const { name, version } = loaded.served;
    try {
      if (archive !== undefined) {
        await keep?.(archive);
        await archive.setState({ name, version, pinnedOver }, Date.now());
      }
    } catch (error) {
      await loaded.stop();
      throw error;
    }
    entry.pinnedOver = pinnedOver;
    const replaced = entry.loaded;
    entry.loaded = loaded;
    entry.archived = undefined;
    this.sets.publish();
    replaced?.retire();
    this.options.log.info(
      { policySet: name, version, replaced: replaced?.served.version, pinnedOver },
      'policy set served',
    );
  }

  /**
   * Serves what served when the process last ended, if nothing does.
   *
   * @returns whether something serves
   */
  private async serveArchived(entry: Entry): Promise<boolean> {
    if (entry.loaded !== undefined) return true;
    if (entry.archived === undefined) return false;
    const { name, version } = entry.archived;
    entry.archived = undefined;
    try {
      entry.loaded = await this.archived.load(name, version);
      this.options.log.warn({ policySet: name, version }, 'policy set served from the archive');
      return true;
    } catch (error) {
      this.options.log.error({ err: error, policySet: name, version }, 'the archived version cannot be served either');
      return false;
    }
  }

  private async remove(name: string): Promise<void> {
    const entry = this.sets.find(name);
    if (entry === undefined) return;
    this.sets.remove(name);
    this.restlessSince.delete(name);
    this.sets.publish();
    entry.loaded?.retire();
    this.options.log.warn({ policySet: name }, 'policy set removed: its folder is gone');
    const from = entry.loaded?.served.version ?? entry.archived?.version;
    this.options.onLoad?.({ policySet: name, result: 'removed', durationMs: 0, from, to: undefined });
    await this.options.archive?.setRemoved(name, Date.now()).catch((error) => {
      // After a restart it will be found missing once more.
      this.options.log.error({ err: error, policySet: name }, 'the removal of a policy set could not be recorded');
    });
  }

  private fail(entry: Entry, problems: readonly PolicyProblem[]): void {
    const before = entry.problems.map(formatProblem).join('\n');
    entry.problems = presentProblems(problems);
    if (entry.problems.map(formatProblem).join('\n') === before) return;
    this.options.log.error(
      { policySet: entry.name, problems: entry.problems.slice(0, 20), serving: entry.loaded?.served.version },
      `policy set not loaded: ${formatProblem(entry.problems[0] ?? loadFailed)}`,
    );
  }

  private noteDirectory(problem: PolicyProblem | undefined): void {
    this.sets.directoryProblem = problem;
    this.sets.publish();
    if (problem === undefined) this.options.log.info({ directory: this.options.directory }, 'policy directory read');
    else this.options.log.error({ directory: this.options.directory, problem }, `policy directory: ${problem.message}`);
  }

  private noteChanging(name: string): void {
    const now = performance.now();
    const since = this.restlessSince.get(name) ?? now;
    this.restlessSince.set(name, since);
    if (now - since >= this.patienceMs) this.failChanging(name);
  }

  private failChanging(name: string): void {
    const entry = this.sets.obtain(name);
    entry.folder = undefined;
    this.fail(entry, [keepsChanging]);
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

const loadFailed: PolicyProblem = Object.freeze({
  severity: 'error',
  code: 'load_failed',
  message: 'the set could not be put into service; the log of the service says why',
  file: '.',
  line: 1,
  column: 1,
});
