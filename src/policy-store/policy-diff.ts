/** What is different between two versions of a policy set. */
import { parseRules, type RuleLine } from '../core/casbin/rules-document.js';
import { fileRole, isVersioned, type PolicySetFiles } from './policy-set-files.js';

export interface PolicyDiff {
  readonly files: readonly { readonly path: string; readonly change: 'added' | 'removed' | 'changed' }[];
  /** Rules that only the later version has, with their place in it. */
  readonly added: readonly DiffRule[];
  /** Rules that only the earlier version has, with their place in it. */
  readonly removed: readonly DiffRule[];
  /** Whether rules that both have stand in another order, which matters where priorities decide. */
  readonly reordered: boolean;
}

export interface DiffRule {
  /** Its type first: `['p', 'manager', 'invoice', 'approve']`. */
  readonly rule: readonly string[];
  readonly file: string;
  readonly line: number;
}

/** Rules are compared by what they say, wherever they stand; a rule that stands twice counts twice. */
export function diffPolicies(from: PolicySetFiles, to: PolicySetFiles): PolicyDiff {
  const [before, after] = [rulesOf(from), rulesOf(to)];
  const added = without(after, before);
  const removed = without(before, after);
  const [keptBefore, keptAfter] = [without(before, removed), without(after, added)];
  return {
    files: diffFiles(from, to),
    added: added.map(toDiffRule),
    removed: removed.map(toDiffRule),
    reordered: keptBefore.some((rule, index) => keyOf(rule) !== keyOf(keptAfter[index] as RuleLine)),
  };
}

function diffFiles(from: PolicySetFiles, to: PolicySetFiles): PolicyDiff['files'] {
  const [before, after] = [from, to].map(
    ({ files }) => new Map(files.filter(({ path }) => isVersioned(path)).map(({ path, bytes }) => [path, bytes])),
  ) as [Map<string, Uint8Array>, Map<string, Uint8Array>];
  const changes: { path: string; change: 'added' | 'removed' | 'changed' }[] = [];
  for (const path of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const [old, now] = [before.get(path), after.get(path)];
    if (old === undefined) changes.push({ path, change: 'added' });
    else if (now === undefined) changes.push({ path, change: 'removed' });
    else if (Buffer.compare(old, now) !== 0) changes.push({ path, change: 'changed' });
  }
  return changes;
}

function rulesOf({ files }: PolicySetFiles): readonly RuleLine[] {
  return files
    .filter(({ path }) => fileRole(path) === 'rules')
    .flatMap(({ path, bytes }) => parseRules(new TextDecoder().decode(bytes), path, () => undefined));
}

/** The rules of `these` less those of `others`, each of which takes away one that says the same. */
function without(these: readonly RuleLine[], others: readonly RuleLine[]): readonly RuleLine[] {
  const left = new Map<string, number>();
  for (const rule of others) left.set(keyOf(rule), (left.get(keyOf(rule)) ?? 0) + 1);
  return these.filter((rule) => {
    const count = left.get(keyOf(rule)) ?? 0;
    if (count > 0) left.set(keyOf(rule), count - 1);
    return count === 0;
  });
}

function keyOf({ ptype, fields }: RuleLine): string {
  return JSON.stringify([ptype, ...fields]);
}

function toDiffRule({ ptype, fields, file, line }: RuleLine): DiffRule {
  return { rule: [ptype, ...fields], file, line };
}
