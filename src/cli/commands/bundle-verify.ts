import { readFile, stat } from 'node:fs/promises';
import { openBundle } from '../../policy-store/bundle/bundle.js';
import { BundleError } from '../../policy-store/bundle/bundle-error.js';
import { type IndexedBundle, indexExpiry } from '../../policy-store/bundle/bundle-index.js';
import type { BundleKeys } from '../../policy-store/bundle/bundle-keys.js';
import { verifyArchive } from '../../policy-store/bundle/bundle-signature.js';
import type { BundleTransport } from '../../policy-store/bundle/bundle-transport.js';
import { fetchBundle, fetchIndex, openVerified } from '../../policy-store/bundle/fetch-bundle.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { count } from '../print/report.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { readArchiveFile } from '../sources/read-archive-file.js';
import { type KeyOptions, keysOf, transportOf } from './bundle-options.js';

interface VerifyOptions extends KeyOptions {
  readonly output: 'text' | 'json';
}

/** What was found of one set. */
interface VerifiedSet {
  readonly set: string;
  readonly revision: number;
  readonly version: string;
  readonly created?: string | undefined;
  readonly gitCommit?: string | undefined;
  readonly problem?: { readonly code: string; readonly message: string };
}

interface Verified {
  readonly index?: { readonly number: number; readonly expires: string };
  readonly sets: readonly VerifiedSet[];
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

export async function verifyBundles(
  [place = '']: readonly string[],
  options: VerifyOptions,
  terminal: Terminal,
): Promise<number> {
  const keys = await keysOf(options);
  if (keys === undefined && options.unsigned !== true) {
    throw new UsageError('say whose signatures count: --keys <file>', '--unsigned asks for none');
  }
  const isFile = (await stat(place).catch(() => undefined))?.isFile() === true;
  const verified = isFile ? await verifyFile(place, keys) : await verifyAll(transportOf(place), keys, terminal);
  if (options.output === 'json') terminal.printJson(verified);
  else print(verified, terminal);
  return verified.problems.length === 0 ? exitCodes.fine : exitCodes.findings;
}

async function verifyFile(path: string, keys: BundleKeys | undefined): Promise<Verified> {
  const archive = await readArchiveFile(path);
  try {
    if (keys !== undefined) {
      const signature = await readFile(`${path}.jws`, 'utf8').catch(() => undefined);
      if (signature === undefined) throw new BundleError('bundle_unsigned', `there is no ${path}.jws`);
      await verifyArchive(archive, signature, keys, path);
    }
    const { manifest, problems } = openBundle(archive, path);
    return { sets: [manifest], problems };
  } catch (error) {
    return { sets: [], problems: [problemOf(error)] };
  }
}

async function verifyAll(
  transport: BundleTransport,
  keys: BundleKeys | undefined,
  terminal: Terminal,
): Promise<Verified> {
  const fetched = await fetchIndex(transport, keys).catch(problemOf);
  if (fetched === 'unchanged' || 'code' in fetched) {
    return { sets: [], problems: fetched === 'unchanged' ? [] : [fetched] };
  }
  const { index } = fetched;
  const expired = { code: 'bundle_index_expired', message: `the index expired at ${index.expires}` };
  const problems = indexExpiry(index) <= Date.now() ? [expired] : [];
  const sets: VerifiedSet[] = [];
  for (const indexed of index.sets) {
    terminal.progress(`verifying ${indexed.set}`);
    const set = await verifySet(transport, indexed, keys);
    sets.push(set);
    if (set.problem !== undefined) problems.push(set.problem);
  }
  terminal.progress('');
  return { index: { number: index.number, expires: index.expires }, sets, problems };
}

async function verifySet(
  transport: BundleTransport,
  indexed: IndexedBundle,
  keys: BundleKeys | undefined,
): Promise<VerifiedSet> {
  const { set, revision, version } = indexed;
  try {
    const bundle = await fetchBundle(transport, indexed, keys !== undefined);
    const { manifest, problems } = await openVerified(bundle, indexed, keys);
    const [problem] = problems;
    return problem === undefined ? manifest : { ...manifest, problem };
  } catch (error) {
    return { set, revision, version, problem: problemOf(error) };
  }
}

/** @throws the error if it is not about bundles */
function problemOf(error: unknown): { code: string; message: string } {
  if (!(error instanceof BundleError)) throw error;
  return { code: error.code, message: error.message };
}

function print({ index, sets, problems }: Verified, terminal: Terminal): void {
  if (sets.length > 0) {
    const rows = sets.map(({ set, revision, version, created, gitCommit, problem }) => [
      set,
      String(revision),
      version.slice(0, 'sha256:'.length + 12),
      created ?? '',
      gitCommit?.slice(0, 12) ?? '',
      problem?.code ?? 'good',
    ]);
    printTable(terminal, ['set', 'revision', 'version', 'created', 'commit', 'state'], rows);
  }
  for (const { code, message } of problems) terminal.print(`${terminal.style('red', code)}: ${message}`);
  if (index !== undefined) {
    terminal.print(`index ${index.number} of ${count(sets.length, 'set')}, until ${index.expires}`);
  }
}
