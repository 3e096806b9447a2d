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
  /** Of each place the numbers, as they came. */
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

  /**
   * One that another place has is missing at `own` alone: after a failover, the log of a process has those that this process made.
   *
   * @param own the place that must have every one that another place has, but for those before its first
   */
  *breaks(own: string): Generator<ChainBreak> {
    yield* this.twice;
    const links = [...this.links].sort(([a], [b]) => a - b);
    for (const [number, { previous, place }] of links) {
      const before = number === 1 ? beforeFirst : this.links.get(number - 1)?.hash;
      if (before !== undefined && !before.equals(previous)) {
        yield { kind: 'wrong', place, what: `checkpoint ${number} of the fleet does not follow on the one before it` };
      }
    }
    const places = [...this.places].map(([place, numbers]) => ({ place, numbers: numbers.sort((a, b) => a - b) }));
    const numbersOfOwn = this.places.get(own) ?? [];
    for (const { from, to } of holesIn(numbersOfOwn))
      yield { kind: 'missing', place: own, what: missingText(from, to) };
    for (const { from, to } of holesIn(links.map(([number]) => number))) {
      // What is between the ends of two places can have been deleted at both. What `own` lacks is said already.
      const around = places
        .filter(({ numbers }) => numbers[0]! < from && numbers.at(-1)! > to)
        .map(({ place }) => place);
      if (around.length === 0 || around.includes(own)) continue;
      yield { kind: 'missing', place: around[0]!, what: missingText(from, to) };
    }
    const last = numbersOfOwn.at(-1);
    const newest = links.at(-1)?.[0] ?? 0;
    if (last !== undefined && newest > last) yield { kind: 'missing', place: own, what: missingText(last + 1, newest) };
  }
}

/** The runs of numbers that are missing between others, which are sorted. */
function* holesIn(numbers: readonly number[]): Generator<{ readonly from: number; readonly to: number }> {
  for (const [i, number] of numbers.entries()) {
    const next = (i === 0 ? number : numbers[i - 1]!) + 1;
    if (number > next) yield { from: next, to: number - 1 };
  }
}

function missingText(from: number, to: number): string {
  return from === to
    ? `checkpoint ${from} of the fleet is missing`
    : `checkpoints ${from} to ${to} of the fleet are missing`;
}
