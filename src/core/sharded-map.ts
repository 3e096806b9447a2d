/**
 * A map of texts that is never changed. An edit makes another map, which shares with the first what the edit left alone:
 * of a million entries one change copies some hundred.
 *
 *     const one = emptyMap<number>().edit().set('a', 1).done();
 *     const two = one.edit().set('b', 2).done();   // `one` still has no b
 *
 * A tree of which each node has 32 branches, chosen by five bits of the key's hash, or is a leaf with a small Map. Names
 * can be chosen so that all have the same hash: where its bits are used up, a node has any number of leaves, chosen by the
 * order of the keys. The order of the map's entries follows from hashes and from history: sort what is shown.
 */

const bitsPerLevel = 5;
const branches = 1 << bitsPerLevel;
const branchMask = branches - 1;
/** Levels that a hash of 32 bits has branches for. */
const mostLevels = Math.floor(32 / bitsPerLevel);
/** Most entries of a leaf. A change copies one leaf. */
const largestLeaf = 64;

class Node<Value> {
  constructor(
    /** The edit that made the node and may still write to it. */
    readonly owner: object,
    readonly entries: Map<string, Value> | undefined,
    readonly children: (Node<Value> | undefined)[] | undefined,
    /**
     * Below the last level: the least key that each child may have, in ascending order. The first one is '', and each
     * child is there.
     */
    readonly bounds?: string[],
  ) {}
}

export class ShardedMap<Value> {
  constructor(
    private readonly root: Node<Value>,
    readonly size: number,
  ) {}

  get(key: string): Value | undefined {
    return find(this.root, key);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  edit(): MapEdit<Value> {
    return new MapEdit(this.root, this.size);
  }

  *[Symbol.iterator](): Generator<[string, Value]> {
    const left = [this.root];
    for (let node = left.pop(); node !== undefined; node = left.pop()) {
      if (node.entries !== undefined) yield* node.entries;
      else for (const child of node.children ?? []) if (child !== undefined) left.push(child);
    }
  }

  *keys(): Generator<string> {
    for (const [key] of this) yield key;
  }

  *values(): Generator<Value> {
    for (const [, value] of this) yield value;
  }
}

const nobody: object = Object.freeze({});
const empty = new ShardedMap<unknown>(new Node<unknown>(nobody, new Map(), undefined), 0);

export function emptyMap<Value>(): ShardedMap<Value> {
  // It has no values, of whatever kind.
  return empty as ShardedMap<Value>;
}

/** Changes that become a map of their own with `done`. */
export class MapEdit<Value> {
  private owner: object = {};

  constructor(
    private root: Node<Value>,
    private size: number,
  ) {}

  get(key: string): Value | undefined {
    return find(this.root, key);
  }

  set(key: string, value: Value): this {
    this.root = this.put(this.root, 0, hashOf(key), key, value);
    return this;
  }

  delete(key: string): this {
    if (find(this.root, key) !== undefined) {
      this.root = this.without(this.root, hashOf(key), key) ?? new Node(this.owner, new Map(), undefined);
      this.size--;
    }
    return this;
  }

  /** The map with the changes. The edit can go on; what it writes from here on is not in that map. */
  done(): ShardedMap<Value> {
    this.owner = {};
    return new ShardedMap(this.root, this.size);
  }

  private put(node: Node<Value> | undefined, level: number, hash: number, key: string, value: Value): Node<Value> {
    const own = node === undefined ? new Node(this.owner, new Map<string, Value>(), undefined) : this.ownOf(node);
    const { entries, children } = own;
    if (children !== undefined) {
      const branch = branchOf(own, hash, key);
      const child = this.put(children[branch], level + 1, hash >>> bitsPerLevel, key, value);
      children[branch] = child;
      const { bounds } = own;
      if (bounds !== undefined && child.entries !== undefined && child.entries.size > largestLeaf) {
        const halves = this.halve(child.entries);
        children.splice(branch, 1, halves.lower, halves.upper);
        bounds.splice(branch + 1, 0, halves.middle);
      }
    } else if (entries !== undefined) {
      if (!entries.has(key)) this.size++;
      entries.set(key, value);
      if (entries.size > largestLeaf && level <= mostLevels) return this.split(entries, level);
    }
    return own;
  }

  private split(entries: ReadonlyMap<string, Value>, level: number): Node<Value> {
    if (level === mostLevels) {
      const { lower, middle, upper } = this.halve(entries);
      return new Node(this.owner, undefined, [lower, upper], ['', middle]);
    }
    const children = new Array<Node<Value> | undefined>(branches).fill(undefined);
    for (const [key, value] of entries) {
      const branch = (hashOf(key) >>> (bitsPerLevel * level)) & branchMask;
      const child = children[branch] ?? new Node(this.owner, new Map<string, Value>(), undefined);
      child.entries?.set(key, value);
      children[branch] = child;
    }
    return new Node(this.owner, undefined, children);
  }

  /** Two leaves, and the least key of the second. */
  private halve(entries: ReadonlyMap<string, Value>) {
    const ordered = [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
    const half = ordered.length >>> 1;
    const leafOf = (part: [string, Value][]) => new Node(this.owner, new Map(part), undefined);
    const [middle = ''] = ordered[half] ?? [];
    return { lower: leafOf(ordered.slice(0, half)), middle, upper: leafOf(ordered.slice(half)) };
  }

  /** Undefined if nothing is left below the node. */
  private without(node: Node<Value>, hash: number, key: string): Node<Value> | undefined {
    const own = this.ownOf(node);
    const { entries, children } = own;
    if (children === undefined) {
      entries?.delete(key);
      return entries?.size === 0 ? undefined : own;
    }
    const branch = branchOf(own, hash, key);
    const child = children[branch];
    if (child !== undefined) children[branch] = this.without(child, hash >>> bitsPerLevel, key);
    if (own.bounds !== undefined && children[branch] === undefined) {
      // The child before it takes its keys; for the first one, the child behind it.
      children.splice(branch, 1);
      own.bounds.splice(Math.max(branch, 1), 1);
    }
    return children.every((each) => each === undefined) ? undefined : own;
  }

  /** The node itself if this edit made it, else a copy. */
  private ownOf(node: Node<Value>): Node<Value> {
    if (node.owner === this.owner) return node;
    const { entries, children, bounds } = node;
    return new Node(this.owner, entries && new Map(entries), children?.slice(), bounds?.slice());
  }
}

function find<Value>(root: Node<Value>, key: string): Value | undefined {
  if (root.entries !== undefined) return root.entries.get(key);
  let node: Node<Value> | undefined = root;
  for (let hash = hashOf(key); node?.children !== undefined; hash >>>= bitsPerLevel) {
    node = node.children[branchOf(node, hash, key)];
  }
  return node?.entries?.get(key);
}

/** Index of the child that the key belongs to. */
function branchOf({ bounds }: Node<unknown>, hash: number, key: string): number {
  if (bounds === undefined) return hash & branchMask;
  let [from, to] = [0, bounds.length - 1];
  while (from < to) {
    const middle = (from + to + 1) >>> 1;
    if ((bounds[middle] as string) <= key) from = middle;
    else to = middle - 1;
  }
  return from;
}

/** FNV-1a over the code units, its bits mixed, since the lowest choose the branch. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  return (hash ^ (hash >>> 15)) >>> 0;
}
