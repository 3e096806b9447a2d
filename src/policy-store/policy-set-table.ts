import type { PolicyProblem } from '../core/problem.js';
import { noPolicySet, policySetNotFound, VerdictError } from '../errors.js';
import type { KnownState } from './archive/policy-archive.js';
import type { LoadedPolicySet } from './load-policy-set.js';
import type { PolicySetStatus } from './policy-set-status.js';
import type { OfferedSet } from './policy-source.js';
import type { ServedPolicySet } from './served-policy-set.js';
import { Waiters } from './waiters.js';

/** The store's state of one set. */
export interface Entry {
  readonly name: string;
  /** The version that is served. */
  loaded?: LoadedPolicySet | undefined;
  /** The version that was served when the process last ended, while nothing else is. */
  archived?: KnownState | undefined;
  /** The version of the files that its source has, where they can be read; they may be broken. */
  sourceVersion?: string | undefined;
  /** What its source had last, as files that can be read. */
  offered?: OfferedSet | undefined;
  /** The version of the files, with their tests, that was last found good. */
  checked?: string | undefined;
  /**
   * The source's version at a rollback; `''` if it could not be read then. The pin ends when the source has another one.
   */
  pinnedOver?: string | undefined;
  /** True if the source wants an earlier version served than that of the files that it has. */
  isPinnedAtSource?: boolean;
  /** Why what the source has is not served. */
  problems: readonly PolicyProblem[];
  /**
   * While what its source has is not served: when what serves was last known to be that, by the monotonic clock in
   * milliseconds; `-Infinity` if it never was.
   */
  lastCurrent?: number | undefined;
  /** True if it appeared while the service ran and has not been served yet. It has no effect on other sets. */
  unproven?: boolean;
  /** The last state that was shown to operators. */
  shown?: Pick<PolicySetStatus, 'state' | 'version' | 'since' | 'servedSince'>;
}

/** Most problems that are shown. A wrong file can have one in every line. */
const shownProblems = 100;

/**
 * The policy sets as requests and operators see them. After changing an entry, call `publish`: requests then see the
 * whole change at once.
 */
export class PolicySetTable {
  private readonly entryByName = new Map<string, Entry>();
  /** Every set by name; undefined if nothing can be served. The map is replaced, never changed. */
  private serving: ReadonlyMap<string, ServedPolicySet | undefined> = new Map();
  /** Made when it is asked for: heartbeats and probes ask each second, and nothing has changed. */
  private published: readonly PolicySetStatus[] | undefined;
  /** True after the first look at the source. Sets that appear later count only when they have been served. */
  isStarted = false;
  /** Requests that wait for another version. */
  readonly waiters = new Waiters();
  /** Called when requests are answered by another version of any set. */
  readonly listeners: (() => void)[] = [];
  /** Why the source as a whole cannot be used. Sets that were served go on. */
  sourceProblem: PolicyProblem | undefined;

  /**
   * @param sourceTitle what people call where the sets come from, such as `policy directory`
   * @param defaultPolicySet the set of requests that name none; by default the one named `default`, else the only one
   */
  constructor(
    private readonly sourceTitle: string,
    private readonly defaultPolicySet: string | undefined,
  ) {}

  get entries(): readonly Entry[] {
    return [...this.entryByName.values()];
  }

  find(name: string): Entry | undefined {
    return this.entryByName.get(name);
  }

  /** @throws VerdictError `policy_set_not_found` */
  get(name: string): Entry {
    const entry = this.find(name);
    if (entry === undefined) throw policySetNotFound(name);
    return entry;
  }

  /** Returns the entry of that name, or creates it. */
  obtain(name: string): Entry {
    const entry = this.find(name) ?? { name, problems: [], unproven: this.isStarted };
    this.entryByName.set(name, entry);
    return entry;
  }

  remove(name: string): void {
    this.entryByName.delete(name);
  }

  /** Whether fewer sets than this are served. */
  hasRoomFor(most: number): boolean {
    if (this.entryByName.size <= most) return true;
    let served = 0;
    for (const { loaded } of this.entryByName.values()) if (loaded !== undefined) served++;
    return served < most;
  }

