import type { PolicyProblem } from '../core/problem.js';
import { ArchivedVersions } from './archive/archived-versions.js';
import type { ServedVersion } from './archive/policy-archive.js';
import { DirectoryWatch } from './directory/directory-watch.js';
import { PolicyDirectory } from './directory/policy-directory.js';
import { FolderLoader } from './folder-loader.js';
import type { PolicySetStatus } from './policy-set-status.js';
import { PolicySetTable } from './policy-set-table.js';
import type { PolicyStoreOptions } from './policy-store-options.js';
import type { ServedPolicySet } from './served-policy-set.js';
import { VersionService } from './version-service.js';

/**
 * The policy sets of a directory. A set is loaded as a whole or not at all (P1), replaced in one assignment, and kept
 * if its next version is broken. Changes of the directory and requests of operators are handled one after another.
 */
export class PolicyStore {
  private readonly source: PolicyDirectory;
  private readonly watch: DirectoryWatch;
  private readonly archived: ArchivedVersions;
  private readonly sets: PolicySetTable;
  private readonly service: VersionService;
  private readonly folders: FolderLoader;
  private readonly patienceMs: number;
  private work: Promise<unknown> = Promise.resolve();
  private watching: Promise<void> | undefined;
  private stopped = false;
  /** When the directory was read last, as a whole and at rest; milliseconds since 1970. */
  private confirmedAt: number | undefined;

  constructor(private readonly options: PolicyStoreOptions) {
    this.archived = new ArchivedVersions(options.archive);
    this.source = new PolicyDirectory(options.directory, options.limits);
    this.watch = new DirectoryWatch(this.source, options.settleMs ?? 100);
    this.sets = new PolicySetTable(options.defaultPolicySet);
    this.patienceMs = options.patienceMs ?? 5_000;
    this.service = new VersionService(this.sets, this.archived, options);
    this.folders = new FolderLoader(this.source, this.sets, this.service, options, this.patienceMs);
  }

  /** Loads every set, then watches the directory. Resolves also when a set, or the whole directory, cannot be loaded. */
  async start(): Promise<void> {
    for (const state of (await this.options.archive?.states()) ?? []) {
      Object.assign(this.sets.obtain(state.name), { archived: state, pinnedOver: state.pinnedOver });
    }
    await this.checkUntilSettled(() => false, Math.min(this.patienceMs, 2_000));
    await this.exclusively(async () => {
      // Nobody is to be told that a set does not exist, or get another one's answer, because it is not at rest yet.
      this.folders.failRestless();
      for (const entry of this.sets.entries) await this.service.serveArchived(entry);
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

  /** The version that each set serves, of those that serve one. */
  servedVersions(): readonly ServedVersion[] {
    return this.statuses().flatMap(({ name, version }) => (version === undefined ? [] : [{ name, version }]));
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

  /** When the source was read last, as a whole, in milliseconds since 1970: what was changed since then is not known. */
  get confirmed(): number | undefined {
    return this.confirmedAt;
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
      await this.service.serve(entry, await this.archived.load(name, version), pinnedOver);
      return this.sets.status(name);
    });
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
      const asked = Date.now();
      const due = (name: string) => forced(name) || performance.now() > (this.sets.find(name)?.retryAt ?? Infinity);
      const { problem, changed, gone, restless, atRest } = await this.watch.changes(known, due);
      if (atRest && problem?.code !== this.sets.directoryProblem?.code) this.noteDirectory(problem);
      if (atRest && problem === undefined) this.confirmedAt = asked;
      for (const name of gone) await this.folders.remove(name);
      for (const name of restless) this.folders.noteChanging(name);
      let settled = atRest;
      for (const scan of changed) settled = (await this.folders.load(scan)) && settled;
      return settled;
    });
  }

  private noteDirectory(problem: PolicyProblem | undefined): void {
    this.sets.directoryProblem = problem;
    this.sets.publish();
    if (problem === undefined) this.options.log.info({ directory: this.options.directory }, 'policy directory read');
    else this.options.log.error({ directory: this.options.directory, problem }, `policy directory: ${problem.message}`);
  }
}
