/** Files of 100,000 rules: what takes a few seconds must not take minutes, as it would if it grew with their square. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { verdict, workFolder } from './run.js';

/** How long one command may take: some need 5 s, and what grows with the square of the rules would need an hour. */
const limitMs = 120_000;

function largeSets(): string {
  const cwd = workFolder({ policies: false });
  const lines: string[] = [];
  for (let index = 0; index < 50_000; index++) {
    lines.push(`p, role${index % 5_000}, data${index}, ${index % 2 === 0 ? 'write' : 'read'}`);
    lines.push(`g, user:u${index}, role${index % 5_000}`);
  }
  const model = readFileSync(new URL('../../templates/rbac/model.conf', import.meta.url), 'utf8');
  mkdirSync(join(cwd, 'before/tests'), { recursive: true });
  writeFileSync(join(cwd, 'before/model.conf'), model);
  writeFileSync(
    join(cwd, 'before/policy-set.yaml'),
    'request: { sub: "${subject.type}:${subject.id}", obj: resource.id }\n',
  );
  writeFileSync(join(cwd, 'before/rules.csv'), `${lines.join('\n')}\n`);
  writeFileSync(
    join(cwd, 'before/tests/one.yaml'),
    'tests: [{ name: one, subject: { type: user, id: u1 }, action: read, resource: { id: data1 }, expect: allow }]\n',
  );
  cpSync(join(cwd, 'before'), join(cwd, 'after'), { recursive: true });
  const changed = lines.map((line) => (line === 'p, role7, data7, read' ? 'p, role8, data7, read' : line));
  writeFileSync(join(cwd, 'after/rules.csv'), `${changed.join('\n')}\n`);
  return cwd;
}

it.each([
  [['lint', 'before'], '0 errors, 0 warnings'],
  [['fmt', '--check', 'before'], 'every file is in form'],
  [['test', 'before'], '1 of 1 test passed'],
  [['diff', 'before', 'after'], '10 gained, 10 lost'],
])('%j', { timeout: limitMs }, async (args, says) => {
  const cwd = largeSets();
  const ran = await verdict(args, { cwd });
  expect(ran.stdout).toContain(says);
});
