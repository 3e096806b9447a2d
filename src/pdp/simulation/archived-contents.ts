import type { PolicyArchive } from '../../policy-store/archive/policy-archive.js';
import type { EntriesAt, LiveDataStore } from '../../policy-store/data/live-data-store.js';
import type { Missing, SetContent } from './messages.js';
import { RecentContents } from './recent-contents.js';

/** The versions of a policy set in an archive, with the live data that they served with. */
export class ArchivedContents {
  private readonly recent = new RecentContents((version) => this.read(version));

  /** The entries that were read last. A log names its versions from the newest on, so the next ones are a few changes before. */
  private last: EntriesAt | undefined;

  /** @param data undefined where no set has live data */
  constructor(
    private readonly policySet: string,
    private readonly archive: PolicyArchive | undefined,
    private readonly data: LiveDataStore | undefined,
  ) {}

  get(version: string): Promise<SetContent | Missing> {
    return this.recent.get(version);
  }

  /** The files of a version, whatever its live data; undefined where it is not kept. */
  async filesOf(version: string): Promise<SetContent['files'] | undefined> {
    return (await this.archive?.files(this.policySet, version))?.files;
  }

  private async read(version: string): Promise<SetContent | Missing> {
    const archived = await this.archive?.version(this.policySet, version);
    const found = archived === undefined ? undefined : await this.archive?.files(this.policySet, version);
    if (archived === undefined || found === undefined) return 'policy_version_not_found';
    const { semantics, dataRevision } = archived;
    const { files } = found;
    if (dataRevision === undefined) return { files, semantics };
    const data = await this.data?.entriesAt(this.policySet, dataRevision, this.last);
    if (data === undefined) return 'live_data_not_kept';
    const { roles, entities } = data;
    this.last = { revision: dataRevision, entries: { roles, entities } };
    return { files, semantics, data: { roles, entities } };
  }
}
