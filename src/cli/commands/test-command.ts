import { type Command, InvalidArgumentError, Option } from 'commander';
import { measureCoverage } from '../../core/analysis/coverage.js';
import { mutateInSteps } from '../../core/analysis/mutation.js';
import { failureProblem, readPolicyTests, testNameOf } from '../../core/analysis/policy-tests.js';
import { engineVersion } from '../../core/engine/engine-version.js';
import type { NamedText } from '../../core/manifest/yaml-document.js';
import { PolicyError, type PolicyProblem } from '../../core/problem.js';
import type { TestBudget } from '../../policy-store/run-tests.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { namePattern, outputOption, percentage, positiveInteger } from '../options.js';
import { coverageFiles, coverageFindings, coveredSets, isCoverageFile } from '../print/coverage-files.js';
import { coverageJson, printCoverage } from '../print/coverage-report.js';
import { printWhy } from '../print/explanation-report.js';
import { junitOf } from '../print/junit.js';
import { mutationFindings, mutationJson, printMutation } from '../print/mutation-report.js';
import { type CheckedSet, count, filePath, printProblems, sarifOf, type TestedSet } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { allTexts, compileFolder, foldersOf, givenPaths, type PolicyFolder } from '../sources/policy-folder.js';
import { servedEngine } from '../sources/served-engine.js';
import { addServerOptions } from '../sources/server.js';
import { writeReport } from '../sources/write-file.js';
import { addRecordFilters } from './log-filters.js';
import { runOnChange } from './run-on-change.js';
import type { GenerateOptions } from './test-generate-command.js';

interface TestOptions {
  readonly output: 'text' | 'json' | 'junit' | 'sarif';
  readonly watch?: true;
  readonly filter?: NameTest;
  readonly coverage?: true;
  readonly coverageOutput?: readonly CoverageFormat[];
  readonly coverageDir?: string;
  readonly coverageMin?: number;
  readonly mutate?: true;
  readonly mutateMax?: number;
  readonly mutateMin?: number;
}

/** Mutants that are tried where the command line does not say how many: some seconds, for a set of some hundred rules. */
const defaultMutateMax = 1_000;
/** Tests that `test generate` writes: more than somebody reads. */
const defaultGenerateMax = 1_000;

type NameTest = (name: string) => boolean;
type CoverageFormat = 'html' | 'lcov';

function coverageFormats(text: string): readonly CoverageFormat[] {
  return text.split(',').map((format) => {
    if (format === 'html' || format === 'lcov') return format;
    throw new InvalidArgumentError('Allowed choices are html, lcov.');
  });
}

export function addTestCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('test [folders...]')
    // `--filter` behind `generate` is another one.
    .enablePositionalOptions()
    .summary('run the tests of policy sets')
    .description(
      'Runs tests/*.yaml of each set, as the service does before it serves a version. docs/policy-format.md says how they\n' +
        'are written. Exit code 1 when a test fails, or a set does not load.',
    )
    .addOption(outputOption('text', 'json', 'junit', 'sarif'))
    .option('--watch', 'run them again whenever a file changes, until interrupted')
    .option('--filter <name>', 'only tests whose name has this text, or matches /this expression/', namePattern)
    .option('--coverage', 'say which rules, terms, role links and effects the tests have not shown')
    .option('--coverage-output <formats>', 'also write it as files: html, lcov, or both with a comma', coverageFormats)
    .option('--coverage-dir <folder>', 'where these files go (default: "coverage")')
    .option('--coverage-min <percent>', 'exit code 1 when a set is covered less', percentage)
    .option('--mutate', 'run the tests on small changes of each set, and say which of these no test finds')
    .option(
      '--mutate-max <number>',
      `try so many changes of a set at most (default: ${defaultMutateMax})`,
      positiveInteger,
    )
    .option('--mutate-min <percent>', 'exit code 1 when the tests of a set find less of them', percentage)
    .addHelpText(
      'after',
      '\nExamples:\n  verdict test policies/invoices --watch\n  verdict test --output junit > results.xml\n' +
        '  verdict test policies/invoices --coverage --coverage-min 90 --coverage-output html,lcov\n' +
        '  verdict test --filter "up to the limit"\n',
    )
    .action(async (paths: string[], options: TestOptions) => {
      checkOptions(options);
      const run = () => testFolders(paths, options, terminal);
      if (options.watch === undefined) process.exitCode = await run();
      else {
        const line = () => terminal.print(terminal.style('dim', `— ${new Date().toISOString().slice(11, 19)}`));
        await runOnChange(await givenPaths(paths), run, terminal, { again: line });
      }
    });
  addGenerate(command, terminal);
}

function addGenerate(test: Command, terminal: Terminal): void {
  const command = addServerOptions(test.command('generate <folder>'))
    .summary('write tests of what was decided')
    .description(
      'Writes tests from logged decisions: one for each rule, or other reason, that decided, and each effect and shape of\n' +
        'request, with all that was answered. Only decisions that the folder makes in the same way become tests.',
    )
    .addOption(new Option('--database <database>', "a service's database: a file or postgres://…").conflicts('url'))
    .addOption(
      new Option('--file <export>', 'a file that `verdict log export` wrote').conflicts(['url', 'database', 'filter']),
    )
    .option('--write <file>', 'the file to write (default: tests/logged.yaml of the folder)')
    .option('--force', 'write over a file that is there')
    .option('--max <number>', 'write so many tests at most', positiveInteger, defaultGenerateMax)
    .addHelpText(
      'after',
      '\nExamples:\n  verdict test generate policies/invoices --url http://127.0.0.1:3000 --from 2026-11-01\n' +
        '  verdict test generate policies/invoices --file decisions.ndjson --write policies/invoices/tests/november.yaml\n',
    );
  addRecordFilters(command, { times: true });
  command.action(async (folder: string, options: GenerateOptions) => {
    const { generateTests } = await import('./test-generate-command.js');
    await generateTests(folder, options, terminal);
  });
}

