import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { formatProblem } from '../../core/problem.js';
import { openBundle } from '../../policy-store/bundle/bundle.js';
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
import { readArchiveFile } from '../sources/read-archive-file.js';
import { addServerOptions, askServer, type ServerOptions, ServerRefusal } from '../sources/server.js';
import { asUsageError } from './bundle-options.js';

interface PushOptions extends ServerOptions {
  readonly output: 'text' | 'json';
  readonly git?: string;
  readonly bundle?: string;
  readonly expect?: string;
}

/** A set to write. */
interface SentSet {
  readonly name: string;
  /** Why it is not sent at all. */
  readonly faults: readonly string[];
  readonly body: object | Buffer;
  readonly headers: Readonly<Record<string, string>>;
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
      'Writes policy sets, from folders, a git revision or a bundle, into the database of a service that has its sets\n' +
        'there (VERDICT_POLICY_SOURCE=database). Each is compiled, linted and tested by the service before it is accepted; a set\n' +
        'that somebody else changes meanwhile is not overwritten. Exit code 1 when a set was refused.',
    )
    .option('--git <revision>', 'take the sets of a git revision, without a checkout')
    .option('--bundle <file>', 'write the set of an archive of `verdict bundle build`, with the signature beside it')
    .option('--expect <revision>', 'for one set: the revision that it must have; 0 when it must be new');
  addServerOptions(push)
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict policy push policies/invoices --url http://127.0.0.1:3000\n' +
        '  verdict policy push policies --git main --url http://127.0.0.1:3000\n' +
        '  verdict policy push --bundle dist/invoices-7.tar --url http://127.0.0.1:3000\n',
    )
    .action(async (paths: string[], options: PushOptions) => {
      process.exitCode = await pushSets(await sentSets(paths, options), options, terminal);
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

async function sentSets(paths: readonly string[], options: PushOptions): Promise<readonly SentSet[]> {
  const { git, bundle, expect } = options;
  if (bundle !== undefined && (git !== undefined || paths.length > 0)) {
    throw new UsageError('--bundle is instead of folders and --git');
  }
  const sets: SentSet[] = [];
  if (bundle !== undefined) sets.push(await ofBundle(bundle));
  else if (git === undefined) for (const folder of await foldersOf(paths)) sets.push(ofFolder(folder));
  else {
    for (const path of await givenPaths(paths)) {
      const { commit, folders } = await readRevision(git, path);
      sets.push(...folders.map((folder) => ofFolder(folder, commit)));
    }
  }
  if (expect !== undefined && sets.length !== 1) {
    throw new UsageError(`--expect is for one set, and there are ${sets.length}`);
  }
  if (expect !== undefined && !/^(0|[1-9]\d{0,15})$/.test(expect)) {
    throw new UsageError(`--expect is "${expect}": say a revision such as 7, or 0`);
  }
  return sets;
}

function ofFolder({ name, files, problems }: PolicyFolder, gitCommit?: string): SentSet {
  // What is left out of a set for its name or its encoding would be missing from it without a word.
  const faults = problems
    .filter(({ severity }) => severity === 'error')
    .map((fault) => formatProblem(fault) + (fault.hint === undefined ? '' : ` (${fault.hint})`));
  const texts = Object.fromEntries(files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()]));
  return { name, faults, body: { files: texts, ...(gitCommit !== undefined && { gitCommit }) }, headers: {} };
}

/** The service verifies it; here it is opened for its name. */
async function ofBundle(path: string): Promise<SentSet> {
  const archive = await readArchiveFile(path);
  const signature = await readFile(`${path}.jws`, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new UsageError(`${path}.jws cannot be read: ${error.code}`);
  });
  try {
    const { manifest } = openBundle(archive, path);
    const headers = {
      'content-type': 'application/x-tar',
      ...(signature !== undefined && { 'verdict-bundle-signature': signature.trim() }),
    };
    return { name: manifest.set, faults: [], body: archive, headers };
  } catch (error) {
    return asUsageError(error);
  }
}

async function pushSets(sets: readonly SentSet[], options: PushOptions, terminal: Terminal): Promise<number> {
  const there = await revisionsOf(options);
  const pushed: Pushed[] = [];
  for (const { name: set, faults, body, headers } of sets) {
    if (faults.length > 0) {
      pushed.push({ set, result: 'refused', problems: faults });
      continue;
    }
    try {
      const before = options.expect === undefined ? (there.get(set) ?? 0) : Number(options.expect);
      const expected: Record<string, string> = before === 0 ? {} : { 'if-match': `"${before}"` };
      const written = (await askServer(options, 'PUT', managementPathOf(set), body, { ...headers, ...expected })) as {
        version: string;
        revision: number;
      };
      const result = before === 0 ? 'new' : written.revision === before ? 'unchanged' : 'changed';
      pushed.push({ set, result, version: written.version, revision: written.revision });
    } catch (error) {
      // What follows may be fine; a service that is away, or a credential that may not, refuses everything.
      if (!(error instanceof ServerRefusal) || ![400, 412, 413, 428].includes(error.status)) throw error;
      const problems = error.faults.length > 0 ? error.faults : [`${error.message}: ${error.hint ?? ''}`];
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
