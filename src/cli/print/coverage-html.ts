/** Coverage as pages that need no script and no network: an overview, and a page for each set with its files. */
import { type Coverage, type CoveredCount, countCoverage, percentOf } from '../../core/analysis/coverage.js';
import type { NamedText } from '../../core/manifest/yaml-document.js';
import { spellUnseen } from '../../core/quote.js';
import { coveredFiles } from './coverage-lcov.js';
import { type CoveredSet, missingOf, percentText } from './coverage-report.js';
import { filePath } from './report.js';

/** A page of a report. Paths are within the folder of the report. */
export interface ReportPage {
  readonly path: string;
  readonly text: string;
}

/** By this a page of an earlier report is known. */
export const pageGenerator = '<meta name="generator" content="verdict test --coverage">';

const style = `:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.source { width: 100%; font-family: ui-monospace, monospace; font-size: 13px }
.source td { padding: 0 .6rem; white-space: pre-wrap; overflow-wrap: anywhere; vertical-align: top }
.source .line, .source .times { width: 1%; text-align: right; opacity: .65; white-space: nowrap }
.covered .text { background: rgb(0 160 60 / .15) } .partly .text { background: rgb(220 160 0 / .22) }
.missed .text { background: rgb(220 40 40 / .2) } .why { display: block; font-style: italic }`;

/** @param textsOf the files of a set */
export function htmlOf(
  sets: readonly CoveredSet[],
  textsOf: (set: CoveredSet) => readonly NamedText[],
): readonly ReportPage[] {
  const names = new Set<string>(['index']);
  const pages = sets.map((set) => ({ set, path: `${freeName(set.name, names)}.html` }));
  const rows = pages.map(({ set, path }) => {
    const counts = countCoverage(set.coverage);
    const cells = [counts.all, counts.rules, counts.terms, counts.roleLinks, counts.effects].map(cellOf).join('');
    return `<tr><td><a href="${encodeURIComponent(path)}">${escaped(set.path)}</a></td>${cells}</tr>`;
  });
  const head = ['policy set', 'all', 'rules', 'terms', 'role links', 'effects'].map((title) => `<th>${title}</th>`);
  const table = `<table>\n<tr>${head.join('')}</tr>\n${rows.join('\n')}\n</table>`;
  return [
    { path: 'index.html', text: pageOf('Coverage of policy tests', table) },
    ...pages.map(({ set, path }) => ({ path, text: pageOf(`Coverage of ${set.path}`, setPage(set, textsOf(set))) })),
  ];
}

/** Sets of two folders may have the same name. */
function freeName(name: string, taken: Set<string>): string {
  const plain = name.replaceAll(/[^\w.-]/g, '_');
  let free = plain;
  for (let number = 2; taken.has(free.toLowerCase()); number++) free = `${plain}-${number}`;
  taken.add(free.toLowerCase());
  return free;
}

function cellOf(counted: CoveredCount): string {
  const percent = percentOf(counted);
  return `<td class="number">${percent === null ? '' : `${percent} %`}</td>`;
}

function setPage({ path, coverage }: CoveredSet, texts: readonly NamedText[]): string {
  const { all, rules, terms, roleLinks, effects } = countCoverage(coverage);
  const parts = [
    ['rules', rules],
    ['terms, true and false', terms],
    ['role links', roleLinks],
    ['effects', effects],
  ] as const;
  const summary = parts
    .filter(([, { total }]) => total > 0)
    .map(([what, counted]) => `<tr><td>${what}</td><td class="number">${percentText(counted)}</td></tr>`);
  const effectRows = coverage.effects.map(
    ({ effect, tests }) => `<tr><td>${escaped(effect)}</td><td class="number">${tests}</td></tr>`,
  );
  return [
    '<p><a href="index.html">all sets</a></p>',
    `<table>\n<tr><td>all</td><td class="number">${percentText(all)}</td></tr>\n${summary.join('\n')}\n</table>`,
    effectRows.length === 0 ? '' : `<h2>Tests by what decided</h2>\n<table>\n${effectRows.join('\n')}\n</table>`,
    ...[...coveredFiles(coverage).keys()].map((file) => fileTable(path, file, coverage, texts)),
  ].join('\n');
}

function fileTable(path: string, file: string, coverage: Coverage, texts: readonly NamedText[]): string {
  const { lines, branches } = coveredFiles(coverage).get(file) ?? { lines: new Map(), branches: new Map() };
  const why = new Map<number, string[]>();
  for (const missing of missingOf(coverage).filter((each) => each.file === file)) {
    const known = why.get(missing.line) ?? [];
    why.set(missing.line, [...known, `${missing.what}: ${missing.text}`]);
  }
  const text = texts.find((each) => each.file === file)?.text ?? '';
  const rows = text
    .replace(/\r?\n$/, '')
    .split(/\r?\n/)
    .map((source, index) => {
      const line = index + 1;
      const missing = why.get(line) ?? [];
      const isCounted = lines.has(line) || branches.has(line);
      const state = !isCounted ? '' : missing.length === 0 ? 'covered' : lines.get(line) === 0 ? 'missed' : 'partly';
      const reasons = missing.map((each) => `<span class="why">${escaped(each)}</span>`).join('');
      const times = lines.get(line) ?? '';
      return `<tr class="${state}"><td class="line">${line}</td><td class="times">${times}</td><td class="text">${escaped(source)}${reasons}</td></tr>`;
    });
  return `<h2>${escaped(filePath(path, file))}</h2>\n<table class="source">\n${rows.join('\n')}\n</table>`;
}

function pageOf(title: string, body: string): string {
  const head = `<meta charset="utf-8">\n${pageGenerator}\n<meta name="viewport" content="width=device-width">\n<title>${escaped(title)}</title>`;
  return `<!doctype html>\n<html lang="en">\n<head>\n${head}\n<style>\n${style}\n</style>\n</head>\n<body>\n<h1>${escaped(title)}</h1>\n${body}\n</body>\n</html>\n`;
}

function escaped(text: string): string {
  return spellUnseen(text, '\n\t')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
