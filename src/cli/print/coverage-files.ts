/** The files of a coverage report, and what is wrong with coverage as a whole. */
import { countCoverage, percentOf } from '../../core/analysis/coverage.js';
import type { NamedText } from '../../core/manifest/yaml-document.js';
import { htmlOf, pageGenerator, type ReportPage } from './coverage-html.js';
import { lcovOf } from './coverage-lcov.js';
import { type CoveredSet, percentText } from './coverage-report.js';
import type { TestedSet } from './report.js';

/** Whether a file is one of an earlier report, which may be written over. */
export function isCoverageFile(path: string, text: string): boolean {
  return path.endsWith('.html') ? text.includes(pageGenerator) : /^(TN:|$)/.test(text);
}

export function coverageFiles(
  sets: readonly CoveredSet[],
  formats: readonly ('html' | 'lcov')[],
  textsOf: (set: CoveredSet) => readonly NamedText[],
): readonly ReportPage[] {
  return [...new Set(formats)].flatMap((format) => {
    return format === 'html' ? htmlOf(sets, textsOf) : [{ path: 'lcov.info', text: lcovOf(sets) }];
  });
}

export function coveredSets(sets: readonly TestedSet[]): readonly CoveredSet[] {
  return sets.flatMap(({ name, path, coverage }) => (coverage === undefined ? [] : [{ name, path, coverage }]));
}

/** Sets that are covered less than is wanted. A set that cannot be measured does not pass; one that does not load fails anyway. */
export function coverageFindings(sets: readonly TestedSet[], least: number | undefined): readonly string[] {
  if (least === undefined) return [];
  return sets.flatMap(({ path, coverage, problems }) => {
    if (coverage === undefined) {
      return problems.length > 0
        ? []
        : [`${path} has no coverage, since it runs on stock Casbin: --coverage-min ${least}`];
    }
    const { all } = countCoverage(coverage);
    const percent = percentOf(all);
    if (percent === null) return [`${path} has no coverage, since there is nothing to cover: --coverage-min ${least}`];
    return percent >= least ? [] : [`${path} is covered by ${percentText(all)}, which is less than ${least} %`];
  });
}
