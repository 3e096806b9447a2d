/** Reads policy sets of a git revision from its objects, without a checkout. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { PolicyProblem } from '../../core/problem.js';
import { fileRole, type PolicyFile } from '../../policy-store/policy-set-files.js';
import { misnamedFileProblem } from '../../policy-store/set-file-problems.js';
import { defaultSourceLimits } from '../../policy-store/source-limits.js';
import { textProblem } from '../../policy-store/text-problem.js';
import { UsageError } from '../exit-code.js';
import type { PolicyFolder } from './policy-folder.js';

const run = promisify(execFile);

/**
 * The policy sets below `path` in a revision, by the rules of a folder, and the commit that the revision names.
 *
 * @throws UsageError when there is no such revision, or no policy set in it.
 */
export async function readRevision(
  revision: string,
  path: string,
): Promise<{ readonly commit: string; readonly folders: readonly PolicyFolder[] }> {
  // A revision that begins with a dash would be an option of git's.
  if (revision.startsWith('-') || revision === '') throw new UsageError(`"${revision}" is no git revision`);
  const prefix = (await git(['rev-parse', '--show-prefix'])).toString().trim();
  const commit = (await git(['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`]))
    .toString()
    .trim();
  const below = `${prefix}${path}`.replace(/\/+$/, '').replace(/^\.\/|(^|\/)\.$/g, '');
  const listed = await git([
    'ls-tree',
    '-r',
    '-z',
    '-l',
    '--full-tree',
    commit,
    '--',
    ...(below === '' ? [] : [`${below}/`]),
  ]);
  const entries = listed
    .toString('utf8')
    .split('\0')
    .filter((entry) => entry !== '')
    .map(readEntry);
  const sets = new Map<string, TreeSet>();
  const start = below === '' ? 0 : below.length + 1;
  const isSet = entries.some((entry) => entry.path.slice(start) === 'model.conf');
  for (const entry of entries) {
    const [first = '', ...rest] = entry.path.slice(start).split('/');
    const [name, file] = isSet
      ? [below.split('/').at(-1) || 'default', [first, ...rest].join('/')]
      : [first, rest.join('/')];
    if (entry.kind !== 'blob') continue;
    const misnamed = misnamedFileProblem(file);
    if (misnamed === undefined && fileRole(file) === undefined) continue;
    let set = sets.get(name);
    if (set === undefined) {
      set = { files: [], misnamed: [] };
      sets.set(name, set);
    }
    if (misnamed === undefined) set.files.push({ ...entry, file });
    else set.misnamed.push(misnamed);
  }
  const folders: PolicyFolder[] = [];
  for (const [name, set] of sets) {
    const paths = [...set.files, ...set.misnamed].map(({ file }) => file);
    // A folder without a model is none of a set; one whose model has a slip in its name is.
    if (!paths.some((file) => file.toLowerCase() === 'model.conf')) continue;
    folders.push(await readSet(isSet ? path : `${path.replace(/\/+$/, '')}/${name}`, name, set));
  }
  if (folders.length === 0) throw new UsageError(`${revision} has no policy set in ${path}`);
  return { commit, folders };
}

/** The files of a set, and those that are left out of it under the names that they have. */
interface TreeSet {
  readonly files: TreeEntry[];
  readonly misnamed: PolicyProblem[];
}

interface TreeEntry {
  readonly kind: string;
  readonly object: string;
  readonly size: number;
  readonly path: string;
  readonly file: string;
}

/** `100644 blob <object> <size>\t<path>` */
function readEntry(line: string): TreeEntry {
  const tab = line.indexOf('\t');
  const [, kind = '', object = '', size = ''] = line.slice(0, tab).split(/ +/);
  return { kind, object, size: Number(size) || 0, path: line.slice(tab + 1), file: '' };
}

async function readSet(path: string, name: string, { files: entries, misnamed }: TreeSet): Promise<PolicyFolder> {
  const size = entries.reduce((sum, entry) => sum + entry.size, 0);
  if (size > defaultSourceLimits.maxBytes)
    throw new UsageError(`${path} has ${size} bytes; ${defaultSourceLimits.maxBytes} are allowed`);
  const files: PolicyFile[] = [];
  const problems = [...misnamed];
  for (const { file, object } of [...entries].sort((a, b) => (a.file < b.file ? -1 : 1))) {
    const bytes = await git(['cat-file', 'blob', object]);
    files.push({ path: file, bytes });
    const problem = textProblem(file, bytes);
    if (problem !== undefined) problems.push(problem);
  }
  return { name, path, files, problems };
}

async function git(args: readonly string[]): Promise<Buffer> {
  try {
    const options = { encoding: 'buffer', maxBuffer: defaultSourceLimits.maxBytes + 1024 } as const;
    return (await run('git', [...args], options)).stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: string | number; stderr?: Buffer };
    if (code === 'ENOENT') throw new UsageError('git is not installed');
    const said = stderr?.toString('utf8').trim().split('\n')[0] ?? '';
    throw new UsageError(`git ${args[0]} failed${said === '' ? ': is that a revision?' : `: ${said}`}`);
  }
}
