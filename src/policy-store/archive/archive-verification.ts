import { DigestTree } from '../../core/data/digest-tree.js';
import { digestOfEntity, digestOfRole, versionWithData } from '../../core/data/live-data.js';
import { sha256 } from '../../digest/sha-256.js';
import { inTurns } from '../../turns/turns.js';
import type { StoredEntries } from '../data/entries.js';
import type { LiveDataStore } from '../data/live-data-store.js';
import type { KeptVersion, PolicyArchive, ServedVersion } from './policy-archive.js';

/** A version that is not what it is called, or is not there. */
export interface ArchiveFault extends ServedVersion {
  readonly kind: 'wrong' | 'missing';
  readonly what: string;
}

const versionsAtOnce = 500;
const changesAtOnce = 1_000;

/**
 * Verifies that what is kept of each version is what its name, a digest, says: the files, and the live data that it served with.
 *
 * @param data has what live data were; undefined where no set has any
 * @param hear hears of each fault
 * @param isThere hears of each version that is kept
 * @returns how many versions were looked at
 */
export async function verifyKeptVersions(
  archive: PolicyArchive,
  data: LiveDataStore | undefined,
  hear: (fault: ArchiveFault) => void,
  isThere: (version: ServedVersion) => void,
): Promise<number> {
  let versions = 0;
  let ofSet: KeptVersion[] = [];
  for (let after: ServedVersion | undefined; ; ) {
    const page = await archive.everyVersion(versionsAtOnce, after);
    for (const version of page) {
      versions++;
      isThere(version);
      if (ofSet[0] !== undefined && ofSet[0].name !== version.name) {
        await verifyData(ofSet, data, hear);
        ofSet = [];
      }
      if (version.dataRevision !== undefined) ofSet.push(version);
      // The files of a version with live data are those of another one.
      else await verifyFiles(archive, version, hear);
    }
    after = page.at(-1);
    if (page.length < versionsAtOnce) break;
  }
  await verifyData(ofSet, data, hear);
  return versions;
}

async function verifyFiles(
  archive: PolicyArchive,
  { name, version }: KeptVersion,
  hear: (fault: ArchiveFault) => void,
): Promise<void> {
  try {
    // A version that went meanwhile is none that a record names.
    await archive.files(name, version);
  } catch (error) {
    hear({ kind: 'wrong', name, version, what: `its files are not those of the version: ${(error as Error).message}` });
  }
}

/** Goes through the changes of a set once, from the oldest data that a version names. */
async function verifyData(
  versions: readonly KeptVersion[],
  data: LiveDataStore | undefined,
  hear: (fault: ArchiveFault) => void,
): Promise<void> {
  const waiting = versions.toSorted((a, b) => a.dataRevision! - b.dataRevision!);
  const [oldest] = waiting;
  if (oldest === undefined) return;
  const { name } = oldest;
  const lost = (what: string) => {
    for (const { version } of waiting) hear({ kind: 'missing', name, version, what });
  };
  try {
    const entries = await data?.entriesAt(name, oldest.dataRevision!);
    if (entries === undefined) {
      lost('the live data that it served with are not kept');
      return;
    }
    const first = digestsOf(entries);
    let tree = await inTurns(DigestTree.empty(sha256).changed(first, []));
    const compare = (below: number) => {
      while (waiting[0] !== undefined && waiting[0].dataRevision! < below) {
        const { version, filesVersion } = waiting.shift()!;
        if (versionWithData(filesVersion!, tree.root, sha256) === version) continue;
        hear({ kind: 'wrong', name, version, what: 'the live data that it served with, or its changes, are others' });
      }
    };
    for (let after = oldest.dataRevision!; waiting.length > 0; ) {
      const changes = await data!.changesAfter(name, after, changesAtOnce);
      for (const { revision, added, removed } of changes) {
        compare(revision);
        tree = await inTurns(tree.changed(digestsOf(added), digestsOf(removed)));
        after = revision;
      }
      if (changes.length < changesAtOnce) break;
    }
    compare(Number.MAX_SAFE_INTEGER);
  } catch (error) {
    lost(`the live data that it served with cannot be read: ${(error as Error).message}`);
  }
}

function digestsOf({ roles, entities }: StoredEntries): string[] {
  return [
    ...roles.map((role) => digestOfRole(role, sha256)),
    ...entities.map((entity) => digestOfEntity(entity, sha256)),
  ];
}
