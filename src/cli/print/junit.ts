/** Results of policy tests, and findings of the linter, as JUnit's XML, as build servers read it. */
import { testNameOf } from '../../core/analysis/policy-tests.js';
import { formatProblem } from '../../core/problem.js';
import { type CheckedSet, filePath, type TestedSet } from './report.js';

export function junitOf(sets: readonly TestedSet[]): string {
  return documentOf(sets.map(suiteOf));
}

/** Findings; a set without findings is a passed test of the name `passed`. */
export function junitOfProblems(sets: readonly CheckedSet[], passed = 'lint'): string {
  const suites = sets.map(({ name, path, problems }) => {
    const cases = problems.map((problem) => {
      const place = `${filePath(path, problem.file)}:${problem.line}:${problem.column}`;
      const text = `${place}: ${problem.severity} ${problem.code}: ${problem.message}${problem.hint === undefined ? '' : `\n${problem.hint}`}`;
      return (
        `    <testcase classname="${escapeXml(name)}" name="${escapeXml(`${problem.code} ${place}`)}" file="${escapeXml(filePath(path, problem.file))}">\n` +
        `      <failure message="${escapeXml(problem.message)}" type="${problem.severity}">${escapeXml(text)}</failure>\n    </testcase>`
      );
    });
    const all =
      cases.length > 0 ? cases : [`    <testcase classname="${escapeXml(name)}" name="${escapeXml(passed)}"/>`];
    const counts = `tests="${all.length}" failures="${cases.length}" errors="0"`;
    return [`  <testsuite name="${escapeXml(name)}" ${counts}>`, ...all, '  </testsuite>'].join('\n');
  });
  return documentOf(suites);
}

function documentOf(suites: readonly string[]): string {
  return ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="verdict">', ...suites, '</testsuites>'].join(
    '\n',
  );
}

function suiteOf({ name, path, problems, results, durationMs }: TestedSet): string {
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  const cases = results.map(({ test, failures }) => {
    const file = filePath(path, test.file);
    const head = `    <testcase classname="${escapeXml(`${name}.${test.file}`)}" name="${escapeXml(testNameOf(test))}" file="${escapeXml(file)}"`;
    if (failures.length === 0) return `${head}/>`;
    const text = `${file}:${test.line}:${test.column}\n${failures.join('\n')}`;
    return `${head}>\n      <failure message="${escapeXml(failures.join('; '))}">${escapeXml(text)}</failure>\n    </testcase>`;
  });
  const errors = problems.map(
    (problem) =>
      `    <testcase classname="${escapeXml(name)}" name="${escapeXml(`loads: ${problem.file}`)}">\n` +
      `      <error message="${escapeXml(problem.message)}">${escapeXml(formatProblem(problem))}</error>\n    </testcase>`,
  );
  const counts = `tests="${results.length + problems.length}" failures="${failed}" errors="${problems.length}"`;
  const head = `  <testsuite name="${escapeXml(name)}" ${counts} time="${(durationMs / 1000).toFixed(3)}">`;
  return [head, ...errors, ...cases, '  </testsuite>'].join('\n');
}

/** XML 1.0 has no way to write most control characters; what a terminal must not see is written as a reference. */
function escapeXml(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF\p{Cs}]/gu, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `&#${character.codePointAt(0)};`);
}
