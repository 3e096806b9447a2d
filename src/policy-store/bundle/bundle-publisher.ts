import { formatProblem } from '../../core/problem.js';
import { atOnce } from '../../turns/at-once.js';
import { type PolicyFile, type PolicySetFiles, versionOf } from '../policy-set-files.js';
import { type BundleManifest, digestOfArchive, openBundle, packBundle } from './bundle.js';
import { BundleError, type BundleErrorCode } from './bundle-error.js';
import {
  type BundleIndex,
  type IndexedBundle,
  indexPath,
  maxIndexBytes,
  maxIndexSets,
  type RemovedSet,
  signatureAddress,
  writeIndex,
} from './bundle-index.js';
import { BundleKeys, type SigningKey } from './bundle-keys.js';
import { signArchive, signIndex, verifyArchive } from './bundle-signature.js';
import type { BundleTransport } from './bundle-transport.js';
import { type FetchedIndex, fetchBundle, fetchIndex, openVerified } from './fetch-bundle.js';

/** A set to publish: its files, which get the next revision, or an archive that was built and has its own. */
export type Publication =
  | {
      readonly kind: 'files';
      readonly set: PolicySetFiles;
      readonly about: Omit<BundleManifest, 'set' | 'version' | 'revision'>;
    }
  | { readonly kind: 'archive'; readonly archive: Buffer; readonly signature: string | undefined };

export interface PublishedSet {
  readonly set: string;
  readonly revision: number;
  readonly change: 'new' | 'changed' | 'unchanged' | 'rolled back' | 'removed' | 'signed';
}

export interface Published {
  readonly index: BundleIndex;
  readonly sets: readonly PublishedSet[];
}

export interface PublisherOptions {
  readonly transport: BundleTransport;
  /** Undefined: nothing is signed. */
  readonly signing?: SigningKey | undefined;
  /** Whose signatures count of what is there already; by default that of `signing` alone. */
  readonly keys?: BundleKeys | undefined;
  readonly lifetimeMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** How often an index is written anew that somebody else changed meanwhile. */
const attempts = 5;
/** Files that are read or written at once. */
const concurrency = 8;

/** An archive that is not there yet, to be uploaded before the index names it. */
interface Upload {
  readonly address: string;
  readonly archive: Buffer;
  readonly signature: string | undefined;
}

/** The next index, what it needs to be there, and what is new in it. */
interface Plan {
  readonly entries: ReadonlyMap<string, IndexedBundle>;
  readonly removed: readonly RemovedSet[];
  readonly uploads: readonly Upload[];
  readonly sets: readonly PublishedSet[];
}

/** Writes bundles and their index. Archives are there before an index names them, and none is ever replaced. */
export class BundlePublisher {
  private readonly keys: BundleKeys | undefined;

  constructor(private readonly options: PublisherOptions) {
    const { keys, signing } = options;
    this.keys = keys ?? (signing === undefined ? undefined : BundleKeys.of([signing.verification]));
  }

  /**
   * Publishes sets. Those whose files are as they were keep their revision.
   *
   * @param rollback lower revisions are meant: than those of the index, and than those that replicas know from an index
   *   which was lost
   * @param prune sets of the index that are not published go
   * @throws BundleError
   */
  push(publications: readonly Publication[], { rollback = false, prune = false } = {}): Promise<Published> {
    return this.write(async (before) => {
      const planned = await atOnce(publications, concurrency, (publication) =>
        this.plan(publication, before, rollback),
      );
      const entries = new Map(before.sets.map((entry) => [entry.set, entry]));
      const removed = new Map(before.removed.map((known) => [known.set, known]));
      const sets: PublishedSet[] = [];
      for (const { entry, change } of planned) {
        if (sets.some(({ set }) => set === entry.set)) throw twice(entry.set);
        entries.set(entry.set, entry);
        removed.delete(entry.set);
        sets.push({ set: entry.set, revision: entry.revision, change });
      }
      const uploads = planned.flatMap(({ upload }) => upload ?? []);
      for (const { set, revision } of prune ? before.sets : []) {
        if (sets.some((published) => published.set === set)) continue;
        entries.delete(set);
        removed.set(set, { set, revision });
        sets.push({ set, revision, change: 'removed' });
      }
      return { entries, removed: [...removed.values()].slice(-maxIndexSets), uploads, sets };
    });
  }

