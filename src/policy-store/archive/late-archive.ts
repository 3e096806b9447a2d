import { currentSemantics } from '../../core/semantics.js';
import { isAway } from '../../database/database-error.js';
import { type PolicySetFiles, versionOf } from '../policy-set-files.js';
import { archivedFilesOf } from './archived-files.js';
import type { ArchivedVersion, VersionsPage } from './archived-version.js';
import {
  type ArchivedState,
  type DataVersion,
  type KeptVersion,
  type KnownState,
  type NeededData,
  PolicyArchive,
  type ServedVersion,
} from './policy-archive.js';

export interface LateArchiveOptions {
  readonly archive: PolicyArchive;
  /** Hears what waits, and what could not be archived. */
  readonly onProblem: (what: string, error: unknown) => void;
  /** Milliseconds between two tries (2,000). */
  readonly retryMs?: number;
  /** Most versions that wait (100). A set whose next version would be one more is not changed. */
  readonly maxWaiting?: number;
}

interface WaitingVersion {
  readonly set: PolicySetFiles;
  readonly at: number;
  readonly gitCommit: string | undefined;
  readonly use: 'alone' | 'base' | undefined;
}

interface WaitingDataVersion {
  readonly data: DataVersion;
  readonly at: number;
}

/** What a set serves; without a version its folder is gone. */
interface WaitingState {
  readonly state: ArchivedState | undefined;
  readonly at: number;
}

const defaultRetryMs = 2_000;
const defaultMaxWaiting = 100;

/**
 * An archive on a server that may be away: policies go on being served and changed meanwhile. Versions wait in memory and
 * are archived when the server is back. A process that ends before that has not archived them; the version that its folder
 * holds is archived at its next start.
 *
 * A service that is started while the server is away does not know which versions are pinned, and serves its folders. Pins
 * stay in the archive, and hold again when the server is back.
 */
export class LateArchive extends PolicyArchive {
  private readonly versionsWaiting = new Map<string, WaitingVersion>();
  private readonly dataWaiting = new Map<string, WaitingDataVersion>();
  private readonly statesWaiting = new Map<string, WaitingState>();
  /** What the archive refused, and was said. */
  private readonly reported = new WeakSet<WaitingVersion | WaitingDataVersion | WaitingState>();
  /** Sets whose state was written since the start; undefined when their pins were known at the start. */
  private stated: Set<string> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();

  constructor(private readonly options: LateArchiveOptions) {
    super();
  }

  async keep(set: PolicySetFiles, at: number, gitCommit?: string, use?: 'alone' | 'base'): Promise<void> {
    try {
      await this.options.archive.keep(set, at, gitCommit, use);
    } catch (error) {
      const isFull = this.versionsWaiting.size >= (this.options.maxWaiting ?? defaultMaxWaiting);
      if (!isAway(error) || isFull) throw error;
      this.versionsWaiting.set(keyOf(set.name, versionOf(set.files)), { set, at, gitCommit, use });
      this.writeLater();
    }
  }

  async keepData(data: DataVersion, at: number): Promise<void> {
    const isBaseWaiting = this.versionsWaiting.has(keyOf(data.name, data.filesVersion));
    try {
      if (!isBaseWaiting) return await this.options.archive.keepData(data, at);
    } catch (error) {
      const isFull = this.dataWaiting.size >= (this.options.maxWaiting ?? defaultMaxWaiting);
      if (!isAway(error) || isFull) throw error;
    }
    this.dataWaiting.set(keyOf(data.name, data.version), { data, at });
    this.writeLater();
  }

  neededData(): Promise<readonly NeededData[]> {
    return this.options.archive.neededData();
  }

  setState(state: ArchivedState, at: number): Promise<void> {
    return this.write(state.name, { state, at });
  }

  setRemoved(name: string, at: number): Promise<void> {
    return this.write(name, { state: undefined, at });
  }

  async states(): Promise<KnownState[]> {
    try {
      return await this.options.archive.states();
    } catch (error) {
      if (!isAway(error)) throw error;
      this.stated = new Set();
      this.options.onProblem('the archive cannot say what was served last, so the folders are served', error);
      return [];
    }
  }

  everyVersion(limit: number, after?: ServedVersion): Promise<readonly KeptVersion[]> {
    return this.options.archive.everyVersion(limit, after);
  }

  async hasServed(name: string, version: string): Promise<boolean> {
    const waiting = this.versionsWaiting.get(keyOf(name, version));
    if (this.dataWaiting.has(keyOf(name, version)) || (waiting !== undefined && waiting.use !== 'base')) return true;
    const isBase = [...this.dataWaiting.values()].some(
      ({ data }) => data.name === name && data.filesVersion === version,
    );
    return isBase || (waiting === undefined && (await this.options.archive.hasServed(name, version)));
  }

  async version(name: string, version: string): Promise<ArchivedVersion | undefined> {
    const withData = this.dataWaiting.get(keyOf(name, version));
    if (withData !== undefined) {
      const { filesVersion, dataRevision } = withData.data;
      const base = await this.version(name, filesVersion);
      return base && { ...base, version, filesVersion, dataRevision };
    }
    const waiting = this.versionsWaiting.get(keyOf(name, version));
    if (waiting === undefined) return this.options.archive.version(name, version);
    const time = new Date(waiting.at).toISOString();
    return {
      version,
      files: archivedFilesOf(waiting.set).map(({ path, digest, size }) => ({ path, digest, size })),
      semantics: currentSemantics,
      firstServed: time,
      lastServed: time,
      ...(waiting.gitCommit !== undefined && { gitCommit: waiting.gitCommit }),
    };
  }

