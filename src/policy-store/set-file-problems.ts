/** What is wrong with the files of a set before anything in them is read as a policy. */
import type { PolicyProblem } from '../core/problem.js';
import { quote } from '../core/quote.js';
import { fileRole, intendedName, type PolicySetFiles } from './policy-set-files.js';
import type { SourceLimits } from './source-limits.js';
import { textProblem } from './text-problem.js';

const setName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** The problem of a set's name; undefined when it can have it. */
export function setNameProblem(name: string): PolicyProblem | undefined {
  if (setName.test(name)) return undefined;
  return problemOfSet(
    'bad_set_name',
    `${quote(name)} cannot be the name of a policy set`,
    'use letters, digits, ".", "_" and "-", a letter or digit first, at most 128',
  );
}

/** A file that would be ignored in silence under its name; undefined when nothing seems to be meant by it. */
export function misnamedFileProblem(path: string): PolicyProblem | undefined {
  const intended = intendedName(path);
  if (intended === undefined) return undefined;
  const message = 'this file would not be read under this name';
  return problemOfFile(path, 'misnamed_file', message, `rename it to ${intended}`);
}

export function tooManyFilesProblem(count: number, { maxFiles }: SourceLimits): PolicyProblem | undefined {
  if (count <= maxFiles) return undefined;
  return problemOfSet('too_many_files', `${count} files; a policy set may have ${maxFiles}`, 'join rule files');
}

/** Problems of a set's files by their names and sizes alone. */
export function listingProblems(
  files: readonly { readonly path: string; readonly size: number }[],
  { maxBytes }: SourceLimits,
): PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > maxBytes) {
    const [largest] = [...files].sort((a, b) => b.size - a.size);
    problems.push(
      problemOfFile(
        largest?.path ?? '.',
        'policy_set_too_large',
        `the files of this set have ${size} bytes; ${maxBytes} are allowed`,
        'split the set, or keep attributes with who asks',
      ),
    );
  }
  const names = new Set(files.map(({ path }) => path));
  if (names.has('entities.yaml') && names.has('entities.json')) {
    problems.push(
      problemOfFile(
        'entities.json',
        'conflicting_files',
        'there are entities.yaml and entities.json',
        'keep one of them',
      ),
    );
  }
  if (!names.has('model.conf')) {
    problems.push(problemOfSet('model_missing', 'there is no model.conf', 'a policy set needs a Casbin model'));
  }
  return problems;
}

/**
 * Everything of that, of a set that was sent and not read from a folder. A file that would be no part of the set is a
 * problem too: what is sent is meant.
 */
export function sentSetProblems({ name, files }: PolicySetFiles, limits: SourceLimits): PolicyProblem[] {
  const sizes = files.map(({ path, bytes }) => ({ path, size: bytes.byteLength }));
  const ofSet = [setNameProblem(name), tooManyFilesProblem(files.length, limits)].filter((each) => each !== undefined);
  if (ofSet.length > 0) return ofSet;
  const ofFiles = files.flatMap(({ path, bytes }) => {
    if (fileRole(path) !== undefined) return textProblem(path, bytes) ?? [];
    return misnamedFileProblem(path) ?? unknownFile(path);
  });
  return [...listingProblems(sizes, limits), ...ofFiles];
}

function unknownFile(path: string): PolicyProblem {
  const message = `${quote(path)} is no file of a policy set`;
  const hint = 'a set has model.conf, *.csv, policy-set.yaml, entities.yaml, schema.yaml and tests/*.yaml';
  return problemOfFile(path, 'unknown_file', message, hint);
}

export function problemOfSet(code: string, message: string, hint: string): PolicyProblem {
  return problemOfFile('.', code, message, hint);
}

export function problemOfFile(file: string, code: string, message: string, hint: string): PolicyProblem {
  return { severity: 'error', code, message, file, line: 1, column: 1, hint };
}
