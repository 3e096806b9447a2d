import { formatProblem, PolicyError, type PolicyProblem, presentProblems } from '../core/problem.js';
import { currentSemantics } from '../core/semantics.js';
import { claimed, type LoadedPolicySet, loadPolicySet } from './load-policy-set.js';
import { testsVersionOf, versionOf } from './policy-set-files.js';
import type { Entry, PolicySetTable } from './policy-set-table.js';
import { ageOf, type OfferedSet } from './policy-source.js';
import type { LoadEvent, PolicyStoreOptions } from './policy-store-options.js';
import { problemOfSet } from './set-file-problems.js';
import { defaultMaxSets } from './source-limits.js';
import type { VersionService } from './version-service.js';

/** Loads what a source has of a set. A set that cannot be loaded keeps the version that serves (P1). */
export class SetLoader {
  constructor(
    private readonly sets: PolicySetTable,
    private readonly service: VersionService,
    private readonly options: Pick<
      PolicyStoreOptions,
      'archive' | 'hash' | 'live' | 'log' | 'maxSets' | 'onLoad' | 'source'
    >,
  ) {}

  /** @returns `failed`: something else than the files was at fault, so the same may go well later */
  async load(offered: OfferedSet): Promise<'served' | 'refused' | 'failed'> {
    const { set, since } = offered;
    const entry = this.sets.obtain(set.name);
    const { maxSets = defaultMaxSets } = this.options;
    if (entry.loaded === undefined && !this.sets.hasRoomFor(maxSets)) return this.refuse(entry, maxSets);
    const from = entry.loaded?.served.version ?? entry.archived?.version;
    entry.sourceVersion = offered.pinnedOver ?? versionOf(set.files);
    entry.offered = offered;
    let result: LoadEvent['result'] = 'failed';
    let outcome: 'served' | 'refused' | 'failed' = 'served';
    try {
      result = await this.serveOffered(entry, offered);
      entry.problems = [];
      entry.lastCurrent = undefined;
      entry.isPinnedAtSource = offered.pinnedOver !== undefined;
    } catch (error) {
      if (error instanceof PolicyError) {
        outcome = 'refused';
        this.note(entry, error.problems);
      } else {
        outcome = 'failed';
        this.note(entry, [loadFailed]);
        this.options.log.error({ err: error, policySet: set.name }, 'a policy set could not be put into service');
      }
    }
    await this.finish(entry, result, since, from);
    return outcome;
  }

  /** A compiled set takes memory for as long as it is served, so one too many is not compiled, nor taken from the archive. */
  private refuse(entry: Entry, maxSets: number): 'refused' {
    entry.archived = undefined;
    this.note(entry, [
      problemOfSet(
        'too_many_policy_sets',
        `${maxSets} policy sets are served already, as many as may be`,
        'raise VERDICT_MAX_POLICY_SETS, or remove sets and reload this one',
      ),
    ]);
    this.sets.publish();
    return 'refused';
  }

  /** The source has files for the set that are not to be used. */
  async fail(name: string, problems: readonly PolicyProblem[], since: number): Promise<void> {
    const entry = this.sets.obtain(name);
    const from = entry.loaded?.served.version ?? entry.archived?.version;
    entry.sourceVersion = undefined;
    entry.offered = undefined;
    this.note(entry, problems);
    await this.finish(entry, 'failed', since, from);
  }

  async remove(name: string, why: string): Promise<void> {
    const entry = this.sets.find(name);
    if (entry === undefined) return;
    this.sets.remove(name);
    this.options.live?.copying?.noteGone(name);
    this.sets.publish();
    entry.loaded?.retire();
    this.options.log.warn({ policySet: name }, `policy set removed: ${why}`);
    const from = entry.loaded?.served.version ?? entry.archived?.version;
    this.options.onLoad?.({ policySet: name, result: 'removed', durationMs: 0, from, to: undefined });
    await this.options.archive?.setRemoved(name, Date.now()).catch((error) => {
      // After a restart it will be found missing once more.
      this.options.log.error({ err: error, policySet: name }, 'the removal of a policy set could not be recorded');
    });
  }

  private async finish(
    entry: Entry,
    result: LoadEvent['result'],
    since: number,
    from: string | undefined,
  ): Promise<void> {
    if (entry.loaded === undefined) await this.service.serveArchived(entry);
    this.sets.publish();
    const to = entry.loaded?.served.version;
    this.options.onLoad?.({ policySet: entry.name, result, durationMs: performance.now() - since, from, to });
  }

