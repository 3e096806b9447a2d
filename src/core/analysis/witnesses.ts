/** Names that stand for all others: one for each region that the patterns of a group cut. */
import { changeOfToken } from '../policy/binding-change.js';
import { quote } from '../quote.js';
import { namesInPattern } from '../search/names-in-pattern.js';
import type { NameGroup } from './name-group.js';
import { type Shape, shapesOf } from './regions/pattern-shape.js';
import { cutRegions } from './regions/regions.js';

export interface Witness {
  readonly text: string;
  /** Whom it stands for: `any other`, `any other in "/a/*" and "/a/b/*"`. */
  readonly standsFor: string;
}

export interface WitnessesOfGroup {
  readonly witnesses: readonly Witness[];
  /**
   * Names that are listed since they stand in patterns, and stand for all of their region, too: `GET` for all that `(GET)|(POST)`
   * matches, which has no anchors.
   */
  readonly samples: readonly string[];
}

/** What a witness is called where nothing asks for more. */
const preferred = ['any-other', 'any-other-name', 'none-of-these', 'some-other-name'];

/**
 * Finds the witnesses of a group, and marks the patterns that they were found for. Patterns without a shape cut
 * nothing, and if they cut too many regions none does: a witness says nothing about those.
 *
 * @param names names that are listed; those that only stand in patterns need no witness beside them
 * @param standsForItself true for a name that has to be asked about by itself
 */
export function* witnessesOf(
  group: NameGroup,
  names: Iterable<string>,
  standsForItself: (name: string) => boolean,
): Generator<void, WitnessesOfGroup> {
  const patterns: { readonly id: string; readonly text: string; readonly shapes: readonly Shape[] }[] = [];
  /** Names in patterns that cut regions: of those that match others, too, and of those that match nothing else. */
  const [open, closed] = [new Set<string>(), new Set<string>()];
  for (const [id, { function: name, text }] of group.patterns) {
    const shapes = shapesOf(name, text);
    if (shapes === undefined) continue;
    patterns.push({ id, text, shapes });
    const found = namesInPattern(name, text);
    for (const named of found.names) (found.matchesMore ? open : closed).add(named);
  }
  const isSample = (name: string): boolean =>
    (open.has(name) || closed.has(name)) && !group.texts.has(name) && !standsForItself(name);
  const listed = new Set(group.texts);
  const samples: string[] = [];
  const { template } = group;
  for (const name of names) {
    if (isSample(name)) samples.push(name);
    else listed.add(name);
  }
  // Of a template, what a pattern holds is listed if a request makes it.
  if (template !== undefined) {
    for (const name of new Set([...open, ...closed])) {
      if (isSample(name) && changeOfToken(template, name) !== undefined) samples.push(name);
    }
  }
  const within = template === undefined ? {} : { within: shapeOfTemplate(group) };
  const common = {
    ...within,
    listed,
    preferred: template === undefined ? preferred : preferred.map((name) => filledWith(group, name)),
    accepts: (text: string) => template === undefined || changeOfToken(template, text) !== undefined,
  };
  const cut = yield* cutRegions(
    patterns.map(({ shapes }) => shapes),
    { ...common, samples },
  );
  const regions = cut ?? (yield* cutRegions([], { ...common, samples: [] }));
  if (cut !== undefined) {
    for (const [at, { id }] of patterns.entries()) if (!cut.unsettled.includes(at)) group.cut.add(id);
  }
  const witnesses = (regions?.regions ?? []).map(({ witness, patterns: matching }) => {
    const within = cut === undefined ? [] : matching.map((at) => (patterns[at] as (typeof patterns)[number]).text);
    return { text: witness, standsFor: inWords([...new Set(within)]) };
  });
  return { witnesses, samples: cut === undefined ? [] : samples.filter((name) => !closed.has(name)) };
}

/** Most patterns that are named. */
const maxNamed = 3;

function inWords(matching: readonly string[]): string {
  if (matching.length === 0) return 'any other';
  const named = matching.slice(0, maxNamed).map((text) => quote(text));
  const more = matching.length - named.length;
  return `any other in ${named.join(' and ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function shapeOfTemplate({ template }: NameGroup): Shape {
  const line = template?.line;
  if (line?.kind !== 'template') return [];
  return line.parts.map((part) => (typeof part === 'string' ? part : { except: '', takes: 'many' }));
}

function filledWith({ template }: NameGroup, name: string): string {
  const line = template?.line;
  if (line?.kind !== 'template') return name;
  return line.parts.map((part) => (typeof part === 'string' ? part : name)).join('');
}
