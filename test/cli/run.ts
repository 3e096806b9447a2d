/** Runs the built command as a person or a build server does. */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const entry = join(root, 'dist/cli.js');

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** User id of another account, which permissions restrict; only root may set it. */
  readonly uid?: number;
}

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A folder of its own for one test; with a copy of the bundled sets in `policies`. */
export function workFolder({ policies = true } = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'verdict-cli-'));
  folders.push(folder);
  if (policies) cpSync(join(root, 'policies'), join(folder, 'policies'), { recursive: true });
  return folder;
}

export function verdict(args: readonly string[], options: RunOptions): Promise<Ran> {
  return run(process.execPath, [entry, ...args], options);
}

/** Whether `script` of util-linux is there, which makes the terminals of these tests. */
export const hasTerminals =
  process.env.VERDICT_TEST_REQUIRE === 'all' || /util-linux/.test(String(spawnSync('script', ['--version']).stdout));
if (!hasTerminals) console.warn('script of util-linux is not installed: what needs a terminal is skipped');

/** As `verdict`, with a terminal for its output. */
export async function verdictInTerminal(
  args: readonly string[],
  { cwd, env = {}, columns = 80 }: RunOptions & { readonly columns?: number },
): Promise<Ran> {
  const command = [process.execPath, entry, ...args].map((part) => `'${part}'`).join(' ');
  const inTerminal = ['-qefc', `stty cols ${columns}; exec ${command}`, '/dev/null'];
  const ran = await run('script', inTerminal, { cwd, env: { TERM: 'xterm', ...env } });
  return { ...ran, stdout: ran.stdout.replaceAll('\r\n', '\n') };
}

/** What is left on the screen: lines that were written over are gone. */
export function onScreen({ stdout }: Ran): string {
  return stdout.replace(/^[^\n]*\r\u001b\[K/gm, '');
}

function run(command: string, args: readonly string[], { cwd, env = {}, input = '', uid }: RunOptions): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const { PATH, HOME } = process.env;
    const child = spawn(command, args, { cwd, env: { PATH, HOME, ...env }, ...(uid !== undefined && { uid }) });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
