import { readFile, stat } from 'node:fs/promises';
import type { Publication, Published } from '../../policy-store/bundle/bundle-publisher.js';
import { exitCodes } from '../exit-code.js';
import { count } from '../print/report.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { givenPaths, readPolicyFolders } from '../sources/policy-folder.js';
import { readArchiveFile } from '../sources/read-archive-file.js';
import { allLoad, originOf } from './bundle-build.js';
import { type PublisherCommandOptions, publisherOf } from './bundle-options.js';

interface PushOptions extends PublisherCommandOptions {
  readonly prune?: true;
  readonly rollback?: true;
}

interface RefreshOptions extends PublisherCommandOptions {
  readonly resign?: true;
}

export async function pushBundles(paths: readonly string[], options: PushOptions, terminal: Terminal): Promise<number> {
  const publisher = await publisherOf(options);
  const publications: Publication[] = [];
  for (const path of await givenPaths(paths)) {
    if (path.endsWith('.tar') && (await stat(path).catch(() => undefined))?.isFile()) {
      publications.push(await builtArchive(path));
      continue;
    }
    const folders = await readPolicyFolders(path);
    if (!(await allLoad(folders, terminal))) return exitCodes.findings;
    for (const folder of folders) {
      const set = { name: folder.name, files: folder.files };
      publications.push({ kind: 'files', set, about: await originOf(folder, terminal) });
    }
  }
  const { prune = false, rollback = false } = options;
  print(await publisher.push(publications, { prune, rollback }), options, terminal);
  return exitCodes.fine;
}

export async function refreshIndex(_: readonly string[], options: RefreshOptions, terminal: Terminal): Promise<number> {
  const publisher = await publisherOf(options);
  print(await publisher.refresh({ resign: options.resign === true }), options, terminal);
  return exitCodes.fine;
}

async function builtArchive(path: string): Promise<Publication> {
  const signature = await readFile(`${path}.jws`, 'utf8').catch(() => undefined);
  return { kind: 'archive', archive: await readArchiveFile(path), signature };
}

function print({ index, sets }: Published, { output }: PublisherCommandOptions, terminal: Terminal): void {
  if (output === 'json') {
    terminal.printJson({ number: index.number, expires: index.expires, sets });
    return;
  }
  const rows = sets.map(({ set, revision, change }) => [set, String(revision), change]);
  printTable(terminal, ['set', 'revision', 'change'], rows);
  terminal.print(`index ${index.number} of ${count(index.sets.length, 'set')}, until ${index.expires}`);
}
