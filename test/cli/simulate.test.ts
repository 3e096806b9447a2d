/** `verdict simulate` as people and build servers run it: on files, on a service, on an export, as a gate. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PostgresDecisionLog } from '../../src/decision-log/postgres/postgres-decision-log.js';
import type { SimulationResult } from '../../src/pdp/simulation/simulation-result.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { type Service, startService } from '../http/service.js';
import { type Ran, verdict, workFolder } from './run.js';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`;
const before = 'p, ann, doc, read\np, bob, doc, read\n';
const after = 'p, ann, doc, read\np, cy, doc, read\n';
const policies = { 'docs/model.conf': model, 'docs/rules.csv': before };

/** A folder with a candidate. */
function candidate(rules = after): string {
  const cwd = workFolder({ policies: false });
  writeSet(join(cwd, 'docs'), rules);
  return cwd;
}

function writeSet(path: string, rules: string): void {
  mkdirSync(path);
  writeFileSync(join(path, 'model.conf'), model);
  writeFileSync(join(path, 'rules.csv'), rules);
}

const resultIn = ({ stdout }: Ran): SimulationResult & { gate?: object } => JSON.parse(stdout);

async function decideAll(service: Service): Promise<void> {
  for (const subject of ['ann', 'bob', 'cy', 'bob']) {
    const asked = { subject, action: 'read', resource: 'doc', policySet: 'docs' };
    const { status } = await service.post('/v1/decide', asked);
    expect(status).toBe(200);
  }
}

describe.each([
  ['SQLite', true],
  ['PostgreSQL', hasPostgres],
] as const)('verdict simulate on %s', (kind, isThere) => {
  const server = postgresForTests();
  let service: Service;
  let database: string;

  beforeAll(async () => {
    if (!isThere) return;
    const url = kind === 'PostgreSQL' ? await server().createDatabase() : undefined;
    service = await startService(
      policies,
      url === undefined ? {} : { databaseUrl: url, spoolDir: mkdtempSync(join(tmpdir(), 'verdict-spool-')) },
    );
    database = url ?? join(service.directory, 'data', 'verdict.sqlite');
    await decideAll(service);
    if (url !== undefined) await (service.log as PostgresDecisionLog).shipped();
  }, 60_000);
  afterAll(() => service?.stop());

  it.skipIf(!isThere)('shows who gains and loses what, and by which rule', async () => {
    const ran = await verdict(['simulate', 'docs', '--database', database, '--output', 'json'], { cwd: candidate() });
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(resultIn(ran)).toMatchObject({
      policySet: 'docs',
      complete: true,
      answered: 4,
      gained: 1,
      lost: 2,
      unchecked: [],
      rules: [
        { kind: 'loss', count: 2, before: { rule: ['p', 'bob', 'doc', 'read'], file: 'rules.csv', line: 2 } },
        { kind: 'gain', count: 1, after: { rule: ['p', 'cy', 'doc', 'read'], file: 'rules.csv', line: 2 } },
      ],
    });
    const filtered = await verdict(
      ['simulate', 'docs', '--database', database, '--filter', "decision == 'deny'", '--output', 'json'],
      { cwd: candidate() },
    );
    expect(resultIn(filtered)).toMatchObject({ answered: 1, gained: 1, lost: 0 });
  });

  it.skipIf(!isThere)('asks a service', async () => {
    await service.app.listen(0, '127.0.0.1');
    const url = await service.app.getUrl();
    const ran = await verdict(['simulate', 'docs', '--url', url, '--output', 'json'], { cwd: candidate() });
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(resultIn(ran)).toMatchObject({ complete: true, answered: 4, gained: 1, lost: 2, unchecked: [] });
  });

  it.skipIf(!isThere)('takes a version that has served', async () => {
    const { version } = (await service.get('/v1/policy-sets/docs')).body;
    const args = ['--database', database, '--policy-set', 'docs', '--output', 'json'];
    const ran = await verdict(['simulate', version.slice(0, 15), ...args], { cwd: workFolder({ policies: false }) });
    expect(resultIn(ran)).toMatchObject({ candidate: version, answered: 4, changed: 0, complete: true });
  });

  it.skipIf(!isThere || kind !== 'PostgreSQL')('names a replica that is silent, also through a service', async () => {
    const table = `"${new URL(database).searchParams.get('schema') ?? 'verdict'}".decision_writer`;
    await server().query(
      `INSERT INTO ${table} (journal, id_writer, instance, state, beat, decided, shipped, complete_to)
       SELECT reverse(journal), id_writer + 1, 'pdp-2', 'running', now() - interval '1 minute', 9, 9, ${Date.now() - 60_000} FROM ${table}`,
      database,
    );
    const url = await service.app.getUrl();
    for (const from of [
      ['--database', database],
      ['--url', url],
    ]) {
      const ran = await verdict(['simulate', 'docs', ...from, '--output', 'json'], { cwd: candidate() });
      expect(resultIn(ran), ran.stderr).toMatchObject({
        complete: false,
        writers: [expect.stringMatching(/^\d+ \(pdp-2\)$/)],
      });
      const earlier = [...from, '--to', new Date(Date.now() - 120_000).toISOString(), '--output', 'json'];
      expect(resultIn(await verdict(['simulate', 'docs', ...earlier], { cwd: candidate() }))).not.toHaveProperty(
        'writers',
      );
    }
  });
});

