/** What the tests of a policy set cover, for people and programs. */
import {
  type Coverage,
  type CoveredCount,
  type CoveredPlace,
  countCoverage,
  percentOf,
} from '../../core/analysis/coverage.js';
import { count, filePath } from './report.js';
import type { Terminal } from './terminal.js';

/** Lines of what is missing in one set; `--output json` has all. */
const maxListed = 100;

export interface CoveredSet {
  readonly name: string;
  readonly path: string;
  readonly coverage: Coverage;
}

interface Missing extends CoveredPlace {
  readonly what: string;
  readonly text: string;
}

/** What no test has shown, in the order of the files: `rules.csv:7:1: never decided: p, ann, letter, read`. */
export function missingOf({ rules, terms, roleLinks }: Coverage): readonly Missing[] {
  const missing: Missing[] = [];
  for (const { decided, matched, rule, ...place } of rules) {
    if (decided > 0) continue;
    const what = matched > 0 ? 'matched, but never decided' : 'never matched';
    missing.push({ ...pick(place), what, text: rule.join(', ') });
  }
  for (const { seenTrue, seenFalse, erred, term, ...place } of terms) {
    const what = whatOfTerm(seenTrue, seenFalse, erred);
    if (what !== undefined) missing.push({ ...pick(place), what, text: term });
  }
  for (const { used, link, ...place } of roleLinks) {
    if (used === 0) missing.push({ ...pick(place), what: 'never used', text: link.join(', ') });
  }
  const order = (a: Missing, b: Missing): number => a.line - b.line || a.column - b.column;
  return missing.sort((a, b) => (a.file === b.file ? order(a, b) : a.file < b.file ? -1 : 1));
}

function pick({ file, line, column }: CoveredPlace): CoveredPlace {
  return { file, line, column };
}

function whatOfTerm(seenTrue: boolean, seenFalse: boolean, erred: boolean): string | undefined {
  if (seenTrue && seenFalse) return undefined;
  if (seenTrue) return 'never false';
  if (seenFalse) return 'never true';
  return erred ? 'never true or false, it erred' : 'never asked';
}

/** `91.2 % (52 of 57)` */
export function percentText(counted: CoveredCount): string {
  const percent = percentOf(counted);
  return percent === null ? 'none: there is nothing to cover' : `${percent} % (${counted.covered} of ${counted.total})`;
}

export function printCoverage(terminal: Terminal, path: string, coverage: Coverage): void {
  const { all, rules, terms, roleLinks, effects } = countCoverage(coverage);
  terminal.print(`  coverage ${terminal.style('bold', percentText(all))}`);
  const say = (what: string, { covered, total }: CoveredCount, how: string): void => {
    if (total > 0) terminal.print(`    ${what.padEnd(11)} ${covered} of ${total} ${how}`);
  };
  say('rules', rules, 'decided a test');
  say('terms', terms, `outcomes: ${count(coverage.terms.length, 'term')}, each true and false`);
  say('role links', roleLinks, 'were used');
  say('effects', effects, 'decided a test');
  const missing = missingOf(coverage);
  for (const { file, line, column, what, text } of missing.slice(0, maxListed)) {
    terminal.print(`  ${filePath(path, file)}:${line}:${column}: ${terminal.style('yellow', what)}: ${text}`);
  }
  if (missing.length > maxListed) {
    terminal.print(`  and ${missing.length - maxListed} more: --output json lists all`);
  }
  for (const { effect, tests } of coverage.effects) {
    if (tests === 0) terminal.print(`  ${terminal.style('yellow', 'no test is decided by')} ${effect}`);
  }
}

export function coverageJson(coverage: Coverage): object {
  const counts = countCoverage(coverage);
  return { percent: percentOf(counts.all), counts, ...coverage };
}
