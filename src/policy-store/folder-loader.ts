import { formatProblem, PolicyError, type PolicyProblem, presentProblems } from '../core/problem.js';
import { currentSemantics } from '../core/semantics.js';
import { gitCommitOf } from './directory/git-commit.js';
import type { FolderScan, PolicyDirectory } from './directory/policy-directory.js';
import { loadPolicySet } from './load-policy-set.js';
import { type PolicySetFiles, testsVersionOf, versionOf } from './policy-set-files.js';
import type { Entry, PolicySetTable } from './policy-set-table.js';
import type { LoadEvent, PolicyStoreOptions } from './policy-store-options.js';
import type { VersionService } from './version-service.js';

/** Time in milliseconds after which a set is loaded again that failed for another reason than its files. */
const retryMs = 5_000;

/** Loads what changed in the folders of sets. A set that cannot be loaded keeps the version that serves (P1). */
export class FolderLoader {
  /** Sets whose folder is not at rest, and since when, by the monotonic clock. */
  private readonly restlessSince = new Map<string, number>();

  constructor(
    private readonly source: PolicyDirectory,
    private readonly sets: PolicySetTable,
    private readonly service: VersionService,
    private readonly options: Pick<PolicyStoreOptions, 'archive' | 'log' | 'onLoad'>,
    /** How long a folder may keep changing before that is a problem, in milliseconds. */
    private readonly patienceMs: number,
  ) {}

  /** @returns false if the folder changed while it was read */
  async load(scan: FolderScan): Promise<boolean> {
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
    if (entry.loaded === undefined) await this.service.serveArchived(entry);
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
    if (entry.pinnedOver === version && (await this.service.serveArchived(entry))) return 'unchanged';
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
    await this.service.serve(entry, loaded, undefined, async (archive) =>
      archive.keep(set, Date.now(), await gitCommitOf(scan.path)),
    );
    return 'served';
  }

  async remove(name: string): Promise<void> {
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

  noteChanging(name: string): void {
    const now = performance.now();
    const since = this.restlessSince.get(name) ?? now;
    this.restlessSince.set(name, since);
    if (now - since >= this.patienceMs) this.failChanging(name);
  }

  /** Every folder that is not at rest is a problem from now on. */
  failRestless(): void {
    for (const name of this.restlessSince.keys()) this.failChanging(name);
  }

  private failChanging(name: string): void {
    const entry = this.sets.obtain(name);
    entry.folder = undefined;
    this.fail(entry, [keepsChanging]);
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
