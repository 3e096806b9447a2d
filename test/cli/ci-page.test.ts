/** docs/ci.md is true: its jobs run as the two services run them, on a repository with a change that grants something. */
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs/ci.md'), 'utf8');
const [github, gitlab, simulating, simulatingAtGitLab] = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) =>
  parse(text!),
);

interface Step {
  readonly run?: string;
  readonly shell?: string;
}

const steps = (github.jobs.check.steps as Step[]).filter((step) => step.run !== undefined);
const script = gitlab.policies.script as string[];
const hook = /```sh\n([\s\S]*?)```/.exec(page.slice(page.indexOf('## Before a commit')))![1]!;

describe('docs/ci.md', () => {
  let folder: string;
  let repository: string;
  let base: string;
  let summary: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'verdict-ci-'));
    summary = join(folder, 'summary.md');
    const origin = join(folder, 'origin');
    repository = join(folder, 'checkout');
    cpSync(join(root, 'policies'), join(origin, 'policies'), { recursive: true });
    git(origin, 'init', '-q', '-b', 'main');
    commit(origin);
    git(folder, 'clone', '-q', origin, repository);
    base = git(repository, 'rev-parse', 'HEAD').trim();
    git(repository, 'switch', '-q', '-c', 'change');
    appendFileSync(join(repository, 'policies/default/permissions.csv'), '\np, receptionist, directory, edit\n');
    commit(repository);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** As the services do: `bash -e`, with pipefail where the step says `shell: bash`, and always at GitLab. */
  function run(text: string, pipefail: boolean, options = ''): { code: number | null; output: string } {
    const command = text
      .replaceAll('npm ci', 'true')
      .replace('verdict diff', `verdict diff ${options}`)
      .replaceAll('npx --no -- verdict', `"${process.execPath}" "${join(root, 'dist/cli.js')}"`);
    const { PATH, HOME } = process.env;
    const env = { PATH, HOME, GITHUB_STEP_SUMMARY: summary, CI_MERGE_REQUEST_DIFF_BASE_SHA: base };
    const args = [...(pipefail ? ['-eo', 'pipefail'] : ['-e']), '-c', command];
    const { status, stdout, stderr } = spawnSync('bash', args, { cwd: repository, env, encoding: 'utf8' });
    return { code: status, output: stdout + stderr };
  }

  it('shows a workflow whose steps pass, with a report of findings and a summary that names what is granted', () => {
    expect(steps.length).toBeGreaterThanOrEqual(5);
    for (const step of steps) expect(run(step.run!, step.shell === 'bash'), step.run).toMatchObject({ code: 0 });
    expect(JSON.parse(readFileSync(join(repository, 'lint.sarif'), 'utf8')).version).toBe('2.1.0');
    expect(readFileSync(summary, 'utf8')).toContain('tomas');
  });

  it('shows a workflow that --fail-on gain stops', () => {
    const last = steps.at(-1)!;
    expect(run(last.run!, last.shell === 'bash', '--fail-on gain')).toMatchObject({ code: 1 });
  });

  it('shows a pipeline whose script passes and leaves its reports, and that --fail-on gain stops', () => {
    for (const line of script) expect(run(line, true), line).toMatchObject({ code: 0 });
    const reports = gitlab.policies.artifacts.reports.junit as string[];
    for (const report of reports) expect(readFileSync(join(repository, report), 'utf8')).toMatch(/^<\?xml/);
    expect(run(script.at(-1)!, true, '--fail-on gain')).toMatchObject({ code: 1 });
  });

  describe('of a simulation', () => {
    const logged = {
      id: '0199c2f6-3d41-7003-8a41-90b7c3d9e211',
      policySet: 'default',
      policyVersion: `sha256:${'0'.repeat(64)}`,
      request: {
        subject: { type: 'user', id: 'tomas' },
        action: { name: 'edit' },
        resource: { type: 'directory', id: 'D-1' },
      },
      semantics: 2,
      decision: 'deny',
      reason: { code: 'no_matching_rule' },
      errors: [],
      obligations: [],
    };
    const time = new Date().toISOString();
    const gates = [
      [(simulating.jobs.simulate.steps as Step[]).at(-1)!.run!],
      [(simulatingAtGitLab.simulate.script as string[]).at(-1)!],
    ];

    it.each(gates)('stops what would have granted something: %s', (line) => {
      writeFileSync(join(repository, 'log.ndjson'), `${JSON.stringify({ ...logged, time, clock: time })}\n`);
      const simulate = (set: string) =>
        run(
          line
            .replace('node .verdict/dist/cli.js', 'npx --no -- verdict')
            .replace('--url "$PDP"', `--policy-set default --file log.ndjson`)
            .replaceAll('policies/invoices', set),
          true,
        );
      expect(simulate('policies/default').code).toBe(1);
      expect(simulate(join(root, 'policies/default'))).toMatchObject({ code: 0 });
    });
  });

  it('shows a hook that passes, and stops a file that is not in form', () => {
    expect(run(hook, true)).toMatchObject({ code: 0 });
    appendFileSync(join(repository, 'policies/default/permissions.csv'), 'p,receptionist,   directory,read');
    expect(run(hook, true)).toMatchObject({ code: 1 });
    git(repository, 'checkout', '-q', '.');
  });
});

function git(cwd: string, ...args: string[]): string {
  const identity = ['-c', 'user.name=Ann', '-c', 'user.email=ann@example.org'];
  return execFileSync('git', [...identity, ...args], { cwd, encoding: 'utf8' });
}

function commit(cwd: string): void {
  git(cwd, 'add', '-A');
  git(cwd, 'commit', '-q', '-m', 'A change');
}
