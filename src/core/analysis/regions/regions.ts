/**
 * The regions that patterns cut names into: names that the same patterns match are of one region, and one of them
 * stands for all. `/a/*` and `/a/b/*` cut three: what neither matches, what the first matches alone, what both match.
 *
 * The patterns are followed through all texts at once, character by character, as a lexer follows its tokens; texts that
 * lead to the same places in all patterns are alike from there on, so each such group of places is followed once.
 */
import { itemsPerStep } from '../../steps.js';
import type { Gap, Shape } from './pattern-shape.js';

export interface Region {
  /** A name of the region that is not listed. */
  readonly witness: string;
  /** The patterns that match it, by their index. */
  readonly patterns: readonly number[];
}

export interface Regions {
  readonly regions: readonly Region[];
  /** Patterns of a region of which no text was found that can be a name: no witness says anything of those. */
  readonly unsettled: readonly number[];
}

export interface RegionsOptions {
  /** Names that stand for themselves, each a region of its own: no witness is one of them. */
  readonly listed: ReadonlySet<string>;
  /** Names that are listed for other reasons: a region that one of them is in needs no witness. */
  readonly samples: readonly string[];
  /** What a witness must match beside the patterns: the template of the token. */
  readonly within?: Shape;
  /** Texts that are tried first, since they read better than what is found character by character. */
  readonly preferred: readonly string[];
  /** Whether a text can be a name. */
  readonly accepts: (text: string) => boolean;
}

/** Most groups of places that are followed, and most places in all of them. */
const maxGroups = 50_000;
const maxPlaces = 2_000_000;
const maxRegions = 1_000;
/** How often names that stand for themselves are put beside the patterns, where they cover a region. */
const maxRounds = 4;

/** @returns undefined if the patterns cut more regions than can be listed */
export function* cutRegions(
  patterns: readonly (readonly Shape[])[],
  options: RegionsOptions,
): Generator<void, Regions | undefined> {
  const own = new Set<string>();
  for (let round = 0; round < maxRounds; round++) {
    const search = new RegionSearch(patterns, [...own], options);
    const regions = yield* search.run();
    if (regions === undefined) return undefined;
    if (search.covered.size === 0) return { regions, unsettled: search.unsettled() };
    // A region of which only listed names were seen may have others.
    for (const name of search.covered) own.add(name);
  }
  return undefined;
}

/** Most groups of places that are followed to compare one shape with one pattern. */
const maxCompared = 2_000;

/**
 * Whether a pattern matches every text of a shape, or none; undefined if some, or if it takes too long to say.
 *
 * @param except shapes of texts that do not count
 */
export function matchesAll(shape: Shape, pattern: readonly Shape[], except: readonly Shape[]): boolean | undefined {
  const network = new Network([[shape], pattern, except]);
  const start = network.start();
  const seen = new Set([start.join()]);
  const queue = [start];
  let answer: boolean | undefined;
  for (let at = 0; at < queue.length; at++) {
    const here = queue[at] as readonly number[];
    const ends = network.ends(here);
    if (ends.includes(0) && !ends.includes(2)) {
      const matches = ends.includes(1);
      if (answer !== undefined && answer !== matches) return undefined;
      answer = matches;
    }
    for (const character of network.charactersFrom(here)) {
      const next = network.after(here, character);
      const key = next.join();
      if (seen.has(key)) continue;
      if (seen.size >= maxCompared) return undefined;
      seen.add(key);
      queue.push(next);
    }
  }
  return answer ?? false;
}

class RegionSearch {
  /** Listed names that were found first in a region for which no other name was found. */
  readonly covered = new Set<string>();
  private readonly network: Network;
  private readonly found = new Map<string, Region>();
  private readonly refused = new Map<string, Set<string>>();
  private readonly sampled = new Set<string>();
  /** Regions of which texts were seen that cannot be names. */
  private readonly nameless = new Map<string, readonly number[]>();

  constructor(
    private readonly patterns: readonly (readonly Shape[])[],
    own: readonly string[],
    private readonly options: RegionsOptions,
  ) {
    const within = options.within === undefined ? [] : [[options.within]];
    this.network = new Network([...patterns, ...own.map((name) => [[name]]), ...within]);
    for (const sample of options.samples) {
      const matching = this.matching(this.network.placesAfter(sample));
      if (matching !== undefined) this.sampled.add(matching.join());
    }
  }

