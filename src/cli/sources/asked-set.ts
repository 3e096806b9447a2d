/** The policy set of a command: from a folder, or with `--url` from a service. */
import type { Command } from 'commander';
import { UsageError } from '../exit-code.js';
import { type LoadedFolder, loadFolder, loadSet } from './policy-folder.js';
import { readServed, versionsOfServer } from './policy-versions.js';
import { addServerOptions, type ServerOptions } from './server.js';

export interface AskedSetOptions extends ServerOptions {
  readonly set?: string;
}

export function addAskedSetOptions(command: Command): Command {
  return addServerOptions(command).option('--set <name>', 'with --url: the policy set');
}

/** @throws UsageError when both a folder and a service are named, or the set cannot be loaded */
export async function loadAskedSet(path: string | undefined, options: AskedSetOptions): Promise<LoadedFolder> {
  checkAskedSet(path, options);
  if (options.url === undefined) return loadFolder(path);
  return loadSet(await readServed(versionsOfServer(options), options.set));
}

/** @throws UsageError when both a folder and a service are named, or a set without a service */
export function checkAskedSet(path: string | undefined, { url, set }: AskedSetOptions): void {
  if (url !== undefined && path !== undefined) throw new UsageError(`say which one to ask: ${path}, or --url ${url}`);
  if (url === undefined && set !== undefined) throw new UsageError('--set goes with --url');
}
