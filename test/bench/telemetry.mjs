/**
 * What OpenTelemetry costs a decision: `npm run bench:telemetry [-- --rounds 7 --seconds 3] [--beside ../other]`.
 *
 * The built service without it, with traces and metrics at a tenth of the requests, and at all of them; with `--beside` another checkout's
 * `dist`, too, such as one from before. All are measured in alternating rounds, so that what else the machine does hits all of
 * them; compared is the processor time (user + system, all threads) per answered request. Ratios carry over to other machines, absolute
 * figures do not. What is sent is taken by a server in this process that reads and forgets it. Nothing is asserted.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { endAll, measure, median, root, startServer } from './service.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '3' },
    beside: { type: 'string' },
  },
});
const load = {
  path: '/v1/decide',
  bodies: [JSON.stringify({ subject: { type: 'user', id: 'dana' }, action: 'read', resource: 'chart' })],
  connections: 64,
  seconds: Number(values.seconds),
};

let received = 0;
const receiver = createServer((request, response) => {
  request.on('data', (chunk) => {
    received += chunk.length;
  });
  request.on('end', () => response.end());
});
await new Promise((done) => receiver.listen(0, '127.0.0.1', done));
const directory = mkdtempSync(join(tmpdir(), 'verdict-telemetry-'));
const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${receiver.address().port}` };
const tenth = { ...endpoint, OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.1' };
const subjects = {
  ...(values.beside !== undefined && { beside: await start('beside', resolve(values.beside)) }),
  off: await start('off', root),
  'a tenth': await start('tenth', root, tenth),
  all: await start('all', root, endpoint),
};

try {
  const results = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
  for (const subject of Object.values(subjects)) await measure(subject, { ...load, seconds: 2 });
  for (let round = 0; round < Number(values.rounds); round++) {
    // In turn from both ends: whoever is measured first in a round is not always the same.
    const order = Object.entries(subjects);
    for (const [name, subject] of round % 2 === 0 ? order : order.reverse()) {
      results[name].push(await measure(subject, load));
    }
  }
  console.log(
    `${load.connections} connections, ${values.rounds} rounds of ${load.seconds} s, log sync; ${(received / 1e6).toFixed(1)} MB received`,
  );
  const base = results.beside ?? results.off;
  for (const [name, rounds] of Object.entries(results)) {
    const cpu = median(rounds.map((round) => round.cpu));
    const ofOff = median(rounds.map((round, i) => round.cpu / results.off[i].cpu));
    const ofBase = median(rounds.map((round, i) => round.cpu / base[i].cpu));
    const p99 = median(rounds.map((round) => round.p99));
    const beside = results.beside === undefined ? '' : `, ${ofBase.toFixed(3)} × beside`;
    console.log(
      `${name.padEnd(8)} ${cpu.toFixed(1).padStart(6)} µs CPU/request   ${ofOff.toFixed(3)} × off${beside}   p99 ${p99.toFixed(1)} ms`,
    );
  }
} finally {
  await endAll(Object.values(subjects).map(({ child }) => child));
  rmSync(directory, { recursive: true, force: true });
  receiver.closeAllConnections();
  receiver.close();
}

function start(name, checkout, env = {}) {
  return startServer([join(checkout, 'dist/main.js')], {
    VERDICT_PORT: '0',
    VERDICT_AUTH: 'none',
    VERDICT_POLICY_DIR: join(root, 'policies'),
    VERDICT_DATABASE_URL: `sqlite:${join(directory, name, 'verdict.sqlite')}`,
    VERDICT_LOG_LEVEL: 'warn',
    ...env,
  });
}
