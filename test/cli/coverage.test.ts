/** `verdict test --coverage` and `--filter`, from the outside. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { roleModel } from '../models.js';
import { verdict, workFolder } from './run.js';

const files = {
  'model.conf': roleModel,
  'rules.csv': 'p, reader, letter, read\np, writer, "<b>memo", write\ng, ann, reader\ng, bob, writer\n',
  'tests/a.yaml':
    'subjects: [ann]\nresources: [letter]\ntests:\n' +
    '  - { name: readers read, subject: ann, action: read, resource: letter, expect: allow }\n' +
    '  - { name: and do not write, subject: ann, action: write, resource: letter, expect: deny }\n',
};

function setFolder(more: Readonly<Record<string, string>> = {}): string {
  const cwd = workFolder({ policies: false });
  mkdirSync(join(cwd, 'letters/tests'), { recursive: true });
  for (const [name, text] of Object.entries({ ...files, ...more })) writeFileSync(join(cwd, 'letters', name), text);
  return cwd;
}

/** Rules 1 of 2; terms g true and false, obj true, act true and false: 5 of 6; role links 1 of 2; effects 2 of 2. */
const covered = '75 % (9 of 12)';

describe('verdict test --coverage', () => {
  it('says what is covered, and the place of what is not', async () => {
    const ran = await verdict(['test', 'letters', '--coverage'], { cwd: setFolder() });
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toBe(`✓ letters 2 of 2 tests passed
  coverage ${covered}
    rules       1 of 2 decided a test
    terms       5 of 6 outcomes: 3 terms, each true and false
    role links  1 of 2 were used
    effects     2 of 2 decided a test
  letters/model.conf:10:24: never false: r.obj == p.obj
  letters/rules.csv:2:1: never matched: p, writer, <b>memo, write
  letters/rules.csv:4:1: never used: g, bob, writer
2 tests in 1 policy set, 0 failed
`);
  });

  it('is the same with every rule covered, at 100 % and not below', async () => {
    const tests = `${files['tests/a.yaml']}  - { name: writers write, subject: { id: bob }, action: write, resource: { id: "<b>memo" }, expect: allow }
  - { name: but no letters, subject: { id: bob }, action: write, resource: letter, expect: deny }\n`;
    const cwd = setFolder({ 'tests/a.yaml': tests });
    const ran = await verdict(['test', 'letters', '--coverage', '--coverage-min', '100'], { cwd });
    expect(ran.stdout).toContain('  coverage 100 % (12 of 12)\n');
    expect(ran.code).toBe(0);
  });

  it('fails below --coverage-min, with the number, and passes at it', async () => {
    const cwd = setFolder();
    const below = await verdict(['test', 'letters', '--coverage', '--coverage-min', '75.1'], { cwd });
    expect(below.code).toBe(1);
    expect(below.stdout).toContain(`letters is covered by ${covered}, which is less than 75.1 %\n`);
    const at = await verdict(['test', 'letters', '--coverage', '--coverage-min', '75'], { cwd });
    expect(at.code).toBe(0);
    const json = await verdict(['test', 'letters', '--coverage', '--coverage-min', '80', '--output', 'json'], { cwd });
    expect(json).toMatchObject({ code: 1, stderr: expect.stringContaining('less than 80 %') });
    const [set] = JSON.parse(json.stdout).sets;
    expect(set.coverage).toMatchObject({
      percent: 75,
      counts: { all: { covered: 9, total: 12 }, roleLinks: { covered: 1, total: 2 } },
      rules: [{ file: 'rules.csv', line: 1, column: 1, decided: 1, matched: 1 }, { decided: 0 }],
      roleLinks: [{ link: ['g', 'ann', 'reader'], used: 1 }, { used: 0 }],
      effects: [
        { effect: 'rule_allowed', tests: 1 },
        { effect: 'no_matching_rule', tests: 1 },
      ],
    });
  });

  it('writes pages and an LCOV trace', async () => {
    const cwd = setFolder();
    const args = ['test', '--coverage', '--coverage-output', 'html,lcov', 'letters'];
    expect((await verdict(args, { cwd })).code).toBe(0);
    expect(readdirSync(join(cwd, 'coverage')).sort()).toEqual(['index.html', 'lcov.info', 'letters.html']);
    expect(readFileSync(join(cwd, 'coverage/lcov.info'), 'utf8')).toBe(`TN:
SF:letters/model.conf
BRDA:10,0,0,1
BRDA:10,0,1,1
BRDA:10,1,0,1
BRDA:10,1,1,0
BRDA:10,2,0,1
BRDA:10,2,1,1
BRF:6
BRH:5
DA:10,1
LF:1
LH:1
end_of_record
TN:
SF:letters/rules.csv
BRF:0
BRH:0
DA:1,1
DA:2,0
DA:3,1
DA:4,0
LF:4
LH:2
end_of_record
`);
    expect(readFileSync(join(cwd, 'coverage/index.html'), 'utf8')).toContain('<a href="letters.html">letters</a>');
    const page = readFileSync(join(cwd, 'coverage/letters.html'), 'utf8');
    expect(page).toContain('<tr class="covered"><td class="line">1</td><td class="times">1</td>');
    // What a file says is text.
    expect(page).toContain('p, writer, &quot;&lt;b&gt;memo&quot;, write<span class="why">never matched');
    expect(page).not.toContain('<b>');
    // A report of its own is written again, into the named folder.
    const again = await verdict([...args, '--coverage-dir', 'out/report'], { cwd });
    expect(again.code).toBe(0);
    expect(readdirSync(join(cwd, 'out/report'))).toHaveLength(3);
    expect((await verdict([...args, '--coverage-dir', 'out/report'], { cwd })).code).toBe(0);
    // What somebody else wrote is not written over, and then nothing is written.
    for (const [folder, file, text] of [
      ['site', 'index.html', '<!doctype html><title>ours</title>'],
      ['trace', 'lcov.info', 'ours'],
    ] as const) {
      mkdirSync(join(cwd, folder));
      writeFileSync(join(cwd, folder, file), text);
      expect(await verdict([...args, '--coverage-dir', folder], { cwd })).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`${folder}/${file} is not of an earlier report`),
      });
      expect(readdirSync(join(cwd, folder))).toEqual([file]);
      expect(readFileSync(join(cwd, folder, file), 'utf8')).toBe(text);
    }
    expect(await verdict([...args, '--coverage-dir', 'letters/model.conf'], { cwd })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('letters/model.conf cannot be written: EEXIST'),
    });
  });

  it('says of a set on stock Casbin that it has none, and does not pass a gate with it', async () => {
    const cwd = setFolder({ 'policy-set.yaml': 'engine: casbin\n' });
    const ran = await verdict(['test', 'letters', '--coverage', '--coverage-min', '0'], { cwd });
    expect(ran.code).toBe(1);
    expect(ran.stdout).toContain('✓ letters 2 of 2 tests passed\n  has no coverage: it runs on stock Casbin\n');
    expect(ran.stdout).toContain('letters has no coverage, since it runs on stock Casbin');
    expect((await verdict(['test', 'letters', '--coverage'], { cwd })).code).toBe(0);
  });

  it('covers nothing where there are no tests', async () => {
    const ran = await verdict(['test', 'letters', '--coverage'], { cwd: setFolder({ 'tests/a.yaml': 'tests: []\n' }) });
    expect(ran.stdout).toContain('✓ letters has no tests\n  coverage 0 % (0 of 12)\n');
  });
});

