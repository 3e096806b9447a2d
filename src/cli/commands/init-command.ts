import { createReadStream } from 'node:fs';
import { copyFile, cp, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import { problemsOf, repairRules } from '../../core/analysis/repairs.js';
import type { NamedText } from '../../core/manifest/yaml-document.js';
import { ambiguousTokens, guessedBindings } from '../../core/policy/binding.js';
import { isCombination } from '../../core/policy/combination.js';
import type { CompileOptions } from '../../core/policy/compile.js';
import type { PolicyProblem } from '../../core/problem.js';
import { defaultSourceLimits } from '../../policy-store/source-limits.js';
import { textProblem } from '../../policy-store/text-problem.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { count, printProblems } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { fillNewFolder, holdsExactly, writeNewFiles } from '../sources/new-folder.js';
import { replaceFile } from '../sources/write-file.js';

/** Beside the package's `dist` and `src`. */
const templatesFolder = fileURLToPath(new URL('../../../templates/', import.meta.url));
const schemasFolder = fileURLToPath(new URL('../../../schemas/', import.meta.url));

const templates = {
  rbac: 'roles that include each other',
  abac: 'conditions on attributes',
  tenants: 'roles in tenants',
  gateway: 'paths and methods of an HTTP API',
  rest: 'roles, and who owns what',
  mcp: 'tools of agents',
} as const;

interface InitOptions {
  readonly template: keyof typeof templates;
  readonly fromCasbin?: string[];
  readonly fix?: true;
}

export function addInitCommand(program: Command, terminal: Terminal): void {
  const described = Object.entries(templates).map(([name, about]) => `  ${name.padEnd(9)}${about}`);
  program
    .command('init <folder>')
    .summary('make a policy set, from a template or from Casbin files')
    .description(
      'Makes a policy set in a new or empty folder: model, rules, manifest, entities, schema and passing tests.',
    )
    .addOption(
      new Option('--template <name>', 'what to start from')
        .choices(Object.keys(templates))
        .default('rbac')
        .conflicts('fromCasbin'),
    )
    .option('--from-casbin <files...>', 'take over a model.conf and its policy files as they are')
    .option('--fix', 'with --from-casbin: repair what can only be meant in one way')
    .addHelpText(
      'after',
      `\nTemplates:\n${described.join('\n')}\n\nExamples:\n  verdict init policies/documents --template rbac\n` +
        '  verdict init policies/legacy --from-casbin model.conf policy.csv\n',
    )
    .action(async (folder: string, options: InitOptions) => {
      if (options.fix === true && options.fromCasbin === undefined)
        throw new UsageError('--fix goes with --from-casbin');
      process.exitCode =
        options.fromCasbin === undefined
          ? await initFromTemplate(folder, options.template, terminal)
          : await initFromCasbin(folder, options.fromCasbin, options.fix === true, terminal);
    });
}

async function initFromTemplate(folder: string, template: string, terminal: Terminal): Promise<number> {
  await fillNewFolder(folder, async () => {
    await cp(join(templatesFolder, template), folder, { recursive: true });
    await mkdir(join(folder, '.schemas'));
    for (const schema of await readdir(schemasFolder)) {
      await copyFile(join(schemasFolder, schema), join(folder, '.schemas', schema));
    }
  });
  for (const path of (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !entry.parentPath.endsWith('.schemas'))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()) {
    terminal.print(`made ${join(folder, path)}`);
  }
  terminal.print();
  terminal.print(`Next: verdict test ${folder}`);
  return exitCodes.fine;
}

async function initFromCasbin(
  folder: string,
  files: readonly string[],
  fix: boolean,
  terminal: Terminal,
): Promise<number> {
  const [modelFile, ...policyFiles] = files;
  if (modelFile === undefined || policyFiles.length === 0) {
    throw new UsageError('--from-casbin wants a model and its policy files', '--from-casbin model.conf policy.csv');
  }
  const model = { file: 'model.conf', text: await readText(modelFile) };
  const names = policyFiles.map((file) => csvName(file));
  if (new Set(names).size < names.length) throw new UsageError('two policy files have the same name');
  const rules = await Promise.all(
    policyFiles.map(async (file, index) => ({ file: names[index] as string, text: await readText(file) })),
  );
  const asIs = takenOver(model, rules);
  const taken = fix ? repaired(model, rules) : asIs;
  if (fix && (await holdsExactly(folder, asIs.files))) {
    // Files that this command has just written are repaired in place.
    for (const { file, text } of taken.files) await replaceOrWrite(join(folder, file), text);
  } else {
    await fillNewFolder(folder, () => writeNewFiles(folder, taken.files));
  }
  const { files: made, problems, repairs } = taken;
  for (const repair of repairs) terminal.print(`fixed ${join(folder, repair)}`);
  if (made.some(({ file }) => file === manifestFile))
    terminal.print(`guessed ${join(folder, manifestFile)}: look whether its lines say what is meant`);
  printProblems(terminal, { name: folder, path: folder, problems });
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) {
    terminal.print(`${folder} loads. Next: verdict lint ${folder}`);
    return exitCodes.fine;
  }
  const canBeRepaired = !fix && repairRules(rules, errors).repairs.length > 0;
  const promise = canBeRepaired ? '; --fix repairs some of them' : '';
  terminal.print(`${folder} does not load yet: ${count(errors.length, 'problem')}${promise}`);
  return exitCodes.findings;
}

