/**
 * How long the service takes until it listens, with the bundled policy sets and a new database, and how long `verdict lint`
 * takes on a small set. `npm run bench:start -- --runs 15 --beside ../other` measures another checkout's `dist` in turn with
 * this one, since only what was measured at the same time can be compared.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cpuMicroseconds, median, root, startServer } from './service.mjs';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '9' }, beside: { type: 'string' } },
});
const checkouts = [root, ...(values.beside === undefined ? [] : [resolve(values.beside)])];
const folder = mkdtempSync(join(tmpdir(), 'verdict-start-'));
const figures = new Map();

try {
  for (let run = 0; run < Number(values.runs); run++) {
    note('node that does nothing', runToEnd(['-e', '0']));
    for (const checkout of checkouts) {
      note(
        `verdict lint, ${checkout}`,
        runToEnd([join(checkout, 'dist/cli.js'), 'lint', join(root, 'policies/default')]),
      );
      note(`ready, ${checkout}`, await runUntilReady(checkout, run));
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(
  `${values.runs} runs, Node ${process.version}: median (least) of the time, and of the processor time, in ms`,
);
for (const [what, { wall, cpu }] of figures) console.log(`${shown(wall)}  ${shown(cpu)}  ${what}`);

async function runUntilReady(checkout, run) {
  const begin = performance.now();
  const { child } = await startServer(
    [join(checkout, 'dist/main.js')],
    {
      VERDICT_PORT: '0',
      VERDICT_AUTH: 'none',
      VERDICT_POLICY_DIR: join(root, 'policies'),
      VERDICT_DATABASE_URL: `sqlite:${join(folder, `${checkouts.indexOf(checkout)}-${run}.sqlite`)}`,
      VERDICT_LOG_LEVEL: 'warn',
    },
    'ignore',
  );
  const figure = { wall: performance.now() - begin, cpu: cpuMicroseconds(child.pid) / 1000 };
  // What V8 compiled is kept when a process ends by itself, and not when it is killed.
  child.kill('SIGTERM');
  await once(child, 'exit');
  return figure;
}

function runToEnd(args) {
  const begin = performance.now();
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}`);
  return { wall: performance.now() - begin, cpu: Number.NaN };
}

function note(what, { wall, cpu }) {
  const noted = figures.get(what) ?? { wall: [], cpu: [] };
  figures.set(what, noted);
  noted.wall.push(wall);
  noted.cpu.push(cpu);
}

function shown(numbers) {
  if (numbers.some(Number.isNaN)) return ' '.repeat(14);
  return `${median(numbers).toFixed(0).padStart(6)} (${Math.min(...numbers).toFixed(0)})`.padEnd(14);
}
