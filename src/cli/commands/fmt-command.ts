import { join } from 'node:path';
import type { Command } from 'commander';
import { type Formatted, formatModel, formatRules } from '../../core/analysis/format.js';
import type { PolicyProblem } from '../../core/problem.js';
import { fileRole, type PolicyFile } from '../../policy-store/policy-set-files.js';
import { textsOf } from '../../policy-store/policy-set-texts.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { count, filePath, printProblems } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { foldersOf, type PolicyFolder } from '../sources/policy-folder.js';
import { replaceFile } from '../sources/write-file.js';

export function addFmtCommand(program: Command, terminal: Terminal): void {
  program
    .command('fmt [folders...]')
    .summary('write rules and models in the one common form')
    .description(
      'Formats model.conf and the CSV files of policy sets in place. Comments stay, and so does what the set means;\n' +
        'a file that cannot be read is left as it is.',
    )
    .option('--check', 'write nothing; exit code 1 when a file is not in that form')
    .addHelpText('after', '\nExamples:\n  verdict fmt policies\n  verdict fmt --check policies/invoices\n')
    .action(async (paths: string[], { check }: { check?: true }) => {
      process.exitCode = await formatFolders(paths, check === true, terminal);
    });
}

async function formatFolders(paths: readonly string[], check: boolean, terminal: Terminal): Promise<number> {
  let changed = 0;
  let refused = 0;
  for (const folder of await foldersOf(paths)) {
    const problems = folder.problems.filter(({ severity }) => severity === 'error');
    for (const { path, before, formatted } of formattedFiles(folder)) {
      if ('problems' in formatted) {
        problems.push(...formatted.problems);
      } else if (formatted.text !== before) {
        changed++;
        if (!check) await replaceFile(join(folder.path, path), formatted.text).catch(cannotWrite(folder, path));
        terminal.print(`${check ? 'would change' : 'formatted'} ${filePath(folder.path, path)}`);
      }
    }
    refused += problems.length;
    printProblems(terminal, { name: folder.name, path: folder.path, problems });
  }
  if (changed === 0 && refused === 0) terminal.print('every file is in form');
  else if (check && changed > 0) terminal.print(`${count(changed, 'file')}: run \`verdict fmt\``);
  return refused > 0 || (check && changed > 0) ? exitCodes.findings : exitCodes.fine;
}

interface FormattedFile {
  readonly path: string;
  readonly before: string;
  readonly formatted: Formatted;
}

function* formattedFiles({ files, problems }: PolicyFolder): Generator<FormattedFile> {
  const unreadable = new Set(problems.map(({ file }: PolicyProblem) => file));
  for (const file of files) {
    const role = fileRole(file.path);
    if ((role !== 'model' && role !== 'rules') || unreadable.has(file.path)) continue;
    const before = textOf(file, role);
    yield {
      path: file.path,
      before,
      formatted: role === 'model' ? formatModel(before, file.path) : formatRules(before, file.path),
    };
  }
}

function textOf(file: PolicyFile, role: 'model' | 'rules'): string {
  return textsOf([file], role)[0]?.text ?? '';
}

function cannotWrite(folder: PolicyFolder, path: string) {
  return (error: NodeJS.ErrnoException): never => {
    throw new UsageError(`${filePath(folder.path, path)} cannot be written: ${error.code ?? error.message}`);
  };
}
