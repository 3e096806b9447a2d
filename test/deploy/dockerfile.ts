/** The steps of a Dockerfile, and doing them in folders: for machines without a container engine. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

export interface Instruction {
  readonly keyword: string;
  readonly flags: Readonly<Record<string, string>>;
  /** What follows the flags, on one line. */
  readonly rest: string;
  /** Words of the exec form, `["node", "x"]`. */
  readonly exec?: readonly string[];
  readonly line: number;
}

export interface Stage {
  readonly image: string;
  readonly name?: string;
  readonly instructions: readonly Instruction[];
}

export function readDockerfile(text: string): readonly Stage[] {
  const stages: { image: string; name?: string; instructions: Instruction[] }[] = [];
  for (const instruction of instructionsOf(text)) {
    if (instruction.keyword === 'FROM') {
      const [image, , name] = instruction.rest.split(/\s+/);
      stages.push({ image: image!, ...(name !== undefined && { name }), instructions: [] });
    }
    stages.at(-1)!.instructions.push(instruction);
  }
  return stages;
}

function instructionsOf(text: string): Instruction[] {
  const instructions: Instruction[] = [];
  let logical = '';
  text.split('\n').forEach((line, index) => {
    if (/^\s*(#|$)/.test(line)) return;
    logical += line.replace(/\\$/, ' ');
    if (line.endsWith('\\')) return;
    const [, keyword, flagText, rest] = /^(\w+)\s+((?:--\S+\s+)*)(.*)$/.exec(logical.trim())!;
    const flags = Object.fromEntries(
      flagText!
        .split(/\s+/)
        .filter((flag) => flag !== '')
        .map((flag) => flag.slice(2).split('=') as [string, string]),
    );
    const json = /^(?:CMD\s+)?(\[.*\])$/.exec(rest!)?.[1];
    instructions.push({
      keyword: keyword!,
      flags,
      rest: rest!.trim(),
      ...(json !== undefined && { exec: JSON.parse(json) }),
      line: index + 1,
    });
    logical = '';
  });
  return instructions;
}

/** The members of `ENV a=b c=d`. */
export function environmentOf(stage: Stage): Record<string, string> {
  const texts = stage.instructions.filter(({ keyword }) => keyword === 'ENV').map(({ rest }) => rest);
  return Object.fromEntries(
    texts.flatMap((text) => text.split(/\s+/).map((pair) => pair.split('=') as [string, string])),
  );
}

/**
 * Does what a builder does with COPY, WORKDIR and RUN, each stage in a folder of its own that stands for its root.
 *
 * @returns the root of the last stage
 */
export function build(stages: readonly Stage[], context: string, roots: string): string {
  const rootOf = new Map<string, string>();
  const included = includedIn(readFileSync(join(context, '.dockerignore'), 'utf8'));
  let root = '';
  stages.forEach((stage, index) => {
    root = join(roots, stage.name ?? String(index));
    const base = rootOf.get(stage.image);
    mkdirSync(root, { recursive: true });
    if (base !== undefined) linkTree(`${base}/.`, root);
    if (stage.name !== undefined) rootOf.set(stage.name, root);
    let directory = base === undefined ? '/' : '/app';
    for (const { keyword, rest, flags, line } of stage.instructions) {
      if (keyword === 'WORKDIR') {
        directory = resolve(directory, rest);
        mkdirSync(join(root, directory), { recursive: true });
      } else if (keyword === 'RUN') {
        runIn(join(root, directory), rest, context);
      } else if (keyword === 'COPY') {
        const sources = rest.split(/\s+/);
        const destination = sources.pop()!;
        for (const source of sources) {
          const from = flags.from === undefined ? join(context, source) : join(rootOf.get(flags.from)!, source);
          if (flags.from === undefined && !included(source)) throw new Error(`line ${line}: ${source} is ignored`);
          if (!existsSync(from)) throw new Error(`line ${line}: there is no ${source}`);
          const into = destination.endsWith('/') ? join(destination, source) : destination;
          const to = join(root, resolve(directory, into));
          mkdirSync(dirname(to), { recursive: true });
          if (flags.from === undefined) cpSync(from, to, { recursive: true });
          else linkTree(from, to);
        }
      }
    }
  });
  return root;
}

/** Between stages nothing is written to, so the same files do: node_modules is hundreds of megabytes. */
function linkTree(from: string, to: string): void {
  execFileSync('cp', ['-al', from, to]);
}

/**
 * As a builder does, but for one thing: where sqlite3's binary cannot be downloaded, `npm rebuild sqlite3` compiles it for
 * a minute or more, each time. It was, or it was downloaded, when this repository's own packages were installed; that one
 * is taken.
 */
function runIn(directory: string, command: string, context: string): void {
  if (command === 'npm rebuild sqlite3') {
    const binary = 'node_modules/sqlite3/build';
    cpSync(join(context, binary), join(directory, binary), { recursive: true });
    return;
  }
  execFileSync('/bin/sh', ['-c', command], {
    cwd: directory,
    env: { ...process.env, NODE_ENV: '', npm_config_prefer_offline: 'true' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

/** Entries of a .dockerignore that excludes everything and names exceptions. */
function includedIn(text: string): (path: string) => boolean {
  const lines = text.split('\n').filter((line) => !/^(#|$)/.test(line));
  if (lines.shift() !== '*') throw new Error('.dockerignore should begin with excluding everything');
  const names = new Set(lines.map((line) => line.replace(/^!/, '')));
  return (path) => names.has(path);
}
