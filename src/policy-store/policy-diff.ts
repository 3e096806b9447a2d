/** Differences between two versions of a policy set. */
import { Flag, Integer, OneOf, Part, Parts, Text, Texts } from '../answers/members.js';
import { parseRuleLines, type RuleLine } from '../core/casbin/rules-document.js';
import { fileRole, isVersioned, type PolicySetFiles } from './policy-set-files.js';

export class DiffRule {
  @Texts({ description: 'Its type first.' })
  readonly rule!: readonly string[];

  @Text()
  readonly file!: string;

  @Integer()
  readonly line!: number;
}

const fileChanges = ['added', 'removed', 'changed'] as const;

export class DiffFile {
  @Text()
  readonly path!: string;

  @OneOf(fileChanges)
  readonly change!: (typeof fileChanges)[number];
}

export class PolicyDiff {
  @Parts(() => DiffFile)
  readonly files!: readonly DiffFile[];

  @Parts(() => DiffRule, { description: 'Rules that only the later version has, with their place in it.' })
  readonly added!: readonly DiffRule[];

  @Parts(() => DiffRule, { description: 'Rules that only the earlier version has, with their place in it.' })
  readonly removed!: readonly DiffRule[];

  @Flag({
    description: 'Whether rules that both have are in another order, which matters where priorities decide.',
  })
  readonly reordered!: boolean;
}

export class RulesLeftOut {
  @Integer()
  readonly added!: number;

  @Integer()
  readonly removed!: number;
}

/** The same with no more rules than can be sent in one piece. */
export class BoundedDiff extends PolicyDiff {
  @Part(() => RulesLeftOut, {
    optional: true,
    description: 'How many rules were left out of each list; not given when none was.',
  })
  readonly more?: RulesLeftOut;
}

/** Leaves out rules beyond `limit` in each list, and says how many. */
export function boundDiff(diff: PolicyDiff, limit = 10_000): BoundedDiff {
  const more = { added: Math.max(0, diff.added.length - limit), removed: Math.max(0, diff.removed.length - limit) };
  if (more.added + more.removed === 0) return diff;
  return { ...diff, added: diff.added.slice(0, limit), removed: diff.removed.slice(0, limit), more };
}

/** Rules between two pauses: a millisecond or two. */
const rulesPerStep = 1_000;

/**
 * Compares rules by content, not by place; a repeated rule counts each time. It works in steps, since versions can have
 * a hundred thousand rules.
 */
export function* diffPoliciesInSteps(from: PolicySetFiles, to: PolicySetFiles): Generator<void, PolicyDiff> {
  const [linesBefore, linesAfter] = [yield* linesOf(from), yield* linesOf(to)];
  const replaced = yield* replacedLines(linesBefore, linesAfter);
  if (replaced !== undefined) {
    return {
      files: diffFiles(from, to),
      added: replaced.map((at) => toDiffRule({ line: linesAfter[at] as RuleLine })),
      removed: replaced.map((at) => toDiffRule({ line: linesBefore[at] as RuleLine })),
      reordered: false,
    };
  }
  const before = yield* keyed(linesBefore);
  const after = yield* keyed(linesAfter);
  const added = yield* without(after, before);
  const removed = yield* without(before, after);
  const keptBefore = yield* without(before, removed);
  const keptAfter = yield* without(after, added);
  return {
    files: diffFiles(from, to),
    added: added.map(toDiffRule),
    removed: removed.map(toDiffRule),
    reordered: keptBefore.some(({ key }, index) => key !== keptAfter[index]!.key),
  };
}

function diffFiles(from: PolicySetFiles, to: PolicySetFiles): DiffFile[] {
  const [before, after] = [from, to].map(
    ({ files }) => new Map(files.filter(({ path }) => isVersioned(path)).map(({ path, bytes }) => [path, bytes])),
  ) as [Map<string, Uint8Array>, Map<string, Uint8Array>];
  const changes: DiffFile[] = [];
  for (const path of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const [old, now] = [before.get(path), after.get(path)];
    if (old === undefined) changes.push({ path, change: 'added' });
    else if (now === undefined) changes.push({ path, change: 'removed' });
    else if (Buffer.compare(old, now) !== 0) changes.push({ path, change: 'changed' });
  }
  return changes;
}

interface KeyedRule {
  /** The content; equal for equal rules. */
  readonly key: string;
  readonly line: RuleLine;
}

function* linesOf({ files }: PolicySetFiles): Generator<void, readonly RuleLine[]> {
  const lines: RuleLine[] = [];
  for (const { path, bytes } of files.filter((file) => fileRole(file.path) === 'rules')) {
    for (const line of parseRuleLines(new TextDecoder().decode(bytes), path, () => undefined)) {
      lines.push(line);
      if (lines.length % rulesPerStep === 0) yield;
    }
  }
  return lines;
}

/**
 * The places where one rule took the place of another, if that is all that differs: the usual edit of a large file,
 * found without a key for each rule. Undefined if rules came, went or moved.
 */
function* replacedLines(
  before: readonly RuleLine[],
  after: readonly RuleLine[],
): Generator<void, readonly number[] | undefined> {
  if (before.length !== after.length) return undefined;
  const places: number[] = [];
  for (const [at, line] of before.entries()) {
    if (at % rulesPerStep === 0) yield;
    if (saysTheSame(line, after[at] as RuleLine)) continue;
    places.push(at);
    if (places.length > rulesPerStep) return undefined;
  }
  const gone = new Set(places.map((at) => keyOf(before[at] as RuleLine)));
  return places.some((at) => gone.has(keyOf(after[at] as RuleLine))) ? undefined : places;
}

function saysTheSame(one: RuleLine, other: RuleLine): boolean {
  if (one.ptype !== other.ptype || one.fields.length !== other.fields.length) return false;
  return one.fields.every((field, column) => field === other.fields[column]);
}

function keyOf({ ptype, fields }: RuleLine): string {
  return JSON.stringify([ptype, ...fields]);
}

function* keyed(lines: readonly RuleLine[]): Generator<void, readonly KeyedRule[]> {
  const rules: KeyedRule[] = [];
  for (const line of lines) {
    rules.push({ key: keyOf(line), line });
    if (rules.length % rulesPerStep === 0) yield;
  }
  return rules;
}

/** The rules of `these` less those of `others`, each of which takes away one that says the same. */
function* without(these: readonly KeyedRule[], others: readonly KeyedRule[]): Generator<void, readonly KeyedRule[]> {
  const left = new Map<string, number>();
  for (const [index, { key }] of others.entries()) {
    left.set(key, (left.get(key) ?? 0) + 1);
    if (index % rulesPerStep === 0) yield;
  }
  const rest: KeyedRule[] = [];
  for (const [index, rule] of these.entries()) {
    const count = left.get(rule.key) ?? 0;
    if (count > 0) left.set(rule.key, count - 1);
    else rest.push(rule);
    if (index % rulesPerStep === 0) yield;
  }
  return rest;
}

function toDiffRule({ line: { ptype, fields, file, line } }: Pick<KeyedRule, 'line'>): DiffRule {
  return { rule: [ptype, ...fields], file, line };
}
