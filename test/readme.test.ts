/** The README is true: its commands run against the built service and answer what it shows. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltService, startBuilt } from './built-service.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const scripts: Record<string, string> = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts;

interface Block {
  readonly language: string;
  readonly text: string;
}

const blocks: Block[] = [...readme.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language, text]) => ({
  language: language!,
  text: text!,
}));

/** Each `sh` block and, where the next block is JSON, what it says that the command prints. */
const commands = blocks.flatMap(({ language, text }, index) => {
  const next = blocks[index + 1];
  return language === 'sh' ? [{ command: text, output: next?.language === 'json' ? next.text : undefined }] : [];
});

describe('the README', () => {
  let service: BuiltService;
  let url: string;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'verdict-readme-'));
    // What `npm start` does after the build, in a folder of its own.
    const [program, ...args] = scripts.start!.split(' && ').at(-1)!.split(' ');
    expect(program).toBe('node');
    service = await startBuilt(folder, { VERDICT_POLICY_DIR: join(root, 'policies') }, { args, stderr: 'inherit' });
    url = service.url;
  });

  afterAll(async () => {
    await service.stop();
    rmSync(folder, { recursive: true });
  });

  it('starts and tests with scripts that exist', () => {
    const npm = commands.filter(({ output }) => output === undefined).map(({ command }) => command.trim());
    expect(npm).toEqual(['npm ci && npm start', 'npm ci && npm test']);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['start', 'test']));
  });

  it.each(commands.filter(({ output }) => output !== undefined))('prints what it shows: $command', (example) => {
    const command = example.command.replaceAll('http://127.0.0.1:3000', url);
    const printed = execFileSync('bash', ['-c', command], { encoding: 'utf8', timeout: 10_000 });
    expect(withoutOccasion(JSON.parse(printed))).toEqual(withoutOccasion(JSON.parse(example.output!)));
  });

  it('shows files that are there and lines that are in them', () => {
    const tree = blocks
      .find(({ text }) => text.startsWith('policies/'))!
      .text.trimEnd()
      .split('\n');
    const set = tree.shift()!;
    let file = '';
    for (const row of tree) {
      const [, name, line] = /^ {2}(\S*) +(.*)$/.exec(row)!;
      file = name || file;
      expect(readFileSync(join(root, set, file), 'utf8')).toContain(line);
    }
  });

  it('links to what is there', () => {
    const links = [...readme.matchAll(/\]\((?!https:)([^)]+)\)/g)].map(([, path]) => path!);
    expect(links.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

/** Leaves out what differs from one occasion to the next: ids, times, durations. The versions of the bundled sets stay. */
function withoutOccasion(answer: unknown): unknown {
  const text = JSON.stringify(answer)
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replaceAll(/"engineVersion":"[^"]*"/g, '"engineVersion":"<version>"')
    .replaceAll(/"instance":"[^"]*"/g, '"instance":"<name>"')
    .replaceAll(/"(durationUs|writer|sequence)":\d+/g, '"$1":"<number>"');
  return JSON.parse(text);
}