  async files(name: string, version: string): Promise<PolicySetFiles | undefined> {
    const withData = this.dataWaiting.get(keyOf(name, version));
    if (withData !== undefined) return this.files(name, withData.data.filesVersion);
    const waiting = this.versionsWaiting.get(keyOf(name, version));
    if (waiting === undefined) return this.options.archive.files(name, version);
    return { name, files: archivedFilesOf(waiting.set).map(({ path, bytes }) => ({ path, bytes })) };
  }

  async file(name: string, version: string, path: string): Promise<Uint8Array | undefined> {
    const withData = this.dataWaiting.get(keyOf(name, version));
    if (withData !== undefined) return this.file(name, withData.data.filesVersion, path);
    const waiting = this.versionsWaiting.get(keyOf(name, version));
    if (waiting === undefined) return this.options.archive.file(name, version, path);
    return archivedFilesOf(waiting.set).find((file) => file.path === path)?.bytes;
  }

  versions(name: string, limit: number, after?: string): Promise<VersionsPage> {
    return this.options.archive.versions(name, limit, after);
  }

  noteServed(versions: readonly ServedVersion[], at: number): Promise<void> {
    return this.options.archive.noteServed(versions, at);
  }

  prune(neededSince: number, newest?: number): Promise<number> {
    return this.options.archive.prune(neededSince, newest);
  }

  endPruning(): void {
    this.options.archive.endPruning();
  }

  /** Tries once more what waits. */
  async close(): Promise<void> {
    clearTimeout(this.timer);
    await this.writing;
    await this.writeWaiting().catch((error: unknown) => {
      const size = this.versionsWaiting.size + this.dataWaiting.size;
      this.options.onProblem(`${size} versions of policy sets could not be archived`, error);
    });
    await this.options.archive.close();
  }

  /** Later states of a set take the place of those that wait. */
  private async write(name: string, waiting: WaitingState): Promise<void> {
    this.statesWaiting.set(name, waiting);
    try {
      await this.writeState(name, waiting);
    } catch (error) {
      if (!isAway(error)) {
        this.statesWaiting.delete(name);
        throw error;
      }
      this.writeLater();
    }
  }

  private async writeState(name: string, waiting: WaitingState): Promise<void> {
    const { archive } = this.options;
    // A state names a version that is there.
    const version = this.versionsWaiting.get(keyOf(name, waiting.state?.version ?? ''));
    if (version !== undefined) await this.keepWaiting(version);
    if (waiting.state === undefined) await archive.setRemoved(name, waiting.at);
    else if (!(await this.isPinnedThere(name))) await archive.setState(waiting.state, waiting.at);
    this.stated?.add(name);
    if (this.statesWaiting.get(name) === waiting) this.statesWaiting.delete(name);
  }

  /** Whether the set was pinned before this process started and could not see it. What is changed since then counts. */
  private async isPinnedThere(name: string): Promise<boolean> {
    if (this.stated === undefined || this.stated.has(name)) return false;
    const states = await this.options.archive.states();
    return states.some((state) => state.name === name && state.pinnedOver !== undefined);
  }

  private async keepWaiting({ set, at, gitCommit, use }: WaitingVersion): Promise<void> {
    await this.options.archive.keep(set, at, gitCommit, use);
    this.versionsWaiting.delete(keyOf(set.name, versionOf(set.files)));
  }

  /**
   * Tries each of what waits: one that the archive refuses keeps no other from it.
   *
   * @throws at once when the server is away; when all was tried, why the first was refused
   */
  private async writeWaiting(): Promise<void> {
    const refusals: unknown[] = [];
    const attempt = async (
      waiting: WaitingVersion | WaitingDataVersion | WaitingState,
      what: string,
      write: Promise<unknown>,
    ) => {
      try {
        await write;
      } catch (error) {
        if (isAway(error)) throw error;
        refusals.push(error);
        if (!this.reported.has(waiting)) this.options.onProblem(`${what} cannot be archived`, error);
        this.reported.add(waiting);
      }
    };
    for (const waiting of [...this.versionsWaiting.values()]) {
      const { name, files } = waiting.set;
      await attempt(waiting, `version ${versionOf(files)} of the policy set "${name}"`, this.keepWaiting(waiting));
    }
    for (const [key, waiting] of [...this.dataWaiting]) {
      const { name, version, filesVersion } = waiting.data;
      if (this.versionsWaiting.has(keyOf(name, filesVersion))) continue;
      const keep = this.options.archive.keepData(waiting.data, waiting.at).then(() => this.dataWaiting.delete(key));
      await attempt(waiting, `version ${version} of the policy set "${name}"`, keep);
    }
    for (const [name, waiting] of [...this.statesWaiting]) {
      // A state names a version that is there; why this one is not was said.
      if (this.versionsWaiting.has(keyOf(name, waiting.state?.version ?? ''))) continue;
      await attempt(waiting, `what the policy set "${name}" serves`, this.writeState(name, waiting));
    }
    if (refusals.length > 0) throw refusals[0];
  }

  private writeLater(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.writing = this.writeWaiting().catch(() => this.writeLater());
    }, this.options.retryMs ?? defaultRetryMs).unref();
  }
}

function keyOf(name: string, version: string): string {
  return `${name} ${version}`;
}
