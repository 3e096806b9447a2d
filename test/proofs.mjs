/**
 * The long form of what `npm test` does at small size: hours, on a machine with nothing else to do. Each proof runs whether the
 * one before failed or not; the end says which did.
 *
 *     npm run proofs                # all of them
 *     npm run proofs -- kill fuzz   # some of them
 *     VERDICT_TEST_TAMPERINGS=500 VERDICT_TEST_HISTORIES=500 npm run proofs -- tampering histories   # fewer of these
 */
import { spawnSync } from 'node:child_process';

const vitest = (...files) => ['npx', 'vitest', 'run', ...files];

/** Name → what it runs, with the variables that make it long. */
const proofs = {
  fuzz: { command: vitest('test/fuzz'), env: { VERDICT_TEST_FUZZ_RUNS: '50' } },
  analysis: { command: vitest('test/fuzz/analysis.test.ts'), env: { VERDICT_TEST_FUZZ_RUNS: '190' } },
  kill: {
    command: vitest('test/decision-log/sqlite/kill.test.ts', 'test/decision-log/sqlite/journal-files.test.ts'),
    env: { VERDICT_TEST_KILLS: '50' },
  },
  tampering: {
    command: vitest(
      'test/decision-log/proof/tampering.test.ts',
      'test/decision-log/proof/postgres-tampering.test.ts',
      '--testTimeout=86400000',
    ),
    env: { VERDICT_TEST_TAMPERINGS: process.env.VERDICT_TEST_TAMPERINGS ?? '2000' },
  },
  histories: {
    command: vitest('test/decision-log/proof/histories.test.ts', '--testTimeout=86400000'),
    env: { VERDICT_TEST_HISTORIES: process.env.VERDICT_TEST_HISTORIES ?? '10000' },
  },
  simulation: {
    command: vitest('test/pdp/simulation/planted-regression.test.ts'),
    env: { VERDICT_TEST_SIMULATED_RECORDS: '1000000' },
  },
  damage: { command: vitest('test/operations/damage.test.ts'), env: { VERDICT_TEST_DAMAGE: 'all' } },
  'log-size': {
    command: vitest('test/decision-log/sqlite/wal-bound.test.ts', 'test/decision-log/sqlite/many-files.test.ts'),
    env: { VERDICT_TEST_LOG_SIZE: 'full' },
  },
  fleet: {
    command: vitest(
      'test/operations/fleet.test.ts',
      'test/operations/policy-fleet.test.ts',
      'test/operations/candidate-fleet.test.ts',
    ),
    env: { VERDICT_TEST_FLEET: 'full' },
  },
  local: {
    command: vitest('test/packages/local-swaps.test.ts', 'test/operations/local-decisions.test.ts'),
    env: { VERDICT_TEST_SWAPS: '500', VERDICT_TEST_KILLS: '50' },
  },
  helm: { command: ['node', 'test/deploy/chart/with-helm.mjs'], env: { VERDICT_TEST_HELM: 'required' } },
  kafka: {
    command: vitest('test/log-sinks/kafka-sink.test.ts', '--testTimeout=600000'),
    env: { VERDICT_TEST_KAFKA: process.env.VERDICT_TEST_KAFKA ?? 'maven' },
  },
  postgres: { command: ['node', 'test/postgres-versions.mjs'] },
  openapi: { command: vitest('test/api/schemathesis.test.ts'), env: { VERDICT_TEST_SCHEMATHESIS_EXAMPLES: '100' } },
  abuse: { command: ['npm', 'run', 'abuse'] },
  log: { command: ['npm', 'run', 'bench:log', '--', '--fill', '10000000', '--callers', '20', '--days', '10'] },
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(proofs, name));
if (unknown.length > 0) {
  console.error(`there is no proof ${unknown.join(', ')}; there are ${Object.keys(proofs).join(', ')}`);
  process.exit(2);
}

const failed = [];
for (const [name, { command, env }] of Object.entries(proofs)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n# ${name}: ${command.join(' ')}`);
  const started = performance.now();
  const [program, ...args] = command;
  const { status } = spawnSync(program, args, {
    stdio: 'inherit',
    env: { ...process.env, VERDICT_TEST_REQUIRE: 'all', ...env },
  });
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(`# ${name} ${status === 0 ? 'passed' : 'failed'} after ${minutes} min`);
  if (status !== 0) failed.push(name);
}
console.log(failed.length === 0 ? '\nall proofs passed' : `\nfailed: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
