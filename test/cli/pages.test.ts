/** docs/tutorial.md and others: their commands run, in order, and print what the page shows. */
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { workFolder } from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A folder with `verdict`, and `npx --no -- verdict`, on the path. */
function prepare(policies: boolean): { readonly cwd: string; readonly env: Record<string, string> } {
  const cwd = workFolder({ policies });
  const bin = workFolder({ policies: false });
  const scripts = {
    verdict: `exec '${process.execPath}' '${root}dist/cli.js' "$@"`,
    npx: 'shift 3; exec verdict "$@"',
  };
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const author = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@example.org' };
  const committer = { GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@example.org' };
  return { cwd, env: { PATH: `${bin}:${process.env.PATH}`, HOME: cwd, ...author, ...committer } };
}

it('docs/tutorial.md prints what it shows', async () => {
  await expect(pageAsPrinted('tutorial')).toMatchFileSnapshot('../../docs/tutorial.md');
});

it('docs/testing-policies.md prints what it shows', async () => {
  await expect(pageAsPrinted('testing-policies')).toMatchFileSnapshot('../../docs/testing-policies.md');
});

/** A page with what its commands print now: `npx vitest run test/cli/pages.test.ts -u` writes it. */
function pageAsPrinted(name: string): string {
  const page = readFileSync(join(root, `docs/${name}.md`), 'utf8');
  const { cwd, env } = prepare(false);
  return page.replace(/```sh\n(.*?)```\n\n```text\n.*?```/gs, (_block, commands: string) => {
    const ran = spawnSync('bash', ['-c', commands], { cwd, env, encoding: 'utf8' });
    expect(ran.stderr).toBe('');
    return `\`\`\`sh\n${commands}\`\`\`\n\n\`\`\`text\n${ran.stdout.trim()}\n\`\`\``;
  });
}
