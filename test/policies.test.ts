/** The bundled policy sets: each loads without a problem, answers as it should, and has no line that does nothing. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { DecisionRequestInput, Json } from '../src/core/request.js';
import { compilePolicySet, type PolicySet } from '../src/engine.js';
import { loadPolicySet } from '../src/policy-store/load-policy-set.js';
import { compileOptions } from '../src/policy-store/policy-set-texts.js';

/** One question to a set, as `test/policies/<set>.yaml` writes it. */
interface Question {
  readonly that: string;
  readonly ask: DecisionRequestInput;
  /** When it is asked; left out where it should not matter. */
  readonly at?: string;
  /** The decision and the reason's code. */
  readonly want: string;
  /** How the line of the deciding rule begins. */
  readonly rule?: string;
  readonly message?: string;
  readonly obligations?: readonly Json[];
  readonly advice?: readonly Json[];
  /** Codes of the errors met on the way. */
  readonly errors?: readonly string[];
}

const policies = new URL('../policies/', import.meta.url);
const cases = new URL('./policies/', import.meta.url);
const setNames = readdirSync(policies);

describe.each(setNames)('the bundled set %s', (name) => {
  const files = filesOf(name);
  const set = compile(files, { strict: true });
  const questions: Question[] = parse(readFileSync(new URL(`${name}.yaml`, cases), 'utf8'));

  it('loads without an error or a warning, and passes its own tests', async () => {
    const { served } = await loadPolicySet({ name, files: policyFiles(files) });
    expect(served.compiled.problems).toEqual([]);
    expect([...files.keys()].some((path) => path.startsWith('tests/'))).toBe(true);
  });

  it.each(questions)('$that', (question) => {
    const { decision, reason, obligations, advice, errors } = answer(set, question);
    expect(`${decision} ${reason.code}`).toBe(question.want);
    if (question.rule === undefined) expect(reason.line).toBeUndefined();
    else expect(lineAt(files, reason)).toSatisfy((line: string) => line.startsWith(question.rule!));
    if (question.message !== undefined) expect(reason.message).toBe(question.message);
    expect(obligations).toEqual(question.obligations ?? []);
    expect(advice ?? []).toEqual(question.advice ?? []);
    expect(errors.map(({ code }) => code)).toEqual(question.errors ?? []);
  });

  it('has no line without which every answer would be the same', () => {
    const answers = JSON.stringify(questions.map((question) => answer(set, question)));
    const idle = ruleLines(files).filter((line) => {
      const without = compile(blank(files, line), { strict: false });
      return JSON.stringify(questions.map((question) => answer(without, question))) === answers;
    });
    expect(idle).toEqual([]);
  });

  it('has a README that names each of its files', () => {
    const readme = files.get('README.md') ?? '';
    expect([...files.keys()].filter((file) => !file.startsWith('README') && !readme.includes(file))).toEqual([]);
  });
});

/** By path in the set's folder. */
type Files = ReadonlyMap<string, string>;

function filesOf(set: string): Files {
  const folder = new URL(`${set}/`, policies);
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => /\.\w+$/.test(path));
  return new Map(paths.sort().map((path) => [path, readFileSync(new URL(path, folder), 'utf8')]));
}

function policyFiles(files: Files) {
  return [...files].map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
}

function compile(files: Files, { strict }: { strict: boolean }): PolicySet {
  return compilePolicySet({ ...compileOptions(policyFiles(files)), strict });
}

/** A Wednesday in working hours, unless the question says otherwise. */
function answer(set: PolicySet, { ask, at = '2026-11-18T10:00:00Z' }: Question) {
  return set.decide(ask, { now: Date.parse(at) });
}

interface Place {
  readonly file: string;
  readonly line: number;
}

function ruleFiles(files: Files): string[] {
  return [...files.keys()].filter((file) => file.endsWith('.csv'));
}

function ruleLines(files: Files): Place[] {
  return ruleFiles(files).flatMap((file) =>
    files
      .get(file)!
      .split('\n')
      .flatMap((text, index) => (/^[pg]/.test(text) ? [{ file, line: index + 1 }] : [])),
  );
}

/** The files without one line; the lines after it keep their numbers. */
function blank(files: Files, { file, line }: Place): Files {
  const lines = files.get(file)!.split('\n');
  return new Map(files).set(file, lines.with(line - 1, '').join('\n'));
}

function lineAt(files: Files, { file, line }: Partial<Place>): string {
  return files.get(file ?? '')?.split('\n')[(line ?? 0) - 1] ?? 'no rule decided';
}
