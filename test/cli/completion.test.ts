import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hasTerminals, verdict, workFolder } from './run.js';

it('completes commands and their options in bash', async () => {
  const { stdout, code } = await verdict(['completion', 'bash'], { cwd: workFolder({ policies: false }) });
  expect(code).toBe(0);
  const complete = (words: readonly string[]) => {
    const script = `${stdout}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})\nCOMP_CWORD=${words.length - 1}\n_verdict\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n');
  };
  expect(complete(['verdict', 'li'])).toEqual(['lint']);
  expect(complete(['verdict', 'lint', '--err'])).toEqual(['--errors-only']);
  expect(complete(['verdict', 'policy', 'roll'])).toEqual(['rollback']);
  expect(complete(['verdict', 'log', 're'])).toEqual(['replay']);
});

/** Not every machine has them; where `VERDICT_TEST_REQUIRE=all`, the tests of one that is missing fail. */
function has(shell: string): boolean {
  const found = spawnSync(shell, ['--version']).status === 0;
  if (!found) console.warn(`${shell} is not installed: its completion is not tested`);
  return found || process.env.VERDICT_TEST_REQUIRE === 'all';
}

async function scriptFile(shell: string): Promise<string> {
  const cwd = workFolder({ policies: false });
  const { stdout, code } = await verdict(['completion', shell], { cwd });
  expect(code).toBe(0);
  writeFileSync(join(cwd, 'script'), stdout);
  return join(cwd, 'script');
}

it.skipIf(!has('fish'))('completes commands, options and subcommands in fish', async () => {
  const script = await scriptFile('fish');
  const complete = (line: string) =>
    execFileSync('fish', ['--no-config', '-c', `source ${script}; complete -C '${line}'`], {
      encoding: 'utf8',
      cwd: workFolder({ policies: false }),
    });
  expect(complete('verdict li')).toBe('lint\tfind what is wrong, and what has no effect\n');
  expect(complete('verdict lint --err')).toBe('--errors-only\n');
  expect(complete('verdict lint policies/default --err')).toBe('--errors-only\n');
  expect(complete('verdict policy roll')).toBe('rollback\n');
});

/** Its completion works at a prompt alone: somebody types, with the tabulator, at a terminal. */
it.skipIf(!has('zsh') || !hasTerminals)(
  'completes at the prompt of zsh',
  async () => {
    const script = await scriptFile('zsh');
    const prompt = spawn('script', ['-qefc', 'stty cols 200; exec zsh -f -i', '/dev/null'], {
      env: { PATH: process.env.PATH, TERM: 'dumb', HOME: workFolder({ policies: false }) },
    });
    let shown = '';
    prompt.stdout.on('data', (chunk) => (shown += chunk));
    const type = async (text: string, answer: string) => {
      shown = '';
      prompt.stdin.write(text);
      await expect.poll(() => shown, { timeout: 10_000 }).toContain(answer);
    };
    try {
      await type(`autoload -U compinit; compinit -u -D; source ${script}; echo rea""dy\n`, 'ready');
      await type('verdict lin\t', 'lint ');
      await type('--err\t', '--errors-only');
      await type('\u0015verdict policy roll\t', 'rollback ');
    } finally {
      prompt.kill();
    }
  },
  30_000,
);
