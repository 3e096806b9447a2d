import { access, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { count } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { decisionsOfFile, decisionsOfLog, type LoggedLine } from '../sources/logged-decisions.js';
import { LoggedTests, passes } from '../sources/logged-tests.js';
import { type LoadedFolder, loadFolder } from '../sources/policy-folder.js';
import { type ServedEngine, servedEngine } from '../sources/served-engine.js';
import { replaceFile } from '../sources/write-file.js';
import { filtersOf } from './log-filters.js';
import { LogReading } from './log-reading.js';

export interface GenerateOptions extends DecisionFilters {
  readonly url?: string;
  readonly database?: string;
  readonly file?: string;
  readonly write?: string;
  readonly force?: true;
  readonly max: number;
}

/** Writes tests of what was decided. */
export async function generateTests(path: string, options: GenerateOptions, terminal: Terminal): Promise<void> {
  const { url, database, file } = options;
  if ((url ?? database ?? file) === undefined) {
    throw new UsageError('say where the decisions are: --database, --url or --file');
  }
  const target = options.write ?? join(path, 'tests/logged.yaml');
  const isThere = await access(target).then(
    () => true,
    () => false,
  );
  if (isThere && options.force !== true) {
    throw new UsageError(`${target} is there already`, '--force writes over it, --write names another file');
  }
  const set = await loadFolder(path);
  const engine = await servedEngine(set);
  const filters = { policySet: set.folder.name, ...filtersOf(options) };
  const generate = (lines: AsyncIterable<LoggedLine>) =>
    generateFrom(lines, { set, engine, target, isThere, options }, terminal);
  try {
    if (file !== undefined) process.exitCode = await generate(decisionsOfFile(file, filters));
    else {
      const source = { ...(url !== undefined && { url }), ...(database !== undefined && { database }) };
      const reading = new LogReading(terminal, async () => database ?? '');
      await reading.run(source, (log) => generate(decisionsOfLog(log, filters)));
    }
  } finally {
    await engine.stop();
  }
}

interface Target {
  readonly set: LoadedFolder;
  readonly engine: ServedEngine;
  readonly target: string;
  readonly isThere: boolean;
  readonly options: GenerateOptions;
}

async function generateFrom(
  lines: AsyncIterable<LoggedLine>,
  { set, engine, target, isThere, options }: Target,
  terminal: Terminal,
): Promise<number> {
  const found = new LoggedTests(set, engine);
  let [gaps, erred] = [0, 0];
  for await (const line of lines) {
    if ('gap' in line) gaps++;
    else if ('erred' in line) erred += line.erred;
    else await found.add(line);
    if (found.counts.decisions % 1_000 === 0) terminal.progress(`${found.counts.decisions} decisions`);
  }
  terminal.progress('');
  const { text, tests, left, rules, uncovered } = found.document(options.max);
  const { counts } = found;
  if (tests === 0) {
    terminal.remark(`no test was written: of ${count(counts.decisions, 'decision')} none can be one`);
  } else {
    if (!(await passes(set, engine, text))) throw new Error('a generated test fails');
    await write(target, text, isThere);
    const what = `${count(tests, 'test')} from ${count(counts.decisions, 'decision')}`;
    terminal.print(`wrote ${target}: ${what}, with ${count(rules, 'rule')} that decided`);
  }
  const say = (number: number, why: string): void => {
    if (number > 0) terminal.print(`  left out: ${number} ${why}`);
  };
  say(counts.masked, 'with masked values');
  say(counts.erased, 'that were erased from');
  say(counts.otherwise, 'that this folder decides otherwise: `verdict log replay` explains one');
  say(counts.searches, 'searches');
  say(counts.unsayable, 'that a test cannot ask');
  say(left, 'further shapes of requests: --max');
  say(erred, 'of which --filter could say nothing');
  say(gaps, 'gaps of the log');
  for (const rule of uncovered) terminal.print(`  no test is decided by ${rule}`);
  return tests === 0 ? exitCodes.findings : exitCodes.fine;
}

async function write(target: string, text: string, isThere: boolean): Promise<void> {
  try {
    await mkdir(dirname(target), { recursive: true });
    // A file that came meanwhile is somebody else's.
    if (isThere) await replaceFile(target, text);
    else await writeFile(target, text, { flag: 'wx' });
  } catch (error) {
    throw new UsageError(`${target} cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}