function checkOptions(options: TestOptions): void {
  const { coverage, coverageOutput, coverageDir, coverageMin, mutate, mutateMax, mutateMin } = options;
  if (mutate === undefined && (mutateMax ?? mutateMin) !== undefined) {
    throw new UsageError(`${mutateMax === undefined ? '--mutate-min' : '--mutate-max'} goes with --mutate`);
  }
  if (coverage === undefined && (coverageOutput ?? coverageMin) !== undefined) {
    throw new UsageError(
      `${coverageOutput === undefined ? '--coverage-min' : '--coverage-output'} goes with --coverage`,
    );
  }
  if (coverageDir !== undefined && coverageOutput === undefined) {
    throw new UsageError('--coverage-dir goes with --coverage-output');
  }
}

async function testFolders(paths: readonly string[], options: TestOptions, terminal: Terminal): Promise<number> {
  const sets: TestedSet[] = [];
  const folders = await foldersOf(paths);
  for (const folder of folders) {
    terminal.progress(`testing ${folder.name}`);
    const set = await testFolder(folder, undefined, options.filter);
    const measured = options.coverage === undefined ? set : withCoverage(set, folder, terminal);
    sets.push(options.mutate === undefined ? measured : withMutation(measured, folder, options, terminal));
  }
  terminal.progress('');
  if (options.coverageOutput !== undefined) {
    const textsOf = ({ path }: { readonly path: string }) =>
      allTexts(folders.find((folder) => folder.path === path)?.files ?? []);
    const files = coverageFiles(coveredSets(sets), options.coverageOutput, textsOf);
    await writeReport(options.coverageDir ?? 'coverage', files, isCoverageFile);
  }
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
      for (const set of sets) printSet(terminal, set, options);
      printTotal(terminal, sets);
      break;
    default:
      return options.output satisfies never;
  }
  const findings = [
    ...findingsOfFilter(sets, options),
    ...coverageFindings(sets, options.coverageMin),
    ...mutationFindings(sets, options.mutateMin),
  ];
  for (const finding of findings) {
    if (options.output === 'text') terminal.print(terminal.style('red', finding));
    else terminal.remark(finding);
  }
  return findings.length > 0 || sets.some(isBroken) ? exitCodes.findings : exitCodes.fine;
}

/** A run without a test must not pass for one in which all passed. */
function findingsOfFilter(sets: readonly TestedSet[], { filter }: TestOptions): readonly string[] {
  const isEmpty = filter !== undefined && sets.every(({ results, problems }) => results.length + problems.length === 0);
  return isEmpty ? ['no test has such a name'] : [];
}

function withCoverage(tested: TestedSet, folder: PolicyFolder, terminal: Terminal): TestedSet {
  const { set, results } = tested;
  if (set === undefined) return tested;
  const work = measureCoverage(set.compiled, results, allTexts(folder.files));
  return { ...tested, coverage: terminal.finish(`measuring ${tested.name}`, work) };
}

function withMutation(tested: TestedSet, folder: PolicyFolder, options: TestOptions, terminal: Terminal): TestedSet {
  const { set, results, name } = tested;
  if (set === undefined || isBroken(tested)) return tested;
  const texts = allTexts(folder.files);
  const tests = results.map(({ test }) => test);
  const load = (changed: NamedText) => {
    const bytes = Buffer.from(changed.text);
    const files = folder.files.map((file) => (file.path === changed.file ? { ...file, bytes } : file));
    const { compiled, problems } = compileFolder({ ...folder, files });
    return problems.some(({ severity }) => severity === 'error') ? undefined : compiled;
  };
  const work = mutateInSteps(set.compiled, { texts, tests, most: options.mutateMax ?? defaultMutateMax, load });
  return { ...tested, mutation: terminal.finish(`trying mutants of ${name}`, work) };
}

/** @param isWanted whether a test is to be asked, by its name; all are without it */
export async function testFolder(
  folder: PolicyFolder,
  budget?: TestBudget,
  isWanted: NameTest = () => true,
): Promise<TestedSet> {
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
  const { tests, problems, others } = readPolicyTests(set.tests, entities, 'files', manifest);
  try {
    const engine = await servedEngine({ ...set, compiled }, budget);
    const { results, problems: costly } = await engine.test(tests.filter((test) => isWanted(testNameOf(test))));
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

function printSet(terminal: Terminal, set: TestedSet, { coverage, mutate }: TestOptions): void {
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
  if (set.coverage !== undefined) printCoverage(terminal, set.path, set.coverage);
  else if (coverage && set.problems.length === 0) terminal.print('  has no coverage: it runs on stock Casbin');
  if (set.mutation !== undefined) printMutation(terminal, set.path, set.mutation);
  else if (mutate && set.problems.length === 0) {
    terminal.print(`  has no mutants: ${failed.length > 0 ? 'its tests must pass first' : 'it runs on stock Casbin'}`);
  }
}

function printTotal(terminal: Terminal, sets: readonly TestedSet[]): void {
  const results = sets.flatMap((set) => set.results);
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  terminal.print(`${count(results.length, 'test')} in ${count(sets.length, 'policy set')}, ${failed} failed`);
}

function jsonOf({ name, path, problems, results, leftOut, coverage, mutation }: TestedSet): object {
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
    ...(coverage !== undefined && { coverage: coverageJson(coverage) }),
    ...(mutation !== undefined && { mutation: mutationJson(mutation) }),
  };
}
