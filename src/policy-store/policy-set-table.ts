import type { PolicyProblem } from '../core/problem.js';
import { noPolicySet, policySetNotFound, VerdictError } from '../errors.js';
import type { LoadedPolicySet } from './load-policy-set.js';
import type { ArchivedState } from './policy-archive.js';
import type { PolicySetStatus } from './policy-set-status.js';
import type { ServedPolicySet } from './served-policy-set.js';

/** What the store knows of one set. */
export interface Entry {
  readonly name: string;
  /** What serves. */
  loaded?: LoadedPolicySet | undefined;
  /** What served when the process last ended, as long as nothing does. */
  archived?: ArchivedState | undefined;
  /** What was last seen in its folder and dealt with, well or not. */
  folder?: { readonly fingerprint: string; readonly version?: string } | undefined;
  /** The version, with its tests, that was last found good. */
  checked?: string;
  /** The folder's version that a rollback holds against; `''` when the folder could not be read then. */
  pinnedOver?: string | undefined;
  /** Why the folder's content does not serve. */
  problems: readonly PolicyProblem[];
  /** Its folder appeared while the service ran, and has not been served yet: nothing else changes because of it. */
  unproven?: boolean;
  /** When the folder is to be loaded again though nothing changed in it, by the monotonic clock. */
  retryAt?: number;
  /** What operators were last shown, and since when. */
  shown?: Pick<PolicySetStatus, 'state' | 'version' | 'since' | 'servedSince'>;
}

/** A file of the wrong kind can have a problem in every line; nobody reads them all. */
const shownProblems = 100;

/**
 * The policy sets as requests and operators see them. Whoever changes an entry publishes it: requests then see all of
 * the change at once.
 */
export class PolicySetTable {
  private readonly entryByName = new Map<string, Entry>();
  /** Every set by name, `undefined` where nothing can be served. Never changed, only replaced. */
  private serving: ReadonlyMap<string, ServedPolicySet | undefined> = new Map();
  /** Whether the first look at the directory is over. What appears from then on has to be served before it counts. */
  isStarted = false;
  /** Why the directory as a whole cannot be used; what was served before goes on. */
  directoryProblem: PolicyProblem | undefined;

  /** @param defaultPolicySet the set of requests that name none; by default the one named `default`, else the only one */
  constructor(private readonly defaultPolicySet: string | undefined) {}

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

  /** The entry of that name, made if there is none. */
  obtain(name: string): Entry {
    const entry = this.find(name) ?? { name, problems: [], unproven: this.isStarted };
    this.entryByName.set(name, entry);
    return entry;
  }

  remove(name: string): void {
    this.entryByName.delete(name);
  }

  /** What serves under that name now. */
  served(name: string): ServedPolicySet | undefined {
    return this.serving.get(name);
  }

  /**
   * What serves requests that name this set, or none.
   *
   * @throws VerdictError `no_policy_set`, `policy_set_not_found`, `policy_set_unavailable`
   */
  resolve(name: string | undefined = this.defaultName()): ServedPolicySet {
    if (name === undefined) {
      if (this.serving.size === 0) throw unavailable('No policy set could be loaded.');
      throw noPolicySet([...this.serving.keys()]);
    }
    const set = this.serving.get(name);
    if (set !== undefined) return set;
    if (this.serving.has(name)) throw unavailable(`The policy set "${name}" could not be loaded.`);
    // Whether there is such a set cannot be told while the directory cannot be read.
    if (this.directoryProblem !== undefined) throw unavailable('The policy directory cannot be read.');
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

  /** Every set, in the order of their names. */
  statuses(): readonly PolicySetStatus[] {
    // A set that is being loaded for the first time is not there yet.
    return this.entries
      .filter(({ shown }) => shown !== undefined)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((entry) => this.statusOf(entry));
  }

  /** @throws VerdictError `policy_set_not_found` */
  status(name: string): PolicySetStatus {
    return this.statusOf(this.get(name));
  }

  /** Makes what the entries say visible: to requests in one assignment, to operators by state. */
  publish(): void {
    const serving = new Map(this.entries.map(({ name, loaded }) => [name, loaded?.served]));
    if (!sameEntries(serving, this.serving)) this.serving = serving;
    for (const entry of this.entries) {
      if (entry.loaded !== undefined) entry.unproven = false;
      const state = this.stateOf(entry);
      const version = entry.loaded?.served.version;
      if (entry.shown?.state === state && entry.shown.version === version) continue;
      const since = new Date().toISOString();
      const servedSince = entry.shown?.version === version ? entry.shown?.servedSince : since;
      entry.shown = { state, version, since, servedSince: version === undefined ? undefined : servedSince };
    }
  }

  private stateOf(entry: Entry): PolicySetStatus['state'] {
    if (entry.loaded === undefined) return 'failed';
    return entry.problems.length > 0 || this.directoryProblem !== undefined ? 'stale' : 'active';
  }

  private statusOf(entry: Entry): PolicySetStatus {
    const served = entry.loaded?.served;
    const directory = this.directoryProblem === undefined ? [] : [this.directoryProblem];
    const kinds = [directory, entry.problems, served?.compiled.problems ?? []];
    return Object.freeze({
      name: entry.name,
      state: this.stateOf(entry),
      since: entry.shown?.since ?? new Date().toISOString(),
      version: served?.version,
      servedSince: entry.shown?.servedSince,
      engine: served?.engine,
      description: served?.compiled.manifest.description,
      folderVersion: entry.folder?.version,
      pinned: entry.pinnedOver !== undefined,
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
