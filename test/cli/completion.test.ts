import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { verdict, workFolder } from './run.js';

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

it.each(['zsh', 'fish'])('has a script for %s, too', async (shell) => {
  const { stdout } = await verdict(['completion', shell], { cwd: workFolder({ policies: false }) });
  expect(stdout).toContain('access-review');
});