interface TakenOver {
  readonly files: readonly NamedText[];
  readonly problems: readonly PolicyProblem[];
  readonly repairs: readonly string[];
}

function takenOver(model: NamedText, rules: readonly NamedText[], repairs: readonly string[] = []): TakenOver {
  const manifest = guessedManifest({ model, rules });
  const { problems } = problemsOf({ model, rules, ...(manifest !== undefined && { manifest }) });
  return { files: [model, ...rules, ...(manifest === undefined ? [] : [manifest])], problems, repairs };
}

function repaired(model: NamedText, given: readonly NamedText[]): TakenOver {
  const repairs: string[] = [];
  let rules = given;
  // A repair may reveal another problem: the line may now repeat another line.
  for (let found = 1; found > 0; ) {
    const mended = repairRules(rules, problemsOf({ model, rules }).problems);
    rules = mended.rules;
    repairs.push(...mended.repairs);
    found = mended.repairs.length;
  }
  return takenOver(model, rules, repairs);
}

async function replaceOrWrite(path: string, text: string): Promise<void> {
  const isThere = (await stat(path).catch(() => undefined)) !== undefined;
  await (isThere ? replaceFile(path, text) : writeFile(path, text, { flag: 'wx' }));
}

const manifestFile = 'policy-set.yaml';

/** A manifest that says what tokens are which name the same thing by their names; undefined where none do. */
function guessedManifest(options: CompileOptions): NamedText | undefined {
  const { main } = problemsOf(options);
  const ambiguous = main !== undefined && isCombination(main) ? [...ambiguousTokens(main.tokens)] : [];
  if (ambiguous.length === 0) return undefined;
  const lines = ambiguous.flatMap(([role, tokens]) => [
    `  # ${tokens.join(' and ')} all name the ${role} by their names. Say what each of them is:`,
    ...guessedBindings(tokens).map(([token, line]) => `  ${token}: ${line}`),
  ]);
  return { file: manifestFile, text: `request:\n${lines.join('\n')}\n` };
}

function csvName(file: string): string {
  const name = basename(file);
  return name.toLowerCase().endsWith('.csv') ? `${name.slice(0, -4)}.csv` : `${name}.csv`;
}

/** Copies bytes unchanged; refuses a file that is not text. */
async function readText(file: string): Promise<string> {
  const bytes = await readBounded(file).catch((error: NodeJS.ErrnoException) => {
    throw error instanceof UsageError ? error : new UsageError(`${file} cannot be read: ${error.code}`);
  });
  const problem = textProblem(file, bytes);
  if (problem !== undefined) throw new UsageError(`${file}: ${problem.message}`, problem.hint);
  return bytes.toString('utf8');
}

/** Reads a file or pipe up to the size limit of a policy set, since a device has no end. */
async function readBounded(file: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of createReadStream(file) as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > defaultSourceLimits.maxBytes) {
      throw new UsageError(`${file}: policy_set_too_large: it has more than ${defaultSourceLimits.maxBytes} bytes`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
