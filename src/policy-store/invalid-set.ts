/** The refusal of files that somebody sent and that could not be served. */
import { pointerStep } from '../core/json-pointer.js';
import { formatProblem, type PolicyProblem } from '../core/problem.js';
import { type FieldError, VerdictError } from '../errors.js';
import { BundleArchiveError, packArchive } from './bundle/bundle-archive.js';
import type { PolicySetFiles } from './policy-set-files.js';
import { problemOfFile, sentSetProblems } from './set-file-problems.js';
import { defaultSourceLimits } from './source-limits.js';

/**
 * Looks at names, sizes and encodings, before anything in the files is read as a policy.
 *
 * @throws VerdictError `policy_set_invalid`
 */
export function refuseFaultyFiles(set: PolicySetFiles): void {
  const problems = [...sentSetProblems(set, defaultSourceLimits), ...archiveProblems(set)];
  if (problems.length > 0) throw invalidSet(problems);
}

/** Names that a set may have in a folder and not in an archive. */
function archiveProblems({ files }: PolicySetFiles): PolicyProblem[] {
  try {
    packArchive(files.map(({ path }) => ({ path, bytes: new Uint8Array() })));
    return [];
  } catch (error) {
    if (!(error instanceof BundleArchiveError)) throw error;
    return [problemOfFile(error.path ?? '.', 'bad_file_name', error.message, 'rename the file')];
  }
}

/** Most problems that are listed. */
const listed = 100;

export function invalidSet(problems: readonly PolicyProblem[]): VerdictError {
  const errors = problems.slice(0, listed).map(fieldErrorOf);
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  return new VerdictError('policy_set_invalid', `The policy set has ${count}: ${errors[0]!.detail}`, { errors });
}

function fieldErrorOf(problem: PolicyProblem): FieldError {
  const { file, hint } = problem;
  const pointer = file === '.' ? '/files' : `/files/${pointerStep(file)}`;
  return { pointer, detail: hint === undefined ? formatProblem(problem) : `${formatProblem(problem)} (${hint})` };
}
