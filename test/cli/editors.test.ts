/** docs/editors.md: editors read what `verdict lint --watch` prints as the page tells them to. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { idModel } from '../models.js';
import { verdict, workFolder } from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(root, 'docs/editors.md'), 'utf8');
const [settings, tasks] = [...page.matchAll(/```json\n(.*?)```/gs)].map(([, text]) => JSON.parse(text!));
const vimOptions = /```vim\n(.*?)```/s.exec(page)![1]!;
const { pattern, background } = tasks.tasks[0].problemMatcher;

const repeated = 'p, ann, letter, read\np, ann, letter, read\n';
const findings = [
  {
    file: 'policies/letters/rules.csv',
    line: '2',
    column: '1',
    severity: 'warning',
    code: 'duplicate_rule',
    message: expect.stringContaining('rules.csv:1'),
  },
];

function faultyFolder(): string {
  const cwd = workFolder({ policies: false });
  mkdirSync(join(cwd, 'policies/letters'), { recursive: true });
  writeFileSync(join(cwd, 'policies/letters/model.conf'), idModel);
  writeFileSync(join(cwd, 'policies/letters/rules.csv'), repeated);
  return cwd;
}

/** What VS Code makes of the lines of a run. */
function problemsIn(lines: readonly string[]) {
  return lines.flatMap((line) => {
    const found = new RegExp(pattern.regexp).exec(line);
    if (found === null) return [];
    const names = ['file', 'line', 'column', 'severity', 'code', 'message'] as const;
    return [Object.fromEntries(names.map((name) => [name, found[pattern[name]]]))];
  });
}

describe('verdict lint --watch', () => {
  it('prints each run as the matcher of the page reads it, and ends when it is interrupted', async () => {
    const cwd = faultyFolder();
    const start = 'npx --no -- verdict ';
    const { command } = tasks.tasks[0];
    expect(command.startsWith(start)).toBe(true);
    const args = command.slice(start.length).split(' ');
    const child = spawn(process.execPath, [join(root, 'dist/cli.js'), ...args], { cwd });
    onTestFinished(() => void child.kill());
    let out = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    /** The lines of each whole run, between the two that the background matcher knows. */
    const runs = (): string[][] => {
      const whole: string[][] = [];
      let open: string[] | undefined;
      for (const line of out.split('\n').slice(0, -1)) {
        if (new RegExp(background.beginsPattern).test(line)) open = [];
        else if (new RegExp(background.endsPattern).test(line)) {
          whole.push(open!);
          open = undefined;
        } else open!.push(line);
      }
      return whole;
    };
    const run = async (number: number) => {
      await expect.poll(() => runs().length, { timeout: 20_000 }).toBeGreaterThan(number);
      return problemsIn(runs()[number]!);
    };
    expect(await run(0)).toEqual(findings);
    const rules = join(cwd, 'policies/letters/rules.csv');
    writeFileSync(rules, repeated.replace('p, ann, letter, read\n', ''));
    expect(await run(1)).toEqual([]);
    writeFileSync(rules, `${repeated}q, ann\n`);
    expect(await run(2)).toMatchObject([...findings, { line: '3', severity: 'error' }]);
    child.kill('SIGINT');
    expect(await once(child, 'close')).toEqual([null, 'SIGINT']);
  }, 90_000);

  it('prints text alone', async () => {
    const ran = await verdict(['lint', '--watch', '--output', 'json'], { cwd: faultyFolder() });
    expect(ran).toMatchObject({ code: 2, stdout: '', stderr: 'verdict: --watch prints text: leave --output out\n' });
  });
});

const hasVim = /\+quickfix/.test(String(spawnSync('vim', ['--version']).stdout));
if (!hasVim) console.warn('vim is not installed: what it makes of findings is skipped');

it.runIf(hasVim || process.env.VERDICT_TEST_REQUIRE === 'all')('Vim lists what the linter finds', async () => {
  const cwd = faultyFolder();
  const { stdout } = await verdict(['lint', 'policies'], { cwd });
  writeFileSync(join(cwd, 'found'), stdout);
  const list = 'map(getqflist(), {_, e -> [bufname(e.bufnr), e.lnum, e.col, e.type, e.text]})';
  const script = `${vimOptions}cgetfile found\ncall writefile([json_encode(${list})], 'listed')\nqall!\n`;
  writeFileSync(join(cwd, 'script.vim'), script);
  spawnSync('vim', ['-N', '-u', 'NONE', '-es', '-S', 'script.vim'], { cwd });
  expect(JSON.parse(readFileSync(join(cwd, 'listed'), 'utf8'))).toEqual([
    ['policies/letters/rules.csv', 2, 1, 'w', expect.stringMatching(/^duplicate_rule: /)],
  ]);
});

it('the settings of the page name schemas that are there, for files that are there', () => {
  const files = Object.entries(settings['yaml.schemas'] as Record<string, string[]>);
  expect(files.length).toBe(5);
  const policies = readdirSync(join(root, 'policies'), { recursive: true, encoding: 'utf8' });
  for (const [schema, globs] of files) {
    expect(existsSync(join(root, schema)), schema).toBe(true);
    if (schema.includes('api-keys')) continue;
    for (const glob of globs) {
      const expression = new RegExp(`^${glob.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`);
      expect(
        policies.some((path) => expression.test(`policies/${path}`)),
        glob,
      ).toBe(true);
    }
  }
});