  /**
   * Writes the index anew, so that it lives on.
   *
   * @param resign archives are signed anew too, as it takes before an earlier key can be dropped
   * @throws BundleError `bundle_missing` where there is no index
   */
  refresh({ resign = false } = {}): Promise<Published> {
    return this.write(async (before, isThere) => {
      if (!isThere) {
        const hint = '`verdict bundle push` makes the first one';
        throw new BundleError('bundle_missing', `there is no index at ${this.options.transport.place}`, { hint });
      }
      if (resign) await this.resign(before.sets);
      const change = resign ? 'signed' : 'unchanged';
      const sets = before.sets.map(({ set, revision }) => ({ set, revision, change }) as const);
      const entries = new Map(before.sets.map((entry) => [entry.set, entry]));
      return { entries, removed: before.removed, uploads: [], sets };
    });
  }

  private async write(planned: (before: IndexedSets, isThere: boolean) => Promise<Plan>): Promise<Published> {
    for (let attempt = 1; ; attempt++) {
      const before = await this.currentIndex();
      const { entries, removed, uploads, sets } = await planned(before?.index ?? noSets, before !== undefined);
      if (entries.size > maxIndexSets) {
        throw new BundleError('bundle_too_large', `an index names ${maxIndexSets} sets at most, not ${entries.size}`);
      }
      const now = this.options.now();
      const index: BundleIndex = {
        // By the clock it rises even where the index before was lost.
        number: Math.max((before?.index.number ?? 0) + 1, Math.floor(now / 1_000)),
        created: new Date(now).toISOString(),
        expires: new Date(now + this.options.lifetimeMs).toISOString(),
        sets: [...entries.values()],
        removed,
      };
      await atOnce(uploads, concurrency, (upload) => this.upload(upload));
      try {
        await this.writeIndex(index, before);
        return { index, sets };
      } catch (error) {
        const isTaken = error instanceof BundleError && error.code === 'bundle_changed_meanwhile';
        if (!isTaken || attempt === attempts) throw error;
      }
    }
  }

  private async currentIndex(): Promise<FetchedIndex | undefined> {
    try {
      const found = await fetchIndex(this.options.transport, this.keys);
      if (found === 'unchanged') return undefined;
      if (found.isSigned && this.keys === undefined) {
        const hint = 'sign the next one too, or publish to another folder';
        throw new BundleError('bundle_unsigned', 'the index that is there is signed', { hint });
      }
      return found;
    } catch (error) {
      if (error instanceof BundleError && error.code === 'bundle_missing') return undefined;
      throw error;
    }
  }

  private async plan(publication: Publication, before: IndexedSets, rollback: boolean) {
    return publication.kind === 'files'
      ? this.planFiles(publication, before, rollback)
      : this.planArchive(publication, before, rollback);
  }

  private async planFiles(
    { set, about }: Publication & { kind: 'files' },
    before: IndexedSets,
    rollback: boolean,
  ): Promise<PlannedSet> {
    const previous = entryOf(before.sets, set.name);
    if (previous !== undefined && (await this.holds(previous, set))) return { entry: previous, change: 'unchanged' };
    const last = previous ?? entryOf(before.removed, set.name);
    const revision = (last?.revision ?? 0) + 1;
    const archive = packBundle(set, { ...about, revision });
    return this.planned(archive, undefined, previous === undefined ? 'new' : 'changed', rollback);
  }

  private async planArchive(
    { archive, signature }: Publication & { kind: 'archive' },
    before: IndexedSets,
    rollback: boolean,
  ): Promise<PlannedSet> {
    const { manifest } = openBundle(archive, 'the archive');
    const previous = entryOf(before.sets, manifest.set);
    const last = previous ?? entryOf(before.removed, manifest.set);
    if (last === undefined) return this.planned(archive, signature, 'new', rollback);
    if (previous !== undefined && (await digestOfArchive(archive)) === previous.digest) {
      return { entry: previous, change: 'unchanged' };
    }
    if (manifest.revision > last.revision) {
      return this.planned(archive, signature, previous === undefined ? 'new' : 'changed', false);
    }
    // A set that was removed may also come back as it was.
    if (rollback && (manifest.revision < last.revision || previous === undefined)) {
      return this.planned(archive, signature, 'rolled back', true);
    }
    const hint = 'build it with a higher revision; a lower one is pushed with --rollback';
    const published = previous === undefined ? 'was published before it was removed' : 'is published';
    const message = `the archive of ${manifest.set} has the revision ${manifest.revision}, and ${last.revision} ${published}`;
    throw new BundleError('bundle_revision_lower', message, { hint });
  }

