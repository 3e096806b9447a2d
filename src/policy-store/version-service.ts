import type { ArchivedVersions } from './archive/archived-versions.js';
import type { PolicyArchive } from './archive/policy-archive.js';
import type { LoadedPolicySet, LoadOptions } from './load-policy-set.js';
import type { Entry, PolicySetTable } from './policy-set-table.js';
import type { PolicyStoreOptions } from './policy-store-options.js';

/** Puts versions of sets into service, with a note in the archive of what serves, for the next start. */
export class VersionService {
  constructor(
    private readonly sets: PolicySetTable,
    private readonly archived: ArchivedVersions,
    private readonly options: Pick<PolicyStoreOptions, 'archive' | 'live' | 'log' | 'source'>,
  ) {}

  /** Archives the version and notes that its files serve, then puts it into service. */
  async serve(
    entry: Entry,
    loaded: LoadedPolicySet,
    pinnedOver: string | undefined,
    keep?: (archive: PolicyArchive) => Promise<void>,
  ): Promise<void> {
    const { archive } = this.options;
    const { name, compiled } = loaded.served;
    try {
      if (archive !== undefined && !isArchived(entry, loaded, pinnedOver)) {
        await keep?.(archive);
        await archive.setState({ name, version: compiled.versionOfFiles, pinnedOver }, Date.now());
      }
      await this.keepData(loaded);
    } catch (error) {
      await loaded.stop();
      throw error;
    }
    this.put(entry, loaded, pinnedOver);
  }

  /** Notes a version with live data, whose files the archive has. */
  async keepData({ served: { name, version, compiled }, data }: LoadedPolicySet): Promise<void> {
    const filesVersion = compiled.versionOfFiles;
    if (data === undefined || version === filesVersion) return;
    await this.options.archive?.keepData({ name, version, filesVersion, dataRevision: data.data }, Date.now());
  }

  /** Puts a version into service that the archive has, and knows to serve. */
  put(entry: Entry, loaded: LoadedPolicySet, pinnedOver: string | undefined): void {
    const { name, version } = loaded.served;
    entry.pinnedOver = pinnedOver;
    const replaced = entry.loaded;
    entry.loaded = loaded;
    entry.archived = undefined;
    this.options.live?.copying?.noteServed(name, loaded);
    this.sets.publish();
    replaced?.retire();
    this.options.log.info(
      { policySet: name, version, revision: loaded.served.revision, replaced: replaced?.served.version, pinnedOver },
      'policy set served',
    );
  }

  /** How to read the live data of a set; undefined where no set has any. */
  dataOf(entry: Entry): LoadOptions['data'] {
    const { live } = this.options;
    return live && (() => live.snapshot(entry));
  }

  /** What serves is what its source has under this revision, too. */
  renumber(entry: Entry, revision: number | undefined): void {
    if (entry.loaded === undefined || entry.loaded.served.revision === revision) return;
    entry.loaded = entry.loaded.numbered(revision, revision);
    this.sets.publish();
  }

  /**
   * Serves the files that served when the process last ended, if nothing does and the source allows it, with the live data
   * of now: what was taken back meanwhile stays taken back.
   *
   * @returns whether something serves
   */
  async serveArchived(entry: Entry): Promise<boolean> {
    if (entry.loaded !== undefined) return true;
    if (entry.archived === undefined || !this.options.source.trustsArchive) return false;
    const { name, version } = entry.archived;
    entry.archived = undefined;
    try {
      entry.loaded = await this.archived.loadFiles(name, version, undefined, this.dataOf(entry));
      this.options.live?.copying?.noteServed(name, entry.loaded);
      this.options.log.warn({ policySet: name, version }, 'policy set served from the archive');
      return true;
    } catch (error) {
      this.options.log.error({ err: error, policySet: name, version }, 'the archived version cannot be served either');
      return false;
    }
  }
}

/** Whether the archive has the version already, as what the set serves: so it is at most starts. */
function isArchived({ archived }: Entry, { served }: LoadedPolicySet, pinnedOver: string | undefined): boolean {
  return (
    archived?.version === served.compiled.versionOfFiles &&
    archived.pinnedOver === pinnedOver &&
    archived.semantics === served.compiled.semantics
  );
}
