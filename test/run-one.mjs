/** `npm run test:one -- test/cli/log.test.ts 'a part of a name'`: one file of tests, or those of its tests that have the name. */
import { spawnSync } from 'node:child_process';

const [file, name] = process.argv.slice(2);
if (file === undefined) {
  console.error('usage: npm run test:one -- <file> [name]');
  process.exit(2);
}
const args = ['vitest', 'run', file, ...(name === undefined ? [] : ['-t', name])];
process.exit(spawnSync('npx', args, { stdio: 'inherit' }).status ?? 1);
