/** Results of policy tests as JUnit's XML, as build servers read it. */
import { nameOf } from '../core/analysis/policy-tests.js';
import { formatProblem } from '../core/problem.js';
import { filePath } from './report.js';
import type { TestedSet } from './test-command.js';

export function junitOf(sets: readonly TestedSet[]): string {
  const suites = sets.map(suiteOf);
  return ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="verdict">', ...suites, '</testsuites>'].join(
    '\n',
  );
}

function suiteOf({ name, path, problems, results, durationMs }: TestedSet): string {
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  const cases = results.map(({ test, failures }) => {
    const file = filePath(path, test.file);
    const head = `    <testcase classname="${escapeXml(`${name}.${test.file}`)}" name="${escapeXml(nameOf(test))}" file="${escapeXml(file)}"`;
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

/** XML 1.0 has no way to write most control characters. */
function escapeXml(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/g, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
