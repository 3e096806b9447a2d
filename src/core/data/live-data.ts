/**
 * Live data: the role links and entities that a set has beside those of its files. It is a value that is never changed;
 * a change makes another one, which shares with it all that the change leaves alone.
 *
 * Its part in the version, so that any other tool can compute it. An entry is a role link or an entity, written as a
 * JSON array in the canonical form of RFC 8785 (JCS): no blanks, the members of objects sorted by UTF-16 code units,
 * numbers as ECMAScript writes them.
 *
 *     ["role","g","user:ana","editor"]                  definition, then its columns
 *     ["entity","user","ana",{"level":3}]               type, id, attributes ({} if there are none)
 *
 * The digest of an entry is the SHA-256 of that text in UTF-8. The data root is the digest of all of them as
 * `digest-tree.ts` says. The version of a set with live data is `sha256:` and the SHA-256 of
 *
 *     verdict data 1             14 bytes of ASCII
 *     version of the files       its 32 bytes
 *     data root                  32 bytes
 *
 * Without an entry the version is that of the files alone, whether or not the manifest lets the set have live data: it
 * answers as the files do.
 */
import { LiveEntities, type StoredEntity } from '../manifest/entities.js';
import { canonical } from '../manifest/schema-checking.js';
import { type LinkChange, LiveLinks } from '../roles/live-links.js';
import type { Sha256 } from '../sha-256.js';
import { linksPerStep } from '../steps.js';
import { bytesOf, type Digest, DigestTree, digestFromHex } from './digest-tree.js';

/** A role link: the key of the definition, then its columns, as a line of a rules file has them: `['g', 'ana', 'editor']`. */
export type RoleTuple = readonly string[];

/** What a change does to live data, whatever was asked for: what it adds is not there, what it removes is. */
export interface LiveDataChange {
  /** By definition. */
  readonly links: ReadonlyMap<string, LinkChanges>;
  readonly entities: { readonly removed: readonly StoredEntity[]; readonly added: readonly StoredEntity[] };
}

/** The changes of one definition, each name once in a domain. */
export interface LinkChanges {
  readonly hasDomain: boolean;
  readonly changes: readonly LinkChange[];
}

export class LiveData {
  private constructor(
    private readonly byDefinition: ReadonlyMap<string, LiveLinks>,
    /** The entities of the types that are live data. */
    readonly stored: LiveEntities,
    private readonly tree: DigestTree,
    private readonly sha256: Sha256,
  ) {}

  /** No live data, from which all other is made. The embedding program chooses the hash function. */
  static empty(sha256: Sha256): LiveData {
    return new LiveData(new Map(), LiveEntities.none, DigestTree.empty(sha256), sha256);
  }

  /** Number of role links and entities. */
  get size(): number {
    return this.tree.size;
  }

  /** Number of role links. */
  get roleLinks(): number {
    return this.tree.size - this.stored.size;
  }

  /** Undefined if the definition has no live links. */
  linksOf(definition: string): LiveLinks | undefined {
    return this.byDefinition.get(definition);
  }

  /** All role links, in no certain order. */
  *roles(): Generator<RoleTuple> {
    for (const [definition, links] of this.byDefinition) {
      for (const { domain, child, added } of links.asChanges()) {
        for (const parent of added) yield tupleOf(definition, links.hasDomain, child, parent, domain);
      }
    }
  }

  /** All entities, in no certain order. */
  *entities(): Generator<StoredEntity> {
    yield* this.stored;
  }

  /** The version of a set with these files and this data. */
  versionWith(ofFiles: string): string {
    if (this.size === 0) return ofFiles;
    return versionWithData(ofFiles, this.tree.root, this.sha256);
  }

  /** The data after a change. */
  *changed({ links, entities }: LiveDataChange): Generator<void, LiveData> {
    const byDefinition = new Map(this.byDefinition);
    const [added, removed]: [Digest[], Digest[]] = [[], []];
    let done = 0;
    for (const [definition, { hasDomain, changes }] of links) {
      const before = byDefinition.get(definition) ?? LiveLinks.none(hasDomain);
      const after = yield* before.changed(changes);
      if (after.size === 0) byDefinition.delete(definition);
      else byDefinition.set(definition, after);
      for (const { domain, child, ...change } of changes) {
        const digest = (parent: string): Digest =>
          digestOfRole(tupleOf(definition, hasDomain, child, parent, domain), this.sha256);
        for (const parent of change.added) {
          if (++done % linksPerStep === 0) yield;
          added.push(digest(parent));
        }
        for (const parent of change.removed) {
          if (++done % linksPerStep === 0) yield;
          removed.push(digest(parent));
        }
      }
    }
    for (const entity of entities.removed) {
      yield;
      removed.push(digestOfEntity(entity, this.sha256));
    }
    for (const entity of entities.added) {
      yield;
      added.push(digestOfEntity(entity, this.sha256));
    }
    const stored = yield* this.stored.changed(entities.removed, entities.added);
    const tree = yield* this.tree.changed(added, removed);
    return new LiveData(byDefinition, stored, tree, this.sha256);
  }
}

/** The digest of a role link, as the tree of entries holds it. */
export function digestOfRole(role: RoleTuple, sha256: Sha256): Digest {
  return digestFromHex(sha256([JSON.stringify(['role', ...role])]));
}

/** The digest of an entity, as the tree of entries holds it. */
export function digestOfEntity({ type, id, attributes }: StoredEntity, sha256: Sha256): Digest {
  return digestFromHex(sha256([canonical(['entity', type, id, attributes])]));
}

/** The version of files with live data, by the root of the tree of its entries. */
export function versionWithData(ofFiles: string, root: Digest, sha256: Sha256): string {
  const files = digestFromHex(ofFiles.slice('sha256:'.length));
  return `sha256:${sha256(['verdict data 1', bytesOf(files), bytesOf(root)])}`;
}

/** A link of live data as its columns. */
export function tupleOf(
  definition: string,
  hasDomain: boolean,
  child: string,
  parent: string,
  domain: string,
): string[] {
  return hasDomain ? [definition, child, parent, domain] : [definition, child, parent];
}
