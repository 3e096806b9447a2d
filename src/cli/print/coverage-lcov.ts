/**
 * Coverage as an LCOV trace file (geninfo(1)): a rule or role link is a line with the number of tests that used it, a term
 * is a branch with two ways.
 */
import type { Coverage, CoveredPlace } from '../../core/analysis/coverage.js';
import type { CoveredSet } from './coverage-report.js';
import { filePath } from './report.js';

interface CoveredFile {
  readonly lines: Map<number, number>;
  /** By line: of each term whether it was true, and whether it was false; undefined if it was never asked. */
  readonly branches: Map<number, (readonly [boolean, boolean] | undefined)[]>;
}

export function lcovOf(sets: readonly CoveredSet[]): string {
  return sets
    .flatMap(({ path, coverage }) =>
      [...coveredFiles(coverage)].map(([file, found]) => recordOf(filePath(path, file), found)),
    )
    .join('');
}

/** The files of a set in which something is counted, in the order of their names. */
export function coveredFiles(coverage: Coverage): ReadonlyMap<string, CoveredFile> {
  const files = new Map<string, CoveredFile>();
  const fileOf = ({ file }: CoveredPlace): CoveredFile => {
    let found = files.get(file);
    if (found === undefined) {
      found = { lines: new Map(), branches: new Map() };
      files.set(file, found);
    }
    return found;
  };
  const countLine = (place: CoveredPlace, times: number): void => {
    const { lines } = fileOf(place);
    lines.set(place.line, Math.max(lines.get(place.line) ?? 0, times));
  };
  for (const rule of coverage.rules) countLine(rule, rule.decided);
  for (const link of coverage.roleLinks) countLine(link, link.used);
  for (const term of coverage.terms) {
    const { seenTrue, seenFalse, erred, of } = term;
    const { branches } = fileOf(term);
    const isAsked = seenTrue || seenFalse || erred;
    const known = branches.get(term.line) ?? [];
    branches.set(term.line, [...known, isAsked ? [seenTrue, seenFalse] : undefined]);
    // The line of a condition is that of its rule. A rule that the policy effect does not read has no line.
    if (of !== 'condition' || !fileOf(term).lines.has(term.line)) countLine(term, isAsked ? 1 : 0);
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function recordOf(path: string, { lines, branches }: CoveredFile): string {
  const rows = ['TN:', `SF:${path}`];
  let [branchesFound, branchesHit] = [0, 0];
  for (const [line, terms] of sorted(branches)) {
    for (const [block, ways] of terms.entries()) {
      for (const branch of [0, 1] as const) {
        const taken = ways === undefined ? '-' : Number(ways[branch]);
        rows.push(`BRDA:${line},${block},${branch},${taken}`);
        branchesFound++;
        if (taken === 1) branchesHit++;
      }
    }
  }
  rows.push(`BRF:${branchesFound}`, `BRH:${branchesHit}`);
  for (const [line, times] of sorted(lines)) rows.push(`DA:${line},${times}`);
  const hit = [...lines.values()].filter((times) => times > 0).length;
  rows.push(`LF:${lines.size}`, `LH:${hit}`, 'end_of_record', '');
  return rows.join('\n');
}

function sorted<Value>(byLine: ReadonlyMap<number, Value>): readonly [number, Value][] {
  return [...byLine].sort(([a], [b]) => a - b);
}