describe('verdict test --filter', () => {
  it('asks the tests with the text in their name, or those that match an expression', async () => {
    const cwd = setFolder();
    const of = async (filter: string) => (await verdict(['test', 'letters', '--filter', filter], { cwd })).stdout;
    expect(await of('readers')).toContain('1 of 1 test passed');
    expect(await of('/^AND.*write$/i')).toContain('1 of 1 test passed');
    expect(await of('/read|write/')).toContain('2 of 2 tests passed');
    // A part of a path is a text: there is no slash at its end.
    expect(await of('/read')).toContain('no test has such a name');
  });

  it('fails where no test has such a name', async () => {
    const ran = await verdict(['test', 'letters', '--filter', 'nobody'], { cwd: setFolder() });
    expect(ran).toMatchObject({ code: 1, stdout: expect.stringContaining('no test has such a name\n') });
  });
});

it.each([
  [['--coverage-min', '90'], '--coverage-min goes with --coverage'],
  [['--coverage-output', 'lcov'], '--coverage-output goes with --coverage'],
  [['--coverage', '--coverage-dir', 'out'], '--coverage-dir goes with --coverage-output'],
  [['--coverage', '--coverage-min', '101'], 'It must be a number from 0 to 100.'],
  [['--coverage', '--coverage-min', '-1'], 'It must be a number from 0 to 100.'],
  [['--coverage', '--coverage-min', '9O'], 'It must be a number from 0 to 100.'],
  [['--coverage', '--coverage-output', 'pdf'], 'Allowed choices are html, lcov.'],
  [['--coverage', '--coverage-output', 'html,'], 'Allowed choices are html, lcov.'],
  [['--filter', ''], 'It is empty.'],
  [['--filter', '/(/'], 'Invalid regular expression'],
  [['--filter', '/a/g'], 'Behind the second slash may stand i and u.'],
])('%j is refused', async (args, why) => {
  const ran = await verdict(['test', 'letters', ...args], { cwd: setFolder() });
  expect(ran).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(why) });
});