describe('verdict simulate on an export', () => {
  let folder: string;
  let exported: string;
  beforeAll(async () => {
    const service = await startService(policies);
    await decideAll(service);
    exported = (await service.get('/v1/decisions/export')).body;
    await service.stop();
  });

  const simulate = (...args: string[]): Promise<Ran> => {
    folder = candidate();
    writeFileSync(join(folder, 'log.ndjson'), exported);
    return verdict(['simulate', 'docs', '--file', 'log.ndjson', ...args], { cwd: folder });
  };

  it('answers it, and says that changes were not checked for drift', async () => {
    const ran = await simulate();
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toContain('4 decisions answered again');
    expect(ran.stdout).toContain('3 changed: 1 gained, 2 lost');
    expect(ran.stdout).toContain('before allow by p, bob, doc, read  (rules.csv:2)');
    expect(ran.stdout).toContain('3 of the changes could not be checked for drift: their version is not there');
  });

  it.each([
    [['--fail-on', 'gain'], 1, /1 decision, 0 are allowed/],
    [['--fail-on', 'loss', '--max', '1'], 1, /2 decisions, 1 are allowed/],
    [['--fail-on', 'loss', '--max', '2'], 0, /^$/],
    [['--fail-on', 'error'], 0, /^$/],
    [['--fail-on', 'gain,loss,error', '--max', '3'], 0, /^$/],
    [
      ['--fail-on', 'error', '--to', '2020-01-01'],
      1,
      /not all decisions were answered again: --fail-on error does not pass/,
    ],
    [['--fail-on', 'error', '--to', '2020-01-01', '--allow-incomplete'], 0, /which --allow-incomplete allows/],
    [['--fail-on', 'error', '--filter', 'subject.level > 2'], 1, /does not pass/],
  ])('as a gate with %j ends with %i', async (args, code, said) => {
    const ran = await simulate(...args);
    expect(ran.code).toBe(code);
    expect(ran.stderr.trim()).toMatch(said);
  });

  it('repeats --allow-incomplete in its output', async () => {
    const ran = await simulate('--fail-on', 'gain', '--to', '2020-01-01', '--allow-incomplete', '--output', 'json');
    expect(resultIn(ran)).toMatchObject({
      complete: false,
      gate: { failOn: ['gain'], max: 0, found: 0, passed: true, allowIncomplete: true },
    });
  });

  it('writes JUnit and SARIF with the rules of the candidate', async () => {
    const sarif = JSON.parse((await simulate('--output', 'sarif')).stdout);
    const [{ results }] = sarif.runs;
    expect(results).toMatchObject([
      {
        ruleId: 'simulated_gain',
        locations: [{ physicalLocation: { artifactLocation: { uri: 'docs/rules.csv' }, region: { startLine: 2 } } }],
      },
      { ruleId: 'simulated_loss', locations: [{ physicalLocation: { artifactLocation: { uri: 'docs/model.conf' } } }] },
    ]);
    const junit = await simulate('--output', 'junit', '--fail-on', 'gain');
    expect(junit.code).toBe(1);
    expect(junit.stdout).toContain('failures="1"');
    const passed = await simulate('--output', 'junit', '--fail-on', 'error');
    expect(passed.stdout).toContain('<testcase classname="docs" name="logged decisions"/>');
  });

  it.each([
    [['docs', '--file', 'none.ndjson'], 'none.ndjson cannot be read: ENOENT'],
    [['docs', '--file', 'docs'], 'docs is a folder'],
    [['docs', '--file', 'docs/rules.csv'], 'docs/rules.csv:1 is no JSON'],
    [['none', '--file', 'log.ndjson'], 'there is no folder, bundle or git revision none'],
    [
      ['docs/rules.csv', '--file', 'log.ndjson'],
      'docs/rules.csv is no candidate: the archive of docs/rules.csv is refused',
    ],
    [['docs', 'more', '--file', 'log.ndjson'], 'more goes with a git revision'],
    [['sha256:1f09', '--file', 'log.ndjson'], 'where is sha256:1f09 from?'],
    [['main..HEAD', '--file', 'log.ndjson'], 'main..HEAD is no candidate'],
    [['docs', '--file', 'log.ndjson', '--from', 'yesterday'], 'from is not a time'],
    [['docs', '--file', 'log.ndjson', '--from', '2026-03-03', '--to', '2026-03-02'], '--to is not after --from'],
    [['docs', '--file', 'log.ndjson', '--filter', 'subject =='], 'filter is no condition: character'],
    [['docs', '--file', 'log.ndjson', '--fail-on', 'gains'], 'There is no "gains": gain, loss, error.'],
    [['docs', '--file', 'log.ndjson', '--max', '3'], '--max goes with --fail-on'],
    [['docs', '--file', 'log.ndjson', '--allow-incomplete'], '--allow-incomplete goes with --fail-on'],
    [['docs', '--file', 'log.ndjson', '--threads', '0'], 'whole number from 1 to 64'],
    [['docs', '--database', 'none.sqlite'], 'there is no decision log'],
  ])('refuses %j', async (args, why) => {
    const cwd = candidate();
    writeFileSync(join(cwd, 'log.ndjson'), exported);
    const ran = await verdict(['simulate', ...args], { cwd });
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain(why);
  });

  it('refuses a candidate that does not load, with its problems', async () => {
    const cwd = candidate('p, ann, doc\n');
    writeFileSync(join(cwd, 'log.ndjson'), exported);
    const ran = await verdict(['simulate', 'docs', '--file', 'log.ndjson'], { cwd });
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain('rules.csv:1');
  });

  it('takes no other set for the one that is asked for', async () => {
    const cwd = candidate();
    writeFileSync(join(cwd, 'log.ndjson'), exported);
    mkdirSync(join(cwd, 'policies'));
    writeSet(join(cwd, 'policies/others'), after);
    const asked = ['--policy-set', 'docs', '--file', 'log.ndjson'];
    const ran = await verdict(['simulate', 'policies', ...asked, '--fail-on', 'gain'], { cwd });
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('policies holds no policy set "docs"') });
    // A folder that is the set may be called otherwise.
    const itself = await verdict(['simulate', 'policies/others', ...asked, '--output', 'json'], { cwd });
    expect(resultIn(itself)).toMatchObject({ policySet: 'docs', gained: 1, lost: 2 });
  });

  it('shows what was counted when it is interrupted, and passes no gate then', async () => {
    const cwd = candidate();
    execFileSync('mkfifo', [join(cwd, 'log.ndjson')]);
    const entry = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
    const gate = ['--fail-on', 'error', '--allow-incomplete'];
    const args = ['simulate', 'docs', '--file', 'log.ndjson', '--threads', '1', '--output', 'json', ...gate];
    const child = spawn(process.execPath, [entry, ...args], { cwd, env: { PATH: process.env.PATH } });
    let stdout = '';
    child.stdout.on('data', (chunk) => (stdout += chunk));
    const writer = await open(join(cwd, 'log.ndjson'), 'w');
    // A pipe holds 64 KiB: when so much is written, all but the end of it was read, and the first parts of it answered.
    await writer.writeFile(exported.repeat(2_000));
    child.kill('SIGINT');
    await writer.close();
    const [code] = await once(child, 'close');
    expect(code).toBe(1);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ complete: false, cancelled: true, gate: { found: 0, passed: false } });
    expect(result.answered).toBeGreaterThan(0);
    expect(result.lost).toBeGreaterThan(0);
  });
});