  /** The version that is served under that name. */
  served(name: string): ServedPolicySet | undefined {
    return this.serving.get(name);
  }

  /**
   * The version for requests that name this set, or none.
   *
   * @throws VerdictError `no_policy_set`, `policy_set_not_found`, `policy_set_unavailable`
   */
  resolve(name: string | undefined = this.defaultName()): ServedPolicySet {
    if (name === undefined) {
      // A source that was read and has none is a good one: nothing failed to load.
      if (this.serving.size === 0 && this.sourceProblem !== undefined)
        throw unavailable('No policy set could be loaded.');
      throw noPolicySet([...this.serving.keys()]);
    }
    const set = this.serving.get(name);
    if (set !== undefined) return set;
    if (this.serving.has(name)) throw unavailable(`The policy set "${name}" could not be loaded.`);
    // While the source cannot be read, it is unknown whether the set exists.
    if (this.sourceProblem !== undefined) throw unavailable(`The ${this.sourceTitle} cannot be read.`);
    throw policySetNotFound(name);
  }

  /** The set of requests that name none, if there is one. */
  defaultName(): string | undefined {
    if (this.defaultPolicySet !== undefined) return this.defaultPolicySet;
    const names = [...this.serving.keys()].filter((name) => this.find(name)?.unproven !== true);
    if (names.includes('default')) return 'default';
    const [only, ...others] = names;
    return others.length === 0 ? only : undefined;
  }

  /** Every set as it was last published, in the order of their names; the same list until something is published anew. */
  statuses(): readonly PolicySetStatus[] {
    // A set that is being loaded for the first time is not there yet.
    this.published ??= Object.freeze(
      this.entries
        .filter(({ shown }) => shown !== undefined)
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map((entry) => this.statusOf(entry)),
    );
    return this.published;
  }

  /** @throws VerdictError `policy_set_not_found` */
  status(name: string): PolicySetStatus {
    return this.statusOf(this.get(name));
  }

  /** Makes changes of entries visible: to requests in one assignment, to operators by state. */
  publish(): void {
    this.published = undefined;
    const serving = new Map(this.entries.map(({ name, loaded }) => [name, loaded?.served]));
    const isChange = !sameEntries(serving, this.serving);
    if (isChange) this.serving = serving;
    for (const entry of this.entries) {
      if (entry.loaded !== undefined) entry.unproven = false;
      const state = this.stateOf(entry);
      const version = entry.loaded?.served.version;
      if (entry.shown?.state === state && entry.shown.version === version) continue;
      const since = new Date().toISOString();
      const servedSince = entry.shown?.version === version ? entry.shown?.servedSince : since;
      entry.shown = { state, version, since, servedSince: version === undefined ? undefined : servedSince };
    }
    this.waiters.look();
    if (isChange) for (const listen of this.listeners) listen();
  }

  private stateOf(entry: Entry): PolicySetStatus['state'] {
    if (entry.loaded === undefined) return 'failed';
    return entry.problems.length > 0 || this.sourceProblem !== undefined ? 'stale' : 'active';
  }

  private statusOf(entry: Entry): PolicySetStatus {
    const served = entry.loaded?.served;
    const source = this.sourceProblem === undefined ? [] : [this.sourceProblem];
    const kinds = [source, entry.problems, served?.compiled.problems ?? []];
    return Object.freeze({
      name: entry.name,
      state: this.stateOf(entry),
      since: entry.shown?.since ?? new Date().toISOString(),
      version: served?.version,
      revision: served?.revision,
      servedSince: entry.shown?.servedSince,
      engine: served?.engine,
      description: served?.compiled.manifest.description,
      folderVersion: entry.sourceVersion,
      pinned: entry.pinnedOver !== undefined || entry.isPinnedAtSource === true,
      problems: Object.freeze(kinds.flatMap((problems) => problems.slice(0, shownProblems)).slice(0, shownProblems)),
      problemCount: kinds.reduce((count, problems) => count + problems.length, 0),
    });
  }
}

function unavailable(detail: string): VerdictError {
  return new VerdictError('policy_set_unavailable', detail);
}

function sameEntries<K, V>(a: ReadonlyMap<K, V>, b: ReadonlyMap<K, V>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.has(key) && b.get(key) === value);
}