  private async planned(
    archive: Buffer,
    signature: string | undefined,
    change: PublishedSet['change'],
    rollback: boolean,
  ): Promise<PlannedSet> {
    const { manifest, problems } = openBundle(archive, 'the archive');
    const { set, revision, version } = manifest;
    const [problem] = problems;
    if (problem !== undefined) throw new BundleError('bundle_archive_invalid', `${set}/${formatProblem(problem)}`);
    const digest = await digestOfArchive(archive);
    const address = `${set}/${revision}-${digest.slice('sha256:'.length, 'sha256:'.length + 16)}.tar`;
    const entry = { set, revision, version, digest, size: archive.length, address, rollback };
    return { entry, change, upload: { address, archive, signature: await this.signatureOf(archive, signature, set) } };
  }

  /** The signature that an archive came with, if it counts; else one of ours. */
  private async signatureOf(archive: Buffer, given: string | undefined, set: string): Promise<string | undefined> {
    const { signing } = this.options;
    if (given === undefined || this.keys === undefined) {
      return signing === undefined ? undefined : signArchive(archive, signing);
    }
    await verifyArchive(archive, given, this.keys, set);
    return given;
  }

  /** Whether what is published has these files, tests included. What cannot be served is published anew. */
  private async holds(indexed: IndexedBundle, { files }: PolicySetFiles): Promise<boolean> {
    if (indexed.version !== versionOf(files)) return false;
    try {
      const { set } = await openVerified(await this.fetch(indexed), indexed, this.keys);
      const isThere = (file: PolicyFile | undefined, { path, bytes }: PolicyFile) =>
        file?.path === path && Buffer.from(file.bytes).equals(bytes);
      return set.files.length === files.length && files.every((file, at) => isThere(set.files[at], file));
    } catch (error) {
      if (!(error instanceof BundleError) || isOfServer.has(error.code)) throw error;
      return false;
    }
  }

  private async resign(entries: readonly IndexedBundle[]): Promise<void> {
    const { signing, transport } = this.options;
    if (signing === undefined) return;
    await atOnce(entries, concurrency, async (entry) => {
      const fetched = await this.fetch(entry);
      await openVerified(fetched, entry, this.keys);
      const signature = await signArchive(fetched.archive, signing);
      await transport.put(signatureAddress(entry.address), Buffer.from(`${signature}\n`));
    });
  }

  private fetch(indexed: IndexedBundle) {
    return fetchBundle(this.options.transport, indexed, this.keys !== undefined);
  }

  private async upload({ address, archive, signature }: Upload): Promise<void> {
    const { transport } = this.options;
    await transport.put(address, archive);
    if (signature !== undefined) await transport.put(signatureAddress(address), Buffer.from(`${signature}\n`));
  }

  private async writeIndex(index: BundleIndex, before: FetchedIndex | undefined): Promise<void> {
    const { transport, signing } = this.options;
    const text = writeIndex(index);
    const bytes = Buffer.from(signing === undefined ? text : await signIndex(text, signing));
    if (bytes.length > maxIndexBytes) {
      throw new BundleError('bundle_too_large', `the index has ${bytes.length} bytes; ${maxIndexBytes} are allowed`);
    }
    // A server that names no ETag cannot hold the index against one.
    const seen = before?.etag === undefined ? undefined : { etag: before.etag };
    await transport.put(indexPath, bytes, before === undefined ? 'absent' : seen);
  }
}

/** Codes that say nothing of the bundle itself. */
const isOfServer = new Set<BundleErrorCode>([
  'bundle_unreachable',
  'bundle_access_denied',
  'bundle_redirected',
  'bundle_encoded',
]);

type IndexedSets = Pick<BundleIndex, 'sets' | 'removed'>;

const noSets: IndexedSets = { sets: [], removed: [] };

function entryOf<Entry extends RemovedSet>(entries: readonly Entry[], name: string): Entry | undefined {
  return entries.find(({ set }) => set === name);
}

interface PlannedSet {
  readonly entry: IndexedBundle;
  readonly change: PublishedSet['change'];
  readonly upload?: Upload;
}

function twice(set: string): BundleError {
  return new BundleError('bundle_index_invalid', `the set ${set} is given twice`);
}
