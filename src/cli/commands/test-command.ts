import type { Command } from 'commander';
import { failureProblem, readPolicyTests, testNameOf } from '../../core/analysis/policy-tests.js';
import { engineVersion } from '../../core/engine/engine-version.js';
import { PolicyError, type PolicyProblem } from '../../core/problem.js';
import type { TestBudget } from '../../policy-store/run-tests.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { printWhy } from '../print/explanation-report.js';
import { junitOf } from '../print/junit.js';
import { type CheckedSet, count, filePath, printProblems, sarifOf, type TestedSet } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { compileFolder, foldersOf, givenPaths, type PolicyFolder } from '../sources/policy-folder.js';
import { servedEngine } from '../sources/served-engine.js';
import { watchFolders } from '../sources/watch.js';

interface TestOptions {
  readonly output: 'text' | 'json' | 'junit' | 'sarif';
  readonly watch?: true;
}

export function addTestCommand(program: Command, terminal: Terminal): void {
  program
    .command('test [folders...]')
    .summary('run the tests of policy sets')
    .description(
      'Runs tests/*.yaml of each set, as the service does before it serves a version. docs/policy-format.md says how they\n' +
        'are written. Exit code 1 when a test fails, or a set does not load.',
    )
    .addOption(outputOption('text', 'json', 'junit', 'sarif'))
    .option('--watch', 'run them again whenever a file changes, until interrupted')
    .addHelpText(
      'after',
      '\nExamples:\n  verdict test policies/invoices --watch\n  verdict test --output junit > results.xml\n',
    )
    .action(async (paths: string[], options: TestOptions) => {
      if (options.watch === true) await watchTests(await givenPaths(paths), options, terminal);
      else process.exitCode = await testFolders(paths, options, terminal);
    });
}

async function watchTests(paths: readonly string[], options: TestOptions, terminal: Terminal): Promise<void> {
  // The reader has closed the pipe.
  process.stdout.on('error', () => process.exit());
  let runs = 0;
  for await (const _ of watchFolders(paths)) {
    if (runs++ > 0) terminal.print(terminal.style('dim', `— ${new Date().toISOString().slice(11, 19)}`));
    try {
      process.exitCode = await testFolders(paths, options, terminal);
    } catch (error) {
      // A missing folder may come back: git checks out another branch, or an editor writes it again.
      if (!(error instanceof UsageError) || runs === 1) throw error;
      terminal.remark(`verdict: ${error.message}`);
    }
  }
}

async function testFolders(paths: readonly string[], options: TestOptions, terminal: Terminal): Promise<number> {
  const sets: TestedSet[] = [];
  for (const folder of await foldersOf(paths)) {
    terminal.progress(`testing ${folder.name}`);
    sets.push(await testFolder(folder));
  }
  terminal.progress('');
  switch (options.output) {
    case 'json':
      terminal.printJson({ sets: sets.map(jsonOf) });
      break;
    case 'junit':
      terminal.printLines(junitOf(sets));
      break;
    case 'sarif':
      terminal.printJson(sarifOf(sets.map(checkedSet), engineVersion));
      break;
    case 'text':
      for (const set of sets) printSet(terminal, set);
      printTotal(terminal, sets);
      break;
    default:
      return options.output satisfies never;
  }
  return sets.some(isBroken) ? exitCodes.findings : exitCodes.fine;
}

export async function testFolder(folder: PolicyFolder, budget?: TestBudget): Promise<TestedSet> {
  const start = performance.now();
  const set = compileFolder(folder);
  const { compiled } = set;
  const errors = set.problems.filter(({ severity }) => severity === 'error');
  const { name, path } = folder;
  const broken = (problems: readonly PolicyProblem[]): TestedSet => {
    return { name, path, problems, results: [], leftOut: [], durationMs: performance.now() - start };
  };
  if (compiled === undefined || errors.length > 0) return broken(errors);
  const { entities, manifest } = compiled;
  const { tests, problems, others } = readPolicyTests(set.tests, entities, 'files', manifest.data !== undefined);
  try {
    const engine = await servedEngine({ ...set, compiled }, budget);
    const { results, problems: costly } = await engine.test(tests);
    await engine.stop();
    return {
      name,
      path,
      problems: [...problems, ...costly],
      results,
      leftOut: others,
      set: engine.own,
      durationMs: performance.now() - start,
    };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return broken(error.problems);
  }
}

/** Failing tests, as the problems that the service reports for them. */
function checkedSet({ name, path, problems, results }: TestedSet): CheckedSet {
  return { name, path, problems: [...problems, ...results.flatMap((result) => failureProblem(result) ?? [])] };
}

function isBroken({ problems, results }: TestedSet): boolean {
  return problems.length > 0 || results.some(({ failures }) => failures.length > 0);
}

function printSet(terminal: Terminal, set: TestedSet): void {
  const failed = set.results.filter(({ failures }) => failures.length > 0);
  const mark = isBroken(set) ? terminal.style('red', '✗') : terminal.style('green', '✓');
  const passed = `${set.results.length - failed.length} of ${count(set.results.length, 'test')} passed`;
  const summary = set.problems.length > 0 ? 'does not load' : set.results.length === 0 ? 'has no tests' : passed;
  terminal.print(`${mark} ${terminal.style('bold', set.name)} ${summary}`);
  printProblems(terminal, set);
  for (const file of set.leftOut) terminal.print(`  ${filePath(set.path, file)} was left out: it asks about live data`);
  for (const { test, failures } of failed) {
    terminal.print(
      `  ${filePath(set.path, test.file)}:${test.line}:${test.column}: ${terminal.style('bold', testNameOf(test))}`,
    );
    for (const failure of failures) terminal.print(`    ${terminal.style('red', failure)}`);
    const asked = set.set?.decide(test.request, { now: test.now, explain: 'full' });
    if (asked?.explanation !== undefined) printWhy(terminal, asked.explanation);
  }
}

function printTotal(terminal: Terminal, sets: readonly TestedSet[]): void {
  const results = sets.flatMap((set) => set.results);
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  terminal.print(`${count(results.length, 'test')} in ${count(sets.length, 'policy set')}, ${failed} failed`);
}

function jsonOf({ name, path, problems, results, leftOut }: TestedSet): object {
  return {
    name,
    path,
    problems,
    ...(leftOut.length > 0 && { leftOut }),
    tests: results.map(({ test, decision, failures }) => ({
      name: testNameOf(test),
      file: test.file,
      line: test.line,
      column: test.column,
      passed: failures.length === 0,
      failures,
      decision: decision.decision,
      reason: decision.reason,
    })),
  };
}
