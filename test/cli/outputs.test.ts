/** What the commands print on the bundled sets, whole: `npx vitest run test/cli -u` writes the files anew. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { roleModel } from '../models.js';
import { verdict, workFolder } from './run.js';

const commands: [name: string, code: number, args: string[]][] = [
  ['help', 0, ['--help']],
  ['lint-help', 0, ['lint', '--help']],
  ['log-query-help', 0, ['log', 'query', '--help']],
  ['lint', 0, ['lint']],
  ['lint-json', 0, ['lint', 'policies/default', '--output', 'json']],
  ['lint-junit', 0, ['lint', 'policies', '--output', 'junit']],
  ['fmt-check', 0, ['fmt', '--check', 'policies']],
  ['test', 0, ['test', 'policies']],
  ['decide-allow', 0, ['decide', 'policies/default', '--subject', 'dana', '--action', 'read', '--resource', 'L-2231']],
  ['decide-deny', 1, ['decide', 'policies/default', '--subject', 'dana', '--action', 'write', '--resource', 'R-5190']],
  [
    'decide-json',
    0,
    [
      ...['decide', 'policies/invoices', '--subject', 'greta', '--action', 'approve', '--resource', 'INV-1044'],
      ...['--output', 'json'],
    ],
  ],
  [
    'decide-attributes',
    0,
    [
      ...['decide', 'policies/invoices', '--subject', 'amara', '--action', 'approve', '--resource', 'invoice:new'],
      ...['--attr', 'amount=900', '--attr', 'resource.department=sales', '--attr', 'owner=felix'],
    ],
  ],
  ['init', 0, ['init', 'documents', '--template', 'rbac']],
  [
    'explain-allow',
    0,
    ['explain', 'policies/default', '--subject', 'dana', '--action', 'read', '--resource', 'L-2231'],
  ],
  [
    'explain-deny',
    1,
    ['explain', 'policies/default', '--subject', 'imran', '--action', 'sign', '--resource', 'D-0342'],
  ],
  [
    'explain-attributes',
    1,
    [
      ...['explain', 'policies/invoices', '--subject', 'amara', '--action', 'approve', '--resource', 'invoice:new'],
      ...['--attr', 'amount=900', '--at', '2026-11-18T10:00:00Z'],
    ],
  ],
  ['explain-plan', 0, ['explain', 'policies/invoices', '--plan']],
  ['who-can', 0, ['who-can', 'policies/default', '--action', 'read', '--resource', 'L-2231']],
  ['what-can', 0, ['what-can', 'policies/workspaces', '--subject', 'priya']],
  ['access-review', 0, ['access-review', 'policies/default', '--output', 'csv']],
  ['access-review-json', 0, ['access-review', 'policies/workspaces', '--subject', 'user:sam', '--output', 'json']],
];

describe.each(commands)('%s', (name, code, args) => {
  it(`ends with ${code} and prints what is kept`, async () => {
    const ran = await verdict(args, { cwd: workFolder() });
    expect(ran.stderr).toBe('');
    await expect(ran.stdout).toMatchFileSnapshot(`outputs/${name}.txt`);
    expect(ran.code).toBe(code);
  });
});

const faulty = `\n${roleModel}`;

function faultyFolder(): string {
  const folder = workFolder({ policies: false });
  mkdirSync(join(folder, 'faulty'));
  writeFileSync(join(folder, 'faulty/model.conf'), faulty);
  writeFileSync(join(folder, 'faulty/rules.csv'), 'p, a, d, read\np, a, d, read\nq, a, b\np,a, d\ng, x, a\n');
  return folder;
}

describe('a set with faults', () => {
  it.each([
    ['faulty-lint', ['lint', 'faulty']],
    ['faulty-sarif', ['lint', 'faulty', '--output', 'sarif']],
    ['faulty-lint-junit', ['lint', 'faulty', '--output', 'junit']],
    ['faulty-test', ['test', 'faulty']],
    ['faulty-junit', ['test', 'faulty', '--output', 'junit']],
  ] as const)('%s: is told with its places, and ends with 1', async (name, args) => {
    const cwd = faultyFolder();
    const ran = await verdict(args, { cwd });
    const text = ran.stdout.replace(/time="[\d.]+"/g, 'time="0.000"');
    await expect(text).toMatchFileSnapshot(`outputs/${name}.txt`);
    expect(ran.code).toBe(1);
  });

  it('is not decided on', async () => {
    const ran = await verdict(['decide', 'faulty', '--subject', 'a', '--action', 'read', '--resource', 'd'], {
      cwd: faultyFolder(),
    });
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain('does not load\n  rules.csv:3:1: error unknown_ptype');
  });
});

it('a failing test shows the reason and the smallest change', async () => {
  const cwd = workFolder();
  mkdirSync(join(cwd, 'policies/default/tests'), { recursive: true });
  const tests = `tests:
  - name: who signs
    allow: { imran: { D-0342: sign }, helena: { D-0342: [sign, write] } }
`;
  writeFileSync(join(cwd, 'policies/default/tests/wrong.yaml'), tests);
  const ran = await verdict(['test', 'policies/default'], { cwd });
  await expect(ran.stdout).toMatchFileSnapshot('outputs/failing-test.txt');
  expect(ran.code).toBe(1);
});

describe('wrong usage ends with 2 and says what to do', () => {
  it.each([
    [['frob'], "unknown command 'frob'"],
    [['lint', 'nowhere'], 'there is no nowhere'],
    [['lint', '--output', 'xml'], "argument 'xml' is invalid. Allowed choices are text, json, junit, sarif."],
    [['test', '--output', 'csv'], "argument 'csv' is invalid. Allowed choices are text, json, junit, sarif."],
    [['diff', 'policies', 'policies', '--output', 'sarif'], 'Allowed choices are text, json.'],
    [['access-review', 'policies/default', '--output', 'junit'], 'Allowed choices are text, json, csv.'],
    [['openapi', '--output', 'text'], 'Allowed choices are json.'],
    [['fmt', '--output', 'json'], "unknown option '--output'"],
    [['decide', 'policies'], 'policies holds 5 policy sets'],
    [['decide', 'policies/default', '--subject', 'dana'], 'a question needs --subject, --action and --resource'],
    [['init', 'policies'], 'policies is not empty'],
    [
      ['decide', 'policies/default', '--subject', 'a', '--action', 'b', '--resource', 'c', '--attr', 'x'],
      'is no attribute',
    ],
    [
      ['decide', '--url', 'http://127.0.0.1:1', '--subject', 'a', '--action', 'b', '--resource', 'c'],
      'cannot be reached',
    ],
  ])('%j', async (args, message) => {
    const ran = await verdict(args, { cwd: workFolder() });
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain(message);
  });
});