  *run(): Generator<void, readonly Region[] | undefined> {
    const { network } = this;
    const start = network.start();
    const seen = new Map<string, number>();
    // Not all that leads to the same places can be a name: `/a//` in a template that wants segments.
    const maxVisits = this.options.within === undefined ? 1 : 4;
    const queue: (readonly [places: readonly number[], text: string])[] = [[start, '']];
    for (const text of this.options.preferred) this.look(network.placesAfter(text), text);
    let places = 0;
    for (let at = 0; at < queue.length; at++) {
      if (at % (itemsPerStep / 100) === 0) yield;
      const [here, text] = queue[at] as (typeof queue)[number];
      for (const character of network.charactersFrom(here)) {
        const next = network.after(here, character);
        const longer = text + character;
        this.look(next, longer);
        if (this.found.size > maxRegions) return undefined;
        const key = next.join();
        const visits = seen.get(key) ?? 0;
        if (visits === maxVisits) continue;
        seen.set(key, visits + 1);
        places += next.length + 1;
        if (seen.size > maxGroups || places > maxPlaces) return undefined;
        queue.push([next, longer]);
      }
    }
    this.look(start, '');
    for (const [region, names] of this.refused) {
      if (!this.found.has(region) && !this.sampled.has(region)) for (const name of names) this.covered.add(name);
    }
    return [...this.found.values()];
  }

  unsettled(): readonly number[] {
    const without = new Set<number>();
    for (const [region, matching] of this.nameless) {
      if (this.found.has(region) || this.sampled.has(region)) continue;
      for (const pattern of matching) without.add(pattern);
    }
    return [...without];
  }

  private look(places: readonly number[], text: string): void {
    const matching = this.matching(places);
    if (matching === undefined) return;
    const region = matching.join();
    if (this.found.has(region) || this.sampled.has(region)) return;
    if (this.options.listed.has(text)) {
      const names = this.refused.get(region) ?? new Set();
      this.refused.set(region, names.add(text));
      return;
    }
    if (!this.options.accepts(text)) {
      this.nameless.set(region, matching);
      return;
    }
    this.found.set(region, { witness: text, patterns: matching });
  }

  /** The patterns that match what led to the places; undefined for names that stand for themselves, or cannot be names. */
  private matching(places: readonly number[]): readonly number[] | undefined {
    const { patterns, options } = this;
    const matching: number[] = [];
    let isName = options.within === undefined;
    for (const owner of this.network.ends(places)) {
      if (owner < patterns.length) matching.push(owner);
      else if (options.within !== undefined && owner === this.network.size - 1) isName = true;
      else return undefined;
    }
    return isName ? matching : undefined;
  }
}

/** All patterns as one network of places; a place is before a character or a gap of a shape, or at its end. */
class Network {
  readonly size: number;
  /** What is taken at a place; undefined at an end. */
  private readonly takes: (string | Gap | undefined)[] = [];
  private readonly owners: number[] = [];
  private readonly starts: number[] = [];

  constructor(patterns: readonly (readonly Shape[])[]) {
    this.size = patterns.length;
    for (const [owner, shapes] of patterns.entries()) {
      for (const shape of shapes) {
        this.starts.push(this.takes.length);
        for (const part of shape) {
          for (const piece of typeof part === 'string' ? part.split('') : [part]) this.add(piece, owner);
        }
        this.add(undefined, owner);
      }
    }
  }

  private add(takes: string | Gap | undefined, owner: number): void {
    this.takes.push(takes);
    this.owners.push(owner);
  }

  start(): readonly number[] {
    return this.settle(this.starts);
  }

  placesAfter(text: string): readonly number[] {
    let places = this.start();
    for (const character of text.split('')) places = this.after(places, character);
    return places;
  }

  after(places: readonly number[], character: string): readonly number[] {
    const next: number[] = [];
    for (const place of places) {
      const takes = this.takes[place];
      if (takes === undefined) continue;
      if (typeof takes === 'string') {
        if (takes === character) next.push(place + 1);
      } else if (!takes.except.includes(character)) next.push(takes.takes === 'many' ? place : place + 1);
    }
    return this.settle(next);
  }

  /** The places with those behind gaps that take nothing, in order, each once. */
  private settle(places: readonly number[]): readonly number[] {
    const settled = new Set<number>();
    for (const place of places) {
      for (let at = place; ; at++) {
        settled.add(at);
        const takes = this.takes[at];
        if (typeof takes !== 'object' || takes.takes === 'one') break;
      }
    }
    return [...settled].sort((one, other) => one - other);
  }

  /** The patterns that end at one of the places, each once, in order. */
  ends(places: readonly number[]): readonly number[] {
    const ends = new Set<number>();
    for (const place of places) if (this.takes[place] === undefined) ends.add(this.owners[place] as number);
    return [...ends].sort((one, other) => one - other);
  }

  /** The characters that the places treat in different ways: those that one of them names, and one more. */
  charactersFrom(places: readonly number[]): readonly string[] {
    const named = new Set<string>();
    for (const place of places) {
      const takes = this.takes[place];
      if (typeof takes === 'string') named.add(takes);
      else if (takes !== undefined) for (const character of takes.except) named.add(character);
    }
    return [otherThan(named), ...named];
  }
}

const letters = 'xyzabcdefghijklmnopqrstuvw0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ';

function otherThan(named: ReadonlySet<string>): string {
  for (const letter of letters) if (!named.has(letter)) return letter;
  let code = 0x4e00;
  while (named.has(String.fromCharCode(code))) code++;
  return String.fromCharCode(code);
}
