/** What differs where a person looks: width, colour, progress, and an end at any time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Terminal } from '../../src/cli/print/terminal.js';
import { hasTerminals, onScreen, verdict, verdictInTerminal, workFolder } from './run.js';

const entry = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const whoCan = ['who-can', 'policies/default', '--action', 'read', '--resource', 'L-2231'];

describe.skipIf(!hasTerminals)('on a terminal', () => {
  const plain = { NO_COLOR: '1' };

  it.each([70, 80, 200])('%i columns wide a table has room, and nothing of it is missing', async (columns) => {
    const ran = await verdictInTerminal(whoCan, { cwd: workFolder(), env: plain, columns });
    const table = onScreen(ran).split('\n\n')[0]!;
    await expect(onScreen(ran)).toMatchFileSnapshot(`outputs/who-can-${columns}.txt`);
    for (const line of table.split('\n')) expect(line.length).toBeLessThanOrEqual(columns);
    const letters = (text: string) => [...text.replace(/\s/g, '')].sort().join('');
    const { stdout } = await verdict(whoCan, { cwd: workFolder() });
    expect(letters(onScreen(ran))).toBe(letters(stdout));
  });

  it('help is as wide as the terminal', async () => {
    const ran = await verdictInTerminal(['lint', '--help'], { cwd: workFolder(), columns: 60 });
    await expect(onScreen(ran)).toMatchFileSnapshot('outputs/lint-help-60.txt');
  });

  const decide = ['decide', 'policies/default', '--subject', 'dana', '--action', 'read', '--resource', 'L-2231'];

  it('there is colour', async () => {
    const { stdout } = await verdictInTerminal(decide, { cwd: workFolder() });
    expect(stdout).toContain('\u001b[32mALLOW');
  });

  it.each([
    ['NO_COLOR', '1'],
    ['TERM', 'dumb'],
  ])('with %s=%s there is none', async (name, value) => {
    const env = { [name]: value };
    expect((await verdictInTerminal(decide, { cwd: workFolder(), env })).stdout).not.toContain('\u001b');
  });

  it('an empty NO_COLOR says nothing', async () => {
    const { stdout } = await verdictInTerminal(decide, { cwd: workFolder(), env: { NO_COLOR: '' } });
    expect(stdout).toContain('\u001b[32mALLOW');
  });

  it.each([
    [['lint'], 'linting workspaces'],
    [['test', 'policies'], 'testing workspaces'],
    [['diff', 'policies', 'changed'], 'comparing workspaces'],
    [['access-review', 'policies/default'], 'asking'],
  ])('%j says what it is doing, and leaves nothing of it', async (args, says) => {
    const cwd = workFolder();
    cpSync(join(cwd, 'policies'), join(cwd, 'changed'), { recursive: true });
    const ran = await verdictInTerminal(args, { cwd, env: plain });
    expect(ran.stdout).toContain(`\r\u001b[K${says}`);
    expect(onScreen(ran)).not.toContain(says);
    expect(await verdict(args, { cwd })).toMatchObject({ stderr: '', stdout: expect.not.stringContaining(says) });
    expect((await verdictInTerminal(args, { cwd, env: { TERM: 'dumb' } })).stdout).not.toContain(says);
  });
});

describe('where nobody looks', () => {
  it('nothing is wrapped, whatever COLUMNS says, and nothing coloured', async () => {
    const cwd = workFolder();
    const ran = await verdict(whoCan, { cwd, env: { COLUMNS: '40', TERM: 'xterm-256color' } });
    expect(ran).toEqual(await verdict(whoCan, { cwd }));
    expect(ran.stdout).not.toContain('\u001b');
  });

  it.each([
    ['fine', 'policies', 0],
    ['of findings', 'faulty', 1],
  ])('the exit code is %s when the reader has enough', async (_that, folder, code) => {
    const cwd = workFolder();
    cpSync(join(cwd, 'policies/default'), join(cwd, 'faulty'), { recursive: true });
    writeFileSync(join(cwd, 'faulty/more.csv'), 'p, nurse\n'.repeat(10_000));
    const script = '"$0" "$1" lint "$2" | true; echo "${PIPESTATUS[0]}"';
    const child = spawn('bash', ['-c', script, process.execPath, entry, folder], { cwd });
    let [out, errors] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    await once(child, 'close');
    expect([out.trim(), errors]).toEqual([String(code), '']);
  });
});

describe('long work', () => {
  afterEach(() => void vi.useRealTimers());

  it('says for how long it has been going on, in one line', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const written: string[] = [];
    const stderr = { isTTY: true, columns: 50, write: (text: string) => written.push(text) };
    const terminal = new Terminal({ write: () => undefined }, stderr, {});
    function* work() {
      for (let step = 0; step < 30; step++) {
        vi.advanceTimersByTime(100);
        yield;
      }
      return 'done';
    }
    expect(terminal.finish('comparing invoices', work())).toBe('done');
    const lines = ['comparing invoices', ...[1, 2, 3].map((seconds) => `comparing invoices, ${seconds} s`), ''];
    expect(written).toEqual(lines.map((line) => `\r\u001b[K${line}`));
    terminal.progress('a'.repeat(60));
    expect(written.at(-1)).toBe(`\r\u001b[K${'a'.repeat(49)}`);
  });
});

describe('test --watch', () => {
  it('runs again when a file changes, goes on when the folder is away for a while, and ends when it is interrupted', async () => {
    const cwd = workFolder();
    const child = spawn(process.execPath, [entry, 'test', '--watch', 'policies'], { cwd });
    let [out, errors] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    const runs = () => out.split(/^— \d\d:\d\d:\d\d$/m);
    const run = async (number: number, says: RegExp) => {
      await expect.poll(() => runs()[number], { timeout: 20_000 }).toMatch(says);
      await expect.poll(() => runs()[number], { timeout: 20_000 }).toMatch(/failed\n$/);
    };
    await run(0, /✓ default \d+ of \d+ tests passed[\s\S]* 0 failed\n$/);
    const rules = join(cwd, 'policies/default/roles.csv');
    const before = readFileSync(rules, 'utf8');
    writeFileSync(rules, before.replace('g, user:tomas, receptionist\n', ''));
    await run(1, /✗ default \d+ of \d+ tests passed/);
    writeFileSync(rules, before);
    await run(2, /✓ default/);
    renameSync(join(cwd, 'policies'), join(cwd, 'away'));
    await expect.poll(() => errors, { timeout: 20_000 }).toContain('verdict: there is no policies');
    // A set that is new is tested, too.
    cpSync(join(cwd, 'away/default'), join(cwd, 'away/another'), { recursive: true });
    renameSync(join(cwd, 'away'), join(cwd, 'policies'));
    await run(4, /✓ another[\s\S]*✓ default/);
    child.kill('SIGINT');
    expect(await once(child, 'close')).toEqual([null, 'SIGINT']);
  }, 90_000);
});
