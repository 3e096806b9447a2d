import { beforeFirst, type FleetCheckpoint, hashOfFleetCheckpoint } from './fleet-checkpoint.js';
import type { TreeHash } from './merkle-tree.js';

/** A break in the chain of the fleet's checkpoints. */
export interface ChainBreak {
  readonly kind: 'wrong' | 'missing';
  readonly place: string;
  readonly what: string;
}

interface Link {
  readonly hash: TreeHash;
  readonly previous: TreeHash;
  readonly place: string;
}

/** Looks whether checkpoints of the fleet, from one place or several, follow one on the other. */
export class FleetChain {
  private readonly links = new Map<number, Link>();
  /** Of each place the numbers, the lowest first. */
  private readonly places = new Map<string, number[]>();
  private readonly twice: ChainBreak[] = [];

  /** @param note what it was read from */
  add({ number, previous }: FleetCheckpoint, note: string, place: string): void {
    const hash = hashOfFleetCheckpoint(note);
    const known = this.links.get(number);
    if (known === undefined) this.links.set(number, { hash, previous, place });
    else if (!known.hash.equals(hash)) {
      const what = `checkpoint ${number} of the fleet is another one than in ${known.place}`;
      this.twice.push({ kind: 'wrong', place, what });
    }
    const numbers = this.places.get(place);
    if (numbers === undefined) this.places.set(place, [number]);
    else numbers.push(number);
  }

  /** Number of different checkpoints. */
  get size(): number {
    return this.links.size;
  }

  /** @param own the place that must have every one that another place has, but for those before its first */
  *breaks(own: string): Generator<ChainBreak> {
    yield* this.twice;
    for (const [number, { previous, place }] of [...this.links].sort(([a], [b]) => a - b)) {
      const before = number === 1 ? beforeFirst : this.links.get(number - 1)?.hash;
      if (before !== undefined && !before.equals(previous)) {
        yield { kind: 'wrong', place, what: `checkpoint ${number} of the fleet does not follow on the one before it` };
      }
    }
    for (const [place, unsorted] of this.places) {
      const numbers = unsorted.sort((a, b) => a - b);
      for (const [i, number] of numbers.entries()) {
        const next = (i === 0 ? number : numbers[i - 1]!) + 1;
        if (number > next) yield { kind: 'missing', place, what: missingText(next, number - 1) };
      }
    }
    const last = this.places.get(own)?.at(-1);
    const newest = Math.max(...this.links.keys());
    if (last !== undefined && newest > last) yield { kind: 'missing', place: own, what: missingText(last + 1, newest) };
  }
}

function missingText(from: number, to: number): string {
  return from === to
    ? `checkpoint ${from} of the fleet is missing`
    : `checkpoints ${from} to ${to} of the fleet are missing`;
}
