/** `verdict test --mutate`, from the outside: its numbers are those that a person counts on sets of a few lines. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { roleModel } from '../models.js';
import { verdict, workFolder } from './run.js';

const rules = 'p, reader, letter, read\ng, ann, reader\n';
const names = 'subjects: [ann, bob]\nresources: [letter, memo]\ntests:\n';
const test = (subject: string, action: string, resource: string, expected: string) =>
  `  - { name: ${subject} ${action} ${resource}, subject: ${subject}, action: ${action}, resource: ${resource}, expect: ${expected} }\n`;
const otherResource = test('ann', 'read', 'memo', 'deny');
const allTests =
  names +
  test('ann', 'read', 'letter', 'allow') +
  test('ann', 'write', 'letter', 'deny') +
  test('bob', 'read', 'letter', 'deny') +
  otherResource;

function setFolder(files: Readonly<Record<string, string>> = {}): string {
  const cwd = workFolder({ policies: false });
  mkdirSync(join(cwd, 'letters/tests'), { recursive: true });
  const whole = { 'model.conf': roleModel, 'rules.csv': rules, 'tests/a.yaml': allTests, ...files };
  for (const [name, text] of Object.entries(whole)) writeFileSync(join(cwd, 'letters', name), text);
  return cwd;
}

async function mutate(cwd: string, ...args: string[]) {
  const ran = await verdict(['test', 'letters', '--mutate', '--output', 'json', ...args], { cwd });
  return { ...ran, mutation: JSON.parse(ran.stdout).sets[0].mutation };
}

/** Each mutant in a few words: `survived rules.csv:1 term-dropped r.sub.age >= 18`. */
interface Told {
  outcome: string;
  file: string;
  line: number;
  kind: string;
  before: string;
  after: string;
}
const told = ({ outcome, file, line, kind, before, after }: Told) =>
  `${outcome} ${file}:${line} ${kind} ${before}${after === '' ? '' : ` → ${after}`}`;