  private async serveOffered(
    entry: Entry,
    { set, gitCommit, revision, pinnedOver, semantics = currentSemantics }: OfferedSet,
  ): Promise<'served' | 'unchanged'> {
    const version = versionOf(set.files);
    // A source with revisions says itself what is pinned.
    if (revision !== undefined) entry.pinnedOver = undefined;
    if (entry.pinnedOver === '') {
      // When the pin was set the source could not be read; this is the version that it is over.
      entry.pinnedOver = version;
      const pinned = entry.loaded?.served.compiled.versionOfFiles ?? entry.archived?.version;
      if (pinned !== undefined)
        await this.options.archive?.setState({ name: entry.name, version: pinned, pinnedOver: version }, Date.now());
    }
    if (entry.pinnedOver === version && (await this.service.serveArchived(entry))) return 'unchanged';
    // Tests are not a part of the version: when they change, they are run again on what serves already.
    const checked = `${version} ${testsVersionOf(set.files)}`;
    const serves = () => {
      const compiled = entry.loaded?.served.compiled;
      return compiled?.versionOfFiles === version && compiled.semantics === semantics;
    };
    if (serves() && entry.checked === checked && entry.loaded?.data === undefined) {
      this.service.renumber(entry, revision);
      return 'unchanged';
    }
    const loaded = await loadPolicySet(set, {
      semantics,
      data: this.service.dataOf(entry),
      hash: this.options.hash,
    });
    entry.checked = checked;
    if (serves() && loaded.data === undefined) {
      await loaded.stop();
      this.service.renumber(entry, revision);
      return 'unchanged';
    }
    const isSame = loaded.served.version === entry.loaded?.served.version;
    await this.service.serve(entry, await this.numbered(entry, loaded, revision), undefined, async (archive) => {
      // An earlier version, or one under earlier defaults, is in the archive, with the number of its defaults.
      if (pinnedOver !== undefined || semantics !== currentSemantics) return;
      const use = loaded.served.version === version ? 'alone' : 'base';
      await archive.keep(set, Date.now(), await gitCommit?.(), use);
    });
    return isSame ? 'unchanged' : 'served';
  }

  /** @param revision that the source gave the files */
  private async numbered(
    entry: Entry,
    loaded: LoadedPolicySet,
    revision: number | undefined,
  ): Promise<LoadedPolicySet> {
    const { live, source } = this.options;
    if (loaded.data === undefined || live === undefined) return loaded.numbered(revision, revision);
    const before = entry.loaded?.served.revision;
    if (revision === undefined || !source.hasOwnNumbers) {
      return claimed(loaded, revision, loaded.data, before);
    }
    // Without a number it says no more than before; with the next look at live data it is asked for again.
    const files = await live.numberFiles(entry.name, revision);
    if (files === undefined) return loaded.numbered(before, 0);
    return claimed(loaded, files, { ...loaded.data, files }, before);
  }

  /** Gives files that serve the number that they could not be given when they were loaded. */
  async numberAgain(entry: Entry): Promise<void> {
    const { loaded, offered } = entry;
    if (loaded === undefined || loaded.filesRevision !== 0 || offered?.revision === undefined) return;
    entry.loaded = await this.numbered(entry, loaded, offered.revision);
  }

  /** A change of live data is not in what serves, for a reason that may pass. */
  noteNotFollowed(entry: Entry): void {
    if (!entry.problems.some(({ code }) => code === dataNotFollowed.code)) {
      this.note(entry, [...entry.problems, dataNotFollowed]);
    }
    this.sets.publish();
  }

  /** What serves has all changes of live data. */
  noteFollowed(entry: Entry): void {
    const others = entry.problems.filter(({ code }) => code !== dataNotFollowed.code);
    if (others.length === entry.problems.length) return;
    entry.problems = others;
    if (others.length === 0) entry.lastCurrent = undefined;
    this.sets.publish();
  }

  /** Says once why the set is not loaded. */
  private note(entry: Entry, problems: readonly PolicyProblem[]): void {
    // The source was last confirmed before it had this.
    entry.lastCurrent ??= performance.now() - ageOf(this.options.source);
    const before = entry.problems.map(formatProblem).join('\n');
    entry.problems = presentProblems(problems);
    if (entry.problems.map(formatProblem).join('\n') === before) return;
    this.options.log.error(
      { policySet: entry.name, problems: entry.problems.slice(0, 20), serving: entry.loaded?.served.version },
      `policy set not loaded: ${formatProblem(entry.problems[0] ?? loadFailed)}`,
    );
  }
}

const dataNotFollowed = Object.freeze(
  problemOfSet(
    'live_data_not_followed',
    'a change of live data could not be put into service; the log of the service says why',
    'it is tried again',
  ),
);

const loadFailed: PolicyProblem = Object.freeze({
  severity: 'error',
  code: 'load_failed',
  message: 'the set could not be put into service; the log of the service says why',
  file: '.',
  line: 1,
  column: 1,
});
