import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { formatProblem } from '../../core/problem.js';
import { fileRole } from '../../policy-store/policy-set-files.js';
import type { PolicySetStatus } from '../../policy-store/policy-set-status.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { readRevision } from '../sources/git-folder.js';
import { fillNewFolder } from '../sources/new-folder.js';
import { foldersOf, givenPaths, type PolicyFolder } from '../sources/policy-folder.js';
import { managementPathOf } from '../sources/policy-versions.js';
import { addServerOptions, askServer, type ServerOptions, ServerRefusal } from '../sources/server.js';

interface PushOptions extends ServerOptions {
  readonly output: 'text' | 'json';
  readonly git?: string;
  readonly expect?: string;
}

interface CheckoutOptions extends ServerOptions {
  readonly output: 'text' | 'json';
}

/** What became of one set. */
interface Pushed {
  readonly set: string;
  readonly result: 'new' | 'changed' | 'unchanged' | 'refused';
  readonly version?: string;
  readonly revision?: number;
  readonly problems?: readonly string[];
}

/** Policy sets from folders or a git revision into the database of a running service, and back. */
export function addPolicyPushCommands(policy: Command, terminal: Terminal): void {
  const push = policy
    .command('push [folders...]')
    .summary('write policy sets into the database of a service')
    .description(
      'Writes policy sets, from folders or a git revision, into the database of a service that has its sets there\n' +
        '(VERDICT_POLICY_SOURCE=database). Each is compiled, linted and tested by the service before it is accepted; a set\n' +
        'that somebody else changes meanwhile is not overwritten. Exit code 1 when a set was refused.',
    )
    .option('--git <revision>', 'take the sets of a git revision, without a checkout')
    .option('--expect <revision>', 'for one set: the revision that it must have; 0 when it must be new');
  addServerOptions(push)
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict policy push policies/invoices --url http://127.0.0.1:3000\n' +
        '  verdict policy push policies --git main --url http://127.0.0.1:3000\n',
    )
    .action(async (paths: string[], options: PushOptions) => {
      process.exitCode = await pushSets(await sentFolders(paths, options), options, terminal);
    });

  const checkout = policy
    .command('checkout <set> <folder>')
    .summary('write a set of a service into a new folder')
    .description(
      'Writes the files of a policy set, tests included, as they were written into the database of a service, into a new\n' +
        'folder. Nothing is overwritten.',
    );
  addServerOptions(checkout)
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', '\nExample:\n  verdict policy checkout invoices ./invoices --url http://127.0.0.1:3000\n')
    .action(async (set: string, folder: string, options: CheckoutOptions) => {
      const path = `${managementPathOf(set)}/files`;
      const { files, ...stored } = (await askServer(options, 'GET', path)) as {
        revision: number;
        version: string;
        files: Readonly<Record<string, string>>;
      };
      await fillNewFolder(folder, async () => {
        for (const [file, text] of Object.entries(files)) await writeWithin(folder, file, text);
      });
      const count = Object.keys(files).length;
      if (options.output === 'json') terminal.printJson({ set, folder, files: count, ...stored });
      else terminal.print(`${set} at revision ${stored.revision}: ${count} files in ${folder}`);
    });
}

async function sentFolders(
  paths: readonly string[],
  { git, expect }: PushOptions,
): Promise<readonly (PolicyFolder & { readonly gitCommit?: string })[]> {
  const folders: (PolicyFolder & { readonly gitCommit?: string })[] = [];
  if (git === undefined) folders.push(...(await foldersOf(paths)));
  else {
    for (const path of await givenPaths(paths)) {
      const { commit, folders: found } = await readRevision(git, path);
      for (const folder of found) folders.push({ ...folder, gitCommit: commit });
    }
  }
  if (expect !== undefined && folders.length !== 1) {
    throw new UsageError(`--expect is for one set, and there are ${folders.length}`);
  }
  if (expect !== undefined && !/^(0|[1-9]\d{0,15})$/.test(expect)) {
    throw new UsageError(`--expect is "${expect}": say a revision such as 7, or 0`);
  }
  return folders;
}

async function pushSets(
  folders: readonly (PolicyFolder & { readonly gitCommit?: string })[],
  options: PushOptions,
  terminal: Terminal,
): Promise<number> {
  const there = await revisionsOf(options);
  const pushed: Pushed[] = [];
  for (const folder of folders) {
    const { name: set } = folder;
    // What is left out of a set for its name or its encoding would be missing from it without a word.
    const faults = folder.problems.filter(({ severity }) => severity === 'error');
    if (faults.length > 0) {
      const problems = faults.map(
        (fault) => formatProblem(fault) + (fault.hint === undefined ? '' : ` (${fault.hint})`),
      );
      pushed.push({ set, result: 'refused', problems });
      continue;
    }
    try {
      const before = options.expect === undefined ? (there.get(set) ?? 0) : Number(options.expect);
      const files = Object.fromEntries(folder.files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()]));
      const body = { files, ...(folder.gitCommit !== undefined && { gitCommit: folder.gitCommit }) };
      const headers: Record<string, string> = before === 0 ? {} : { 'if-match': `"${before}"` };
      const written = (await askServer(options, 'PUT', managementPathOf(set), body, headers)) as {
        version: string;
        revision: number;
      };
      const result = before === 0 ? 'new' : written.revision === before ? 'unchanged' : 'changed';
      pushed.push({ set, result, version: written.version, revision: written.revision });
    } catch (error) {
      // What follows may be fine; a service that is away, or a credential that may not, refuses everything.
      if (!(error instanceof ServerRefusal) || ![400, 412, 428].includes(error.status)) throw error;
      const problems = error.status === 400 ? error.faults : [`${error.message}: ${error.hint ?? ''}`];
      pushed.push({ set, result: 'refused', problems });
    }
  }
  if (options.output === 'json') terminal.printJson(pushed);
  else print(terminal, pushed);
  return pushed.some(({ result }) => result === 'refused') ? exitCodes.findings : exitCodes.fine;
}

/** The revision that each set of the service has; a set that its source removed has none. */
async function revisionsOf(options: ServerOptions): Promise<ReadonlyMap<string, number>> {
  const { items } = (await askServer(options, 'GET', '/v1/policy-sets')) as { items: readonly PolicySetStatus[] };
  const revisions = new Map<string, number>();
  for (const { name, revision } of items) if (revision !== undefined) revisions.set(name, revision);
  return revisions;
}

function print(terminal: Terminal, pushed: readonly Pushed[]): void {
  const rows = pushed.map(({ set, result, revision, version }) => [
    set,
    result,
    revision === undefined ? '' : String(revision),
    version?.slice(0, 'sha256:'.length + 12) ?? '',
  ]);
  printTable(terminal, ['set', 'is', 'revision', 'version'], rows);
  for (const { set, problems = [] } of pushed) for (const problem of problems) terminal.print(`${set}: ${problem}`);
}

/** The service says which files there are; none of them may lie outside of the folder. */
async function writeWithin(folder: string, file: string, text: string): Promise<void> {
  if (fileRole(file) === undefined) {
    throw new UsageError(`the service sent a file that no policy set has: ${JSON.stringify(file)}`);
  }
  const path = join(folder, file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text, { flag: 'wx' });
}
