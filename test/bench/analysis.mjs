/**
 * How long analyses of large sets take: an access review of 10,000 subjects, 1,000 resources and 5 actions by 10,000 rules, and a
 * comparison of two versions of 100,000 rules that differ in ten. Each in a process of its own, for its memory.
 *
 *     npm run bench:analysis
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { roleModel as model } from './role-model.mjs';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const actions = ['read', 'write', 'list', 'share', 'delete'];

/** Each role has some rules, each subject one role. */
function rulesOf({ rules, roles, resources, subjects }) {
  const lines = Array.from(
    { length: rules },
    (_, n) =>
      `p, role${n % roles}, data${Math.floor(n / roles) % resources}, ${actions[(n * 7 + Math.floor(n / roles)) % actions.length]}`,
  );
  return [...lines, ...Array.from({ length: subjects }, (_, n) => `g, user${n}, role${n % roles}`)];
}

const folder = mkdtempSync(join(tmpdir(), 'verdict-analysis-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

function setOf(name, lines) {
  mkdirSync(join(folder, name));
  writeFileSync(join(folder, name, 'model.conf'), model);
  writeFileSync(join(folder, name, 'rules.csv'), `${lines.join('\n')}\n`);
  return join(folder, name);
}

/** Says at its end how much memory it held at most, in KiB. */
const tellMemory = `data:text/javascript,process.on('exit', () => process.stderr.write('maxrss ' + process.resourceUsage().maxRSS))`;

function measure(...args) {
  const started = performance.now();
  const { stdout, stderr } = spawnSync(process.execPath, ['--import', tellMemory, cli, ...args], {
    maxBuffer: 2 ** 30,
    encoding: 'utf8',
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const megabytes = Math.round(Number(/maxrss (\d+)/.exec(stderr)?.[1]) / 1024);
  return { took: `${seconds} s, ${megabytes} MB`, stdout };
}

const reviewed = setOf('reviewed', rulesOf({ rules: 10_000, roles: 1_000, resources: 1_000, subjects: 10_000 }));
const review = measure('access-review', reviewed, '--output', 'csv');
console.log(`access review of 10,000 subjects × 1,000 resources × 5 actions by 10,000 rules: ${review.took}`);
console.log(`  ${review.stdout.split('\n').length - 2} permissions`);

const lines = rulesOf({ rules: 100_000, roles: 2_000, resources: 5_000, subjects: 2_000 });
const before = setOf('before', lines);
const changed = lines.map((line, n) =>
  n % 10_000 === 0 && line.startsWith('p') ? `${line.replace(/, \w+$/, '')}, purge` : line,
);
const compared = measure('diff', before, setOf('after', changed), '--output', 'json');
const [{ access }] = JSON.parse(compared.stdout).sets;
console.log(`comparison of two versions of 100,000 rules that differ in ten: ${compared.took}`);
console.log(
  `  ${access.gained.length} gained, ${access.lost.length} lost, ${access.examined} questions, complete: ${access.complete}`,
);
