/** `verdict test generate`: from a service that runs, its database, and an exported file. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PostgresDecisionLog } from '../../src/decision-log/postgres/postgres-decision-log.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { type Service, startService } from '../http/service.js';
import { type Ran, verdict, workFolder } from './run.js';

const files = {
  'model.conf': `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, when, eft, reason, obligations
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act && eval(p.when)
`,
  'rules.csv':
    'p, staff, letter, read, true, allow, "Staff: read", "[{""log"": true}]"\n' +
    'p, staff, letter, write, now() > 1767225600, allow, , \n' +
    'p, guest, letter, read, r.obj.secret, deny, "It is secret", \n' +
    'g, ann, staff\ng, eve, guest\ng, eve, staff\n',
  'policy-set.yaml': 'request: { obj: resource.type }\ndecisionLog: { mask: [/subject/attributes/ssn] }\n',
};

let service: Service;
let url: string;
let database: string;

interface Asked {
  readonly subject: unknown;
  readonly action: unknown;
  readonly resource: unknown;
  readonly attributes?: unknown;
}
const letter = (attributes: object) => ({ type: 'letter', id: 'true', attributes });

async function askAll(service: Service): Promise<void> {
  const ask = async (asked: Asked, times = 1): Promise<void> => {
    for (let time = 0; time < times; time++) {
      const { status } = await service.post('/v1/decide', asked);
      expect(status).toBe(200);
    }
  };
  await ask({ subject: 'ann', action: 'read', resource: letter({ secret: false }) }, 5);
  await ask({
    subject: 'ann',
    action: 'read',
    resource: letter({ secret: true, "a: {b} '#": ['\u2028"\\', 1.5e300, null] }),
  });
  // It is asked of the clock: the default clock of tests denies it.
  await ask({
    subject: 'ann',
    action: { name: 'write', attributes: { 'y-1': 'no' } },
    resource: letter({ secret: false }),
  });
  await ask({ subject: 'eve', action: 'read', resource: letter({ secret: true }), attributes: { ip: '10.0.0.1' } });
  // An error of a deny rule.
  await ask({ subject: 'eve', action: 'read', resource: { type: 'letter', id: 'x' } }, 2);
  await ask({ subject: 'bob', action: 'read', resource: letter({ secret: false }) });
  await ask({
    subject: { id: 'ann', attributes: { ssn: '078-05-1120' } },
    action: 'read',
    resource: letter({ secret: false }),
  });
}

const policies = Object.fromEntries(Object.entries(files).map(([name, text]) => [`letters/${name}`, text]));

beforeAll(async () => {
  service = await startService(policies);
  await service.app.listen(0, '127.0.0.1');
  url = await service.app.getUrl();
  database = join(service.directory, 'data/verdict.sqlite');
  await askAll(service);
}, 60_000);

afterAll(() => service.stop());

function folder(changes: Readonly<Record<string, string>> = {}): string {
  const cwd = workFolder({ policies: false });
  mkdirSync(join(cwd, 'letters'));
  for (const [name, text] of Object.entries({ ...files, ...changes })) writeFileSync(join(cwd, 'letters', name), text);
  return cwd;
}

const generate = (cwd: string, ...args: string[]): Promise<Ran> =>
  verdict(['test', 'generate', 'letters', ...args], { cwd });
const written = (cwd: string) => readFileSync(join(cwd, 'letters/tests/logged.yaml'), 'utf8');
const withoutIds = (text: string) => text.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID').replace(/at: ".*"/, 'at: TIME');

describe('verdict test generate', () => {
  it('writes one test for each rule, effect and shape that was decided, which the folder passes', async () => {
    const cwd = folder();
    const ran = await generate(cwd, '--database', database);
    expect(ran.stderr).toBe('');
    expect(ran.stdout).toBe(
      'wrote letters/tests/logged.yaml: 6 tests from 12 decisions, with 3 rules that decided\n  left out: 1 with masked values\n',
    );
    expect(ran.code).toBe(0);
    expect(withoutIds(written(cwd))).toBe(document);
    const tested = await verdict(['test', 'letters', '--coverage'], { cwd });
    expect(tested.stdout).toContain('✓ letters 6 of 6 tests passed');
    expect(tested.stdout).toContain('    rules       3 of 3 decided a test\n');
  });

  it('writes the same from the service, and from an export', async () => {
    const cwd = folder();
    await generate(cwd, '--database', database);
    const expected = written(cwd);
    const again = async (...args: string[]) => {
      expect(await generate(cwd, '--force', ...args)).toMatchObject({ code: 0, stderr: '' });
      return written(cwd);
    };
    expect(await again('--url', url)).toBe(expected);
    const exported = await verdict(['log', 'export', '--database', database], { cwd });
    writeFileSync(join(cwd, 'all.ndjson'), exported.stdout.trimEnd());
    expect(await again('--file', 'all.ndjson')).toBe(expected);
    const proven = await verdict(['log', 'export', '--proof', '--database', database], { cwd });
    writeFileSync(join(cwd, 'proven.ndjson'), proven.stdout);
    expect(await generate(cwd, '--force', '--file', 'proven.ndjson')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('proven.ndjson:1 is no exported decision'),
    });
    expect(written(cwd)).toBe(expected);
    const filtered = await generate(cwd, '--force', '--file', 'all.ndjson', '--subject', 'eve', '--decision', 'deny');
    expect(filtered.stdout).toContain('2 tests from 3 decisions, with 1 rule that decided');
    const byTime = await generate(cwd, '--force', '--database', database, '--to', '2001-01-01T00:00:00Z');
    expect(byTime).toMatchObject({ code: 1, stderr: 'no test was written: of 0 decisions none can be one\n' });
    const condition = await generate(cwd, '--force', '--database', database, '--filter', 'resource.secret == true');
    expect(condition.stdout).toContain('2 tests from 2 decisions');
    expect(condition.stdout).toContain('  left out: 2 of which --filter could say nothing\n');
  });

  it('leaves out what the folder decides otherwise, and what is masked, erased, a search or a gap, and counts it', async () => {
    const cwd = folder({ 'rules.csv': files['rules.csv'].replace('Staff: read', 'Read by staff') });
    const exported = await verdict(['log', 'export', '--database', database], { cwd });
    const [first = '', ...lines] = exported.stdout.trimEnd().split('\n');
    const record = JSON.parse(lines.at(-1)!);
    const { masked: _, ...unmarked } = JSON.parse(first);
    const asked = { ...record.request, subject: { id: 'a\u0007' } };
    const more = [
      { ...record, erased: { erasures: [{ id: 'e', time: record.time }] } },
      { ...record, search: { kind: 'subject', examined: 1, complete: true, results: [] } },
      { gap: { from: 1, to: 2 } },
      // As releases wrote it that did not say so.
      unmarked,
      { ...record, reason: { code: 'no_matching_rule' }, decision: 'deny', obligations: [], request: asked },
    ];
    writeFileSync(join(cwd, 'all.ndjson'), [first, ...lines, ...more.map((each) => JSON.stringify(each))].join('\n'));
    const ran = await generate(cwd, '--file', 'all.ndjson');
    expect(ran.stdout.split('\n').slice(1)).toEqual([
      '  left out: 2 with masked values',
      '  left out: 1 that were erased from',
      '  left out: 6 that this folder decides otherwise: `verdict log replay` explains one',
      '  left out: 1 searches',
      '  left out: 1 gaps of the log',
      '  no test is decided by p, staff, letter, read, true, allow, Staff: read, [{"log": true}]',
      '',
    ]);
    expect((await verdict(['test', 'letters'], { cwd })).code).toBe(0);
  });

  it('writes one test of each rule and reason before a second one', async () => {
    const cwd = folder();
    const ran = await generate(cwd, '--database', database, '--max', '5');
    expect(ran.stdout).toContain('5 tests from 12 decisions, with 3 rules that decided');
    expect(ran.stdout).toContain('  left out: 1 further shapes of requests: --max\n');
    expect((await generate(cwd, '--database', database, '--max', '6', '--force')).stdout).not.toContain('--max');
    // What no test that was written is decided by is named, also where --max left it out.
    const one = await generate(cwd, '--database', database, '--max', '1', '--force');
    expect(one.stdout).toContain('1 test from 12 decisions, with 1 rule that decided');
    expect(one.stdout.split('\n').filter((line) => line.startsWith('  no test is decided by'))).toHaveLength(2);
    expect(ran.stdout).not.toContain('no test is decided by');
  });

  it('never writes over a file without --force', async () => {
    const cwd = folder();
    mkdirSync(join(cwd, 'letters/tests'));
    writeFileSync(join(cwd, 'letters/tests/logged.yaml'), 'tests: []\n');
    expect(await generate(cwd, '--database', database)).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('letters/tests/logged.yaml is there already'),
    });
    expect(written(cwd)).toBe('tests: []\n');
    const named = await generate(cwd, '--database', database, '--write', 'new/named.yaml');
    expect(named.code).toBe(0);
    expect((await generate(cwd, '--database', database, '--force')).code).toBe(0);
    expect(withoutIds(written(cwd))).toBe(document);
  });

  it.each([
    [[], 'say where the decisions are: --database, --url or --file'],
    [['--file', 'no.ndjson'], 'no.ndjson cannot be read'],
    [['--file', 'letters'], 'letters cannot be read'],
    [['--file', 'letters/rules.csv'], 'letters/rules.csv:1 is no exported decision'],
    [['--file', 'null.ndjson'], 'null.ndjson:2 is no exported decision'],
    [['--file', 'null.ndjson', '--from', 'noon'], 'from is not a time'],
    [['--file', 'a', '--filter', 'true'], "cannot be used with option '--filter <condition>'"],
    [['--file', 'a', '--url', 'http://127.0.0.1:1'], "cannot be used with option '--url <url>'"],
    [['--database', 'no.sqlite'], 'there is no decision log no.decisions.sqlite'],
    [['--database', 'x', '--max', '0'], 'It must be a whole number above 0.'],
  ])('%j is refused', async (args, why) => {
    const cwd = folder();
    writeFileSync(join(cwd, 'null.ndjson'), '\nnull\n');
    expect(await generate(cwd, ...args)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(why) });
  });
});

const document = `# Written by \`verdict test generate\`: what was decided, one of each rule, effect and shape of request.
description: Logged decisions.

tests:
  # p, guest, letter, read, r.obj.secret, deny, ,  (decision ID)
  - name: "eve read x"
    subject: { id: eve }
    action: read
    resource: { type: letter, id: x }
    expect: { decision: deny, reason: evaluation_error, errors: [missing_attribute] }

  # no_matching_rule (decision ID)
  - name: "bob read true"
    subject: { id: bob }
    action: read
    resource: { type: letter, id: "true", attributes: { secret: false } }
    expect: { decision: deny, reason: no_matching_rule }

  # p, guest, letter, read, r.obj.secret, deny, It is secret,  (decision ID)
  - name: "eve read true"
    subject: { id: eve }
    action: read
    resource: { type: letter, id: "true", attributes: { secret: true } }
    attributes: { ip: "10.0.0.1" }
    expect: { decision: deny, reason: rule_denied, message: "It is secret" }

  # p, staff, letter, read, true, allow, Staff: read, [{"log": true}] (decision ID)
  - name: "ann read true"
    subject: { id: ann }
    action: read
    resource: { type: letter, id: "true", attributes: { "a: {b} '#": ["\\u2028\\"\\\\", 1.5e+300, null], secret: true } }
    expect: { decision: allow, reason: rule_allowed, message: "Staff: read", obligations: [{ log: true }] }

  # p, staff, letter, read, true, allow, Staff: read, [{"log": true}] (decision ID)
  - name: "ann read true"
    subject: { id: ann }
    action: read
    resource: { type: letter, id: "true", attributes: { secret: false } }
    expect: { decision: allow, reason: rule_allowed, message: "Staff: read", obligations: [{ log: true }] }

  # p, staff, letter, write, now() > 1767225600, allow, ,  (decision ID)
  - name: "ann write true"
    subject: { id: ann }
    action: { name: write, attributes: { y-1: "no" } }
    resource: { type: letter, id: "true", attributes: { secret: false } }
    at: TIME
    expect: { decision: allow, reason: rule_allowed }
`;

describe.skipIf(!hasPostgres)('verdict test generate with PostgreSQL as the log', () => {
  const server = postgresForTests();

  it('writes the same from all that replicas have shipped, whether a service runs or none', {
    timeout: 120_000,
  }, async () => {
    const databaseUrl = await server().createDatabase();
    const spoolDir = mkdtempSync(join(tmpdir(), 'verdict-spool-'));
    const shared = await startService(policies, { databaseUrl, spoolDir });
    try {
      await askAll(shared);
      await (shared.log as PostgresDecisionLog).shipped();
      const cwd = folder();
      const ran = await generate(cwd, '--database', databaseUrl);
      expect(ran).toMatchObject({ code: 0, stderr: '' });
      expect(ran.stdout).toContain(
        '6 tests from 12 decisions, with 3 rules that decided\n  left out: 1 with masked values\n',
      );
      expect(withoutIds(written(cwd))).toBe(document);
      const filtered = await generate(
        cwd,
        '--database',
        databaseUrl,
        '--force',
        '--subject',
        'eve',
        '--decision',
        'deny',
      );
      expect(filtered.stdout).toContain('2 tests from 3 decisions, with 1 rule that decided');
    } finally {
      await shared.stop();
    }
    const alone = folder();
    expect(await generate(alone, '--database', databaseUrl)).toMatchObject({ code: 0, stderr: '' });
    expect(withoutIds(written(alone))).toBe(document);
    expect((await verdict(['test', 'letters'], { cwd: alone })).code).toBe(0);
  });
});
