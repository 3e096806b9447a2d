/** docs/tutorial.md and docs/ci.md: their commands run, in order, and print what the pages show. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { workFolder } from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A folder with `verdict`, and `npx verdict`, on the path. */
function prepare(policies: boolean): { readonly cwd: string; readonly env: Record<string, string> } {
  const cwd = workFolder({ policies });
  const bin = workFolder({ policies: false });
  const scripts = { verdict: `exec '${process.execPath}' '${root}dist/cli.js' "$@"`, npx: 'shift; exec verdict "$@"' };
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const author = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@example.org' };
  const committer = { GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@example.org' };
  return { cwd, env: { PATH: `${bin}:${process.env.PATH}`, HOME: cwd, ...author, ...committer } };
}

it('docs/tutorial.md prints what it shows', async () => {
  const page = readFileSync(join(root, 'docs/tutorial.md'), 'utf8');
  const { cwd, env } = prepare(false);
  // The page with what its commands print now: `npx vitest run test/cli/pages.test.ts -u` writes it.
  const now = page.replace(/```sh\n(.*?)```\n\n```text\n.*?```/gs, (_block, commands: string) => {
    const ran = spawnSync('bash', ['-c', commands], { cwd, env, encoding: 'utf8' });
    expect(ran.stderr).toBe('');
    return `\`\`\`sh\n${commands}\`\`\`\n\n\`\`\`text\n${ran.stdout.trim()}\n\`\`\``;
  });
  await expect(now).toMatchFileSnapshot('../../docs/tutorial.md');
});

describe('docs/ci.md', () => {
  const page = readFileSync(join(root, 'docs/ci.md'), 'utf8');
  const blocks = [...page.matchAll(/```(\w+)\n(.*?)```/gs)].map(([, language, text]) => ({ language, text: text! }));
  const commands = blocks.flatMap(({ language, text }) => {
    if (language === 'sh') return [text.trim()];
    const file = parse(text);
    const steps = file.jobs?.check.steps.map(({ run }: { run?: string }) => run) ?? file.policies.script;
    return steps.filter((step: string | undefined) => step?.startsWith('npx verdict'));
  });

  it.each(commands)('%s', (command) => {
    const { cwd, env } = prepare(true);
    const git = (...args: string[]) => execFileSync('git', args, { cwd, env, stdio: 'pipe' });
    git('init', '-q', '-b', 'main');
    git('add', '.');
    git('commit', '-q', '-m', 'policies');
    git('update-ref', 'refs/remotes/origin/main', 'HEAD');
    mkdirSync(join(cwd, 'summary'));
    const variables = {
      CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'main',
      GITHUB_STEP_SUMMARY: join(cwd, 'summary/step.md'),
    };
    const ran = spawnSync('bash', ['-o', 'pipefail', '-c', command], {
      cwd,
      env: { ...env, ...variables },
      encoding: 'utf8',
    });
    expect(ran.stderr).toBe('');
    expect(ran.status).toBe(0);
  });
});