describe('verdict test --mutate', () => {
  it('kills every mutant of a set whose tests say all that it does, and says that none survived', async () => {
    const ran = await verdict(['test', 'letters', '--mutate', '--mutate-min', '100'], { cwd: setFolder() });
    // Three terms, each negated or with another comparison and dropped; the rule and the link dropped.
    expect(ran.stdout).toBe(`✓ letters 4 of 4 tests passed
  mutation score 100 %
    8 mutants: 8 killed, 0 survived
    not counted: 0 that answer nothing otherwise, 0 that do not load
4 tests in 1 policy set, 0 failed
`);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
  });

  it('finds a hole in the tests, with its place and what was changed', async () => {
    const cwd = setFolder({ 'tests/a.yaml': allTests.replace(otherResource, '') });
    const ran = await verdict(['test', 'letters', '--mutate', '--mutate-min', '88'], { cwd });
    expect(ran.stdout).toContain(`  mutation score 87.5 %
    8 mutants: 7 killed, 1 survived
    not counted: 0 that answer nothing otherwise, 0 that do not load
  letters/model.conf:10:24: survived: term dropped: r.obj == p.obj
`);
    expect(ran.stdout).toContain('letters has a mutation score of 87.5 % (7 of 8), which is less than 88 %\n');
    expect(ran.code).toBe(1);
    expect((await verdict(['test', 'letters', '--mutate', '--mutate-min', '87.5'], { cwd })).code).toBe(0);
    expect((await verdict(['test', 'letters', '--mutate'], { cwd })).code).toBe(0);
  });

  it('changes effects, comparisons, terms and patterns, of conditions and definitions too', async () => {
    const model = roleModel
      .replace('r = sub, obj, act', 'r = sub, obj, act, env')
      .replace('p = sub, obj, act', 'p = sub, obj, act, when, eft')
      .replace('e = some(where (p.eft == allow))', 'e = some(where (p.eft == allow)) && !some(where (p.eft == deny))')
      // The value goes on in the next line.
      .replace(
        /m = .*/,
        'm = g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && \\\n  (p.act == "*" || r.act == p.act) && eval(p.when)',
      );
    const { mutation, stdout } = await mutate(
      setFolder({
        'model.conf': model,
        'rules.csv': `p, ann, /letters/a, read, "adult && !(r.sub.id in ('eve', 'a\\""b'))", allow\np, bob, /memos/*, *, "r.env.x =~ '^a\\\\.b'", allow\np, kim, /x, go, true, deny\n`,
        'policy-set.yaml': '# names\ndefine:\n  adult: r.sub.age >= 18\n',
        'tests/a.yaml': 'tests: []\n',
      }),
    );
    expect(mutation, stdout).toBeDefined();
    const condition = `adult && !(r.sub.id in ('eve', 'a\\"b'))`;
    expect(mutation.mutants.map(told)).toEqual([
      'survived model.conf:10 term-negated g(r.sub, p.sub) → !g(r.sub, p.sub)',
      'survived model.conf:10 term-dropped g(r.sub, p.sub)',
      'survived model.conf:10 term-negated keyMatch(r.obj, p.obj) → !keyMatch(r.obj, p.obj)',
      'survived model.conf:10 term-dropped keyMatch(r.obj, p.obj)',
      'survived model.conf:11 comparison-changed p.act == "*" → p.act != "*"',
      'survived model.conf:11 term-dropped p.act == "*"',
      'survived model.conf:11 comparison-changed r.act == p.act → r.act != p.act',
      'survived model.conf:11 term-dropped r.act == p.act',
      'survived model.conf:11 term-negated eval(p.when) → !eval(p.when)',
      'survived model.conf:11 term-dropped eval(p.when)',
      'survived policy-set.yaml:3 comparison-changed r.sub.age >= 18 → r.sub.age > 18',
      'survived policy-set.yaml:3 comparison-changed r.sub.age >= 18 → r.sub.age < 18',
      `survived rules.csv:1 rule-dropped p, ann, /letters/a, read, ${condition}, allow`,
      'survived rules.csv:1 pattern-widened /letters/a → /letters/*',
      'survived rules.csv:1 pattern-widened read → *',
      'survived rules.csv:1 term-negated adult → !adult',
      'survived rules.csv:1 term-dropped adult',
      'survived rules.csv:1 term-negated !(r.sub.id in ("eve", "a\\"b")) → r.sub.id in ("eve", "a\\"b")',
      // The rule is about Ann alone; with what attributes another rule decides, and says so, is not known.
      'survived rules.csv:1 term-dropped r.sub.id in ("eve", "a\\"b")',
      'survived rules.csv:1 effect-flipped allow → deny',
      "survived rules.csv:2 rule-dropped p, bob, /memos/*, *, r.env.x =~ '^a\\\\.b', allow",
      'survived rules.csv:2 pattern-widened /memos/* → /*',
      "survived rules.csv:2 term-dropped r.env.x =~ '^a\\\\.b'",
      'survived rules.csv:2 comparison-changed r.env.x =~ "^a\\\\.b" → r.env.x !~ "^a\\\\.b"',
      'survived rules.csv:2 effect-flipped allow → deny',
      // Nothing is allowed to Kim that this rule would deny: only the reason is another.
      'survived rules.csv:3 rule-dropped p, kim, /x, go, true, deny',
      'survived rules.csv:3 pattern-widened /x → /*',
      'survived rules.csv:3 pattern-widened go → *',
      'survived rules.csv:3 effect-flipped deny → allow',
    ]);
  });

  it('counts apart what answers nothing otherwise, and what does not load', async () => {
    const model = roleModel.replace(
      /m = .*/,
      'm = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act && r.sub != p.act',
    );
    const { mutation } = await mutate(
      setFolder({
        'model.conf': model,
        // Ann has the right by her role already.
        'rules.csv': 'p, reader, letter, read\np, ann, letter, read\ng, ann, reader\n',
      }),
    );
    const outcomes = new Map<string, string>(
      mutation.mutants.map((each: Told) => [told(each).replace(/^\w+ /, ''), each.outcome]),
    );
    expect(outcomes.get('rules.csv:2 rule-dropped p, ann, letter, read')).toBe('equivalent');
    expect(outcomes.get('rules.csv:3 role-link-dropped g, ann, reader')).toBe('equivalent');
    expect(outcomes.get('model.conf:10 term-dropped r.obj == p.obj')).toBe('killed');
    // A policy without rules does not load.
    const alone = await mutate(setFolder({ 'rules.csv': 'p, ann, letter, read\n' }));
    expect(alone.mutation).toMatchObject({ killed: 6, survived: 0, equivalent: 0, unloadable: 1, score: 100 });
    expect(alone.mutation.mutants.map(told)).toContain('unloadable rules.csv:1 rule-dropped p, ann, letter, read');
  });

  it('does not call a mutant equivalent that takes away what only a rule adds to an allow', async () => {
    const model = roleModel.replace('p = sub, obj, act', 'p = sub, obj, act, obligations');
    const folder = setFolder({
      'model.conf': model,
      'rules.csv': 'p, ann, letter, read, watermark\np, reader, letter, read,\ng, ann, reader\n',
    });
    const { mutation, stdout } = await mutate(folder);
    const dropped = mutation.mutants.find(({ before }: Told) => before.startsWith('p, ann'));
    expect(dropped, stdout).toMatchObject({ outcome: 'survived', decidesAlike: true });
    expect(mutation.score).toBeLessThan(100);
    const text = await verdict(['test', 'letters', '--mutate', '--mutate-min', '100'], { cwd: folder });
    expect(text.stdout).toMatch(/survived: rule dropped: p, ann.* \(the same decisions, maybe with another reason/);
    expect(text.code).toBe(1);
  });

  it('has no score, and does not pass, where no mutant is there to find', async () => {
    // A policy without rules does not load: the first mutant is the rule that is dropped.
    const cwd = setFolder({
      'model.conf': roleModel.replace(/m = .*/, 'm = true'),
      'rules.csv': 'p, ann, letter, read\n',
      'tests/a.yaml': 'tests: []\n',
    });
    const { mutation, stdout } = await mutate(cwd);
    expect(mutation, stdout).toMatchObject({ killed: 0, survived: 0, score: null });
    const text = await verdict(['test', 'letters', '--mutate', '--mutate-min', '0'], { cwd });
    expect(text.stdout).toContain('  mutation score none: there is no mutant to find\n');
    expect(text.stdout).toContain('letters has no mutation score, since no mutant is there to find: --mutate-min 0\n');
    expect(text.code).toBe(1);
  });

  it('does not call a mutant equivalent where the clock decides', async () => {
    const model = roleModel.replace(/m = .*/, 'm = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act && now() < 100');
    const { mutation } = await mutate(setFolder({ 'model.conf': model, 'tests/a.yaml': 'tests: []\n' }));
    expect(mutation.equivalent).toBe(0);
    expect(mutation.mutants.map(told)).toContain(
      'survived model.conf:10 comparison-changed now() < 100 → now() <= 100',
    );
  });

  it('tries no more than --mutate-max, and the same ones in every run', async () => {
    const cwd = setFolder();
    const first = await mutate(cwd, '--mutate-max', '3');
    expect(first.mutation).toMatchObject({ tried: 3, total: 8 });
    expect((await mutate(cwd, '--mutate-max', '3')).mutation).toEqual(first.mutation);
    const all = await mutate(cwd, '--mutate-max', '8');
    expect(all.mutation).toMatchObject({ tried: 8, total: 8 });
    expect(all.mutation.mutants).toEqual(expect.arrayContaining(first.mutation.mutants));
    const text = await verdict(['test', 'letters', '--mutate', '--mutate-max', '3'], { cwd });
    expect(text.stdout).toContain('    3 mutants of 8, chosen alike in every run: 3 killed, 0 survived\n');
  });

  it('wants tests that pass, and an engine of its own', async () => {
    const failing = setFolder({ 'tests/a.yaml': allTests.replace('expect: allow', 'expect: deny') });
    const ran = await verdict(['test', 'letters', '--mutate', '--mutate-min', '0'], { cwd: failing });
    expect(ran).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('has no mutants: its tests must pass first'),
    });
    const stock = setFolder({ 'policy-set.yaml': 'engine: casbin\n' });
    const on = await verdict(['test', 'letters', '--mutate', '--mutate-min', '0'], { cwd: stock });
    expect(on.code).toBe(1);
    expect(on.stdout).toContain('  has no mutants: it runs on stock Casbin\n');
    expect(on.stdout).toContain('letters has no mutants, since it runs on stock Casbin: --mutate-min 0\n');
    expect((await verdict(['test', 'letters', '--mutate'], { cwd: stock })).code).toBe(0);
  });
});

it.each([
  [['--mutate-max', '5'], '--mutate-max goes with --mutate'],
  [['--mutate-min', '5'], '--mutate-min goes with --mutate'],
  [['--mutate', '--mutate-max', '0'], 'It must be a whole number above 0.'],
  [['--mutate', '--mutate-max', '1.5'], 'It must be a whole number above 0.'],
  [['--mutate', '--mutate-min', '100.1'], 'It must be a number from 0 to 100.'],
])('%j is refused', async (args, why) => {
  const ran = await verdict(['test', 'letters', ...args], { cwd: setFolder() });
  expect(ran).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(why) });
});
