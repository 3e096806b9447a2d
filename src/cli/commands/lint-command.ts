import { type Command, Option } from 'commander';
import { lint } from '../../core/analysis/lint.js';
import { failureProblem, readPolicyTests } from '../../core/analysis/policy-tests.js';
import { changesSince } from '../../core/analysis/since.js';
import { engineVersion } from '../../core/engine/engine-version.js';
import { PolicyError, type PolicyProblem } from '../../core/problem.js';
import { semanticsBeforeNumbers } from '../../core/semantics.js';
import type { TestBudget } from '../../policy-store/run-tests.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { junitOfProblems } from '../print/junit.js';
import { type CheckedSet, count, printProblems, sarifOf } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import {
  compileFolder,
  foldersOf,
  givenPaths,
  type LoadedFolder,
  type PolicyFolder,
} from '../sources/policy-folder.js';
import { servedEngine } from '../sources/served-engine.js';
import { runOnChange } from './run-on-change.js';

interface LintOptions {
  readonly output: 'text' | 'json' | 'junit' | 'sarif';
  readonly errorsOnly?: true;
  readonly since?: '0.1';
  readonly watch?: true;
}

export function addLintCommand(program: Command, terminal: Terminal): void {
  program
    .command('lint [folders...]')
    .summary('find what is wrong, and what has no effect')
    .description(
      'Checks policy sets as the service does when it loads them, tests included, and looks for rules that do nothing.\n' +
        'docs/lint.md has a page for every warning. Exit code 1 when something was found.',
    )
    .addOption(outputOption('text', 'json', 'junit', 'sarif'))
    .option('--errors-only', 'warnings are shown, but do not change the exit code')
    .addOption(new Option('--since <version>', 'only what changed for a set that this version served').choices(['0.1']))
    .option('--watch', 'check them again whenever a file changes, until interrupted; docs/editors.md is about it')
    .addHelpText(
      'after',
      '\nExamples:\n  verdict lint policies\n  verdict lint policies/invoices --output sarif > lint.sarif\n',
    )
    .action(async (paths: string[], options: LintOptions) => {
      if (options.watch === undefined) process.exitCode = await lintFolders(paths, options, terminal);
      else await watchLint(paths, options, terminal);
    });
}

/** Between a first and a last line, by which an editor knows where the findings begin that replace those before. */
async function watchLint(paths: readonly string[], options: LintOptions, terminal: Terminal): Promise<void> {
  if (options.output !== 'text') throw new UsageError('--watch prints text: leave --output out');
  const begin = () => terminal.print(`lint begins at ${new Date().toISOString().slice(11, 19)}`);
  const run = () => lintFolders(paths, options, terminal, 'lint ends: ');
  const failed = () => terminal.print('lint ends: nothing was checked');
  await runOnChange(await givenPaths(paths), run, terminal, { first: begin, again: begin, failed });
}

async function lintFolders(
  paths: readonly string[],
  options: LintOptions,
  terminal: Terminal,
  before = '',
): Promise<number> {
  const folders = await foldersOf(paths);
  const sets: CheckedSet[] = [];
  for (const folder of folders) {
    terminal.progress(`linting ${folder.name}`);
    sets.push({
      name: folder.name,
      path: folder.path,
      problems: options.since === undefined ? await lintFolder(folder) : lintSince(folder),
    });
  }
  terminal.progress('');
  const all = sets.flatMap(({ problems }) => problems);
  const errors = all.filter(({ severity }) => severity === 'error').length;
  switch (options.output) {
    case 'json':
      terminal.printJson({ sets });
      break;
    case 'junit':
      terminal.printLines(junitOfProblems(sets));
      break;
    case 'sarif':
      terminal.printJson(sarifOf(sets, engineVersion));
      break;
    case 'text': {
      for (const set of sets) printProblems(terminal, set);
      const found = `${count(errors, 'error')}, ${count(all.length - errors, 'warning')}`;
      terminal.print(`${before}${found} in ${count(sets.length, 'policy set')}`);
      break;
    }
    default:
      return options.output satisfies never;
  }
  const findings = options.errorsOnly === true ? errors : all.length;
  return findings === 0 ? exitCodes.fine : exitCodes.findings;
}

/** Reports what today's defaults change in a set that 0.1 served. */
function lintSince(folder: PolicyFolder): readonly PolicyProblem[] {
  const now = compileFolder(folder);
  return changesSince(compileFolder(folder, semanticsBeforeNumbers), now, now.options);
}

/** All problems of a set: those of the loader, its failing tests, and the linter's warnings. */
export async function lintFolder(folder: PolicyFolder, budget?: TestBudget): Promise<readonly PolicyProblem[]> {
  const set = compileFolder(folder);
  const { compiled, problems, texts } = set;
  if (compiled === undefined) return lint(undefined, problems, texts);
  const isBroken = problems.some(({ severity }) => severity === 'error');
  const failing = isBroken ? [] : await problemsOfEngineAndTests({ ...set, compiled }, budget);
  return lint(compiled, [...problems, ...failing], texts);
}

async function problemsOfEngineAndTests(
  set: LoadedFolder,
  budget: TestBudget | undefined,
): Promise<readonly PolicyProblem[]> {
  const { entities, manifest } = set.compiled;
  const { tests, problems } = readPolicyTests(set.tests, entities, 'files', manifest);
  try {
    const engine = await servedEngine(set, budget);
    const { results, problems: costly } = await engine.test(tests);
    await engine.stop();
    return [...problems, ...results.flatMap((result) => failureProblem(result) ?? []), ...costly];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return [...problems, ...error.problems];
  }
}
