/** The links of one role definition that are live data, beside those of the files. */
import { emptyMap, type MapEdit, type ShardedMap } from '../sharded-map.js';
import { linksPerStep } from '../steps.js';
import { Links, type Parent } from './links.js';

/** Links of one name that are new and links of it that are gone. */
export interface LinkChange {
  /** `''` if the definition has no domain. */
  readonly domain: string;
  readonly child: string;
  /** Parents that it gets; it has none of them. */
  readonly added: readonly string[];
  /** Parents that it loses; it has all of them. */
  readonly removed: readonly string[];
}

/** The parents of each name in one domain, in the order of their code units: an order that no history can change. */
export type LinksByChild = ShardedMap<Links>;

export class LiveLinks {
  private constructor(
    readonly hasDomain: boolean,
    private readonly domains: ShardedMap<LinksByChild>,
    /** Number of links. */
    readonly size: number,
  ) {}

  static none(hasDomain: boolean): LiveLinks {
    return new LiveLinks(hasDomain, emptyMap(), 0);
  }

  in(domain: string): LinksByChild | undefined {
    return this.domains.get(domain);
  }

  has(domain: string, child: string, parent: string): boolean {
    const parents = this.domains.get(domain)?.get(child)?.parents ?? [];
    // A change asks this of each of its links, and one name may have a hundred thousand: they are in order.
    let [from, to] = [0, parents.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      const known = (parents[middle] as Parent).parent;
      if (known === parent) return true;
      if (known < parent) from = middle + 1;
      else to = middle;
    }
    return false;
  }

  /** These links with others added and removed. */
  *changed(changes: Iterable<LinkChange>): Generator<void, LiveLinks> {
    const domains = this.domains.edit();
    const edits = new Map<string, MapEdit<Links>>();
    let { size } = this;
    let done = 0;
    for (const { domain, child, added, removed } of changes) {
      if (++done % linksPerStep === 0) yield;
      let edit = edits.get(domain);
      if (edit === undefined) {
        edit = (domains.get(domain) ?? emptyMap<Links>()).edit();
        edits.set(domain, edit);
      }
      const gone = new Set(removed);
      const kept = (edit.get(child)?.parents ?? []).map(({ parent }) => parent).filter((parent) => !gone.has(parent));
      const parents = added.length === 0 ? kept : [...kept, ...added].sort();
      if (parents.length === 0) edit.delete(child);
      else edit.set(child, new Links(parents.map((parent) => ({ parent }))));
      size += added.length - removed.length;
    }
    for (const [domain, edit] of edits) {
      if (++done % linksPerStep === 0) yield;
      const links = edit.done();
      if (links.size === 0) domains.delete(domain);
      else domains.set(domain, links);
    }
    return new LiveLinks(this.hasDomain, domains.done(), size);
  }

  /** The names in one column of the links; a name may come several times, in no certain order. */
  *names(column: 'child' | 'parent' | 'domain'): Generator<string> {
    for (const [domain, children] of this.domains) {
      if (column === 'domain') yield domain;
      else if (column === 'child') yield* children.keys();
      else for (const { parents } of children.values()) for (const { parent } of parents) yield parent;
    }
  }

  /** All links as changes that would make them, name by name, in no certain order. */
  *asChanges(): Generator<LinkChange> {
    for (const [domain, children] of this.domains) {
      for (const [child, { parents }] of children) {
        yield { domain, child, added: parents.map(({ parent }) => parent), removed: [] };
      }
    }
  }
}
