import {
  Frontier,
  frontierOf,
  type StoredTree,
  type TreeEntry,
  type TreeHash,
} from '../../../src/decision-log/proof/merkle-tree.js';

/** A tree whose entries are kept in memory, as a store would keep them. */
export class MemoryTree implements StoredTree {
  private readonly entries: (TreeEntry | undefined)[] = [];
  frontier = Frontier.empty;
  anchor = Frontier.empty;
  reads = 0;

  static of(leaves: readonly TreeHash[]): MemoryTree {
    const tree = new MemoryTree();
    for (const leaf of leaves) tree.append(leaf);
    return tree;
  }

  append(leaf: TreeHash): void {
    this.frontier = this.frontier.append(leaf);
    this.entries.push({ leaf, node: this.frontier.nodes.at(-1)! });
  }

  async entry(index: number): Promise<TreeEntry> {
    this.reads++;
    const entry = this.entries[index];
    if (entry === undefined) throw new Error(`entry ${index} is not kept`);
    return entry;
  }

  /** The same tree when the retention has removed its first entries. */
  async without(removed: number): Promise<MemoryTree> {
    const rest = new MemoryTree();
    rest.anchor = await frontierOf(this, removed);
    rest.entries.push(...this.entries.map((entry, i) => (i < removed ? undefined : entry)));
    rest.frontier = this.frontier;
    return rest;
  }
}
