import type { DecisionRecord, UnresolvedCause } from '../../decision-log/decision-record.js';
import { MaskedEntities, RecordedVersions, type VersionEntities } from '../../decision-log/recorded-entities.js';
import { VerdictError } from '../../errors.js';
import type { ServedPolicySet } from '../served-policy-set.js';

/** Most versions whose entities are kept. The records of a question name few, one after the other. */
export const keptEntities = 32;
/** Most stored entities that are kept, of all versions but the one that was used last: some 300 MB. */
export const keptSize = 500_000;
/** How long a version that is not there is not looked for again, in milliseconds. */
const missingMs = 10_000;

/** Where versions come from: the policy store, or an archive alone. */
export interface VersionSource {
  /** @throws VerdictError `policy_version_not_found`, `policy_version_invalid` */
  version(name: string, version: string, semantics?: number): Promise<ServedPolicySet>;
  /** The version of a set that serves; undefined where none does. */
  servedVersion(name: string): string | undefined;
}

type RecordedVersion = Pick<DecisionRecord, 'policySet' | 'policyVersion' | 'semantics'>;

interface Kept {
  /** A promise while the version is being loaded. */
  entities: VersionEntities | Promise<VersionEntities>;
  /** By the monotonic clock; then it is looked for again. */
  until: number;
  size: number;
}

/**
 * The entities of the versions that records name. Each version is loaded once and kept without its rules, up to
 * `keptEntities` of them with `keptSize` entities.
 *
 *     const versions = new ArchivedEntities({ version, servedVersion });
 *     await log.search({ filter: "subject.department == 'finance'" }, { versions });
 */
export class ArchivedEntities extends RecordedVersions {
  /** The one that was used last is last. */
  private readonly kept = new Map<string, Kept>();
  private last: { readonly key: string; readonly kept: Kept } | undefined;

  constructor(private readonly source: VersionSource) {
    super();
  }

  entitiesFor(record: RecordedVersion): VersionEntities | Promise<VersionEntities> {
    const served = this.source.servedVersion(record.policySet);
    // With the version that serves the masks change, too.
    const key = `${record.policyVersion} ${record.semantics} ${served} ${record.policySet}`;
    if (this.last?.key === key && this.last.kept.until > performance.now()) return this.last.kept.entities;
    const known = this.kept.get(key);
    const isKept = known !== undefined && known.until > performance.now();
    const kept = isKept ? known : this.begin(key, record, served);
    this.kept.delete(key);
    this.kept.set(key, kept);
    if (!isKept) this.forget();
    this.last = { key, kept };
    return kept.entities;
  }

  private forget(): void {
    let size = 0;
    for (const kept of this.kept.values()) size += kept.size;
    for (const [oldest, kept] of this.kept) {
      if (this.kept.size === 1 || (this.kept.size <= keptEntities && size <= keptSize)) return;
      this.kept.delete(oldest);
      size -= kept.size;
    }
  }

  private begin(key: string, record: RecordedVersion, served: string | undefined): Kept {
    const loading = this.load(record, served);
    const kept: Kept = { entities: loading, until: Number.POSITIVE_INFINITY, size: 0 };
    loading.then(
      (entities) => {
        kept.entities = entities;
        kept.size = entities.size;
        this.forget();
        if (!entities.isKnown) kept.until = performance.now() + missingMs;
      },
      () => {
        // Those that wait for it get the error; the next one tries again.
        kept.until = 0;
        if (this.kept.get(key) === kept) this.kept.delete(key);
      },
    );
    return kept;
  }

  private async load(record: RecordedVersion, served: string | undefined): Promise<MaskedEntities> {
    const { policySet, policyVersion, semantics } = record;
    const own = await this.versionOr(policySet, policyVersion, semantics);
    const serving = served === undefined ? undefined : await this.versionOr(policySet, served);
    const masks = [own, serving].flatMap((version) => (typeof version === 'object' ? [version.mask] : []));
    // Without one of the masks too much would be shown.
    const fault = [own, serving].find((version) => typeof version === 'string');
    const entities = typeof own === 'object' && fault === undefined ? own.compiled.entities : undefined;
    return new MaskedEntities(entities ?? fault ?? 'policy_version_not_found', [...new Set(masks)]);
  }

  private async versionOr(
    name: string,
    version: string,
    semantics?: number,
  ): Promise<ServedPolicySet | UnresolvedCause> {
    try {
      return await this.source.version(name, version, semantics);
    } catch (error) {
      const code = error instanceof VerdictError ? error.code : undefined;
      if (code === 'policy_version_not_found' || code === 'policy_version_invalid') return code;
      throw error;
    }
  }
}
