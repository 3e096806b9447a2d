// What decisions notice of those who follow them: `/v1/decide` at a steady 1,000 a second, with nobody who follows and with 1,020
// streams, 1,000 of them with filters that one record in a hundred passes, 20 without a filter.
//
//   npm run bench:log -- --followers [--rounds 7] [--seconds 5]

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { endAll, measure, median, startService } from './service.mjs';

const self = fileURLToPath(import.meta.url);
const pace = 1_000;
const subjects = 100;
const filtered = 1_000;
const unfiltered = 20;

const bodies = Array.from({ length: 1_000 }, (_, i) =>
  JSON.stringify({
    subject: { type: 'user', id: `user-${i % subjects}` },
    action: 'read',
    resource: { type: 'lab-result', id: `L-${i}`, attributes: { part: i % subjects } },
  }),
);

/** Half of the filters are on a field that records are found by, half are conditions. */
function filterOf(i) {
  if (i >= filtered) return '';
  const one = i % subjects;
  if (i % 2 === 0) return `?subject=user:user-${one}`;
  return `?filter=${encodeURIComponent(`resource.part == ${one}`)}`;
}

if (process.argv[1] === self) await follow(process.argv[2]);

/** Opens all streams, says so, and counts the events until its input ends. */
async function follow(url) {
  let events = 0;
  const open = Array.from({ length: filtered + unfiltered }, async (_, i) => {
    const [answer] = await once(get(`${url}/v1/decisions/stream${filterOf(i)}`, { agent: false }), 'response');
    if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} for ${filterOf(i)}`);
    answer.setEncoding('latin1').on('data', (text) => {
      for (let at = text.indexOf('\ndata: '); at >= 0; at = text.indexOf('\ndata: ', at + 1)) events++;
    });
    // The first line comes at once.
    await once(answer, 'data');
  });
  await Promise.all(open);
  console.log('open');
  process.stdin.resume();
  await once(process.stdin, 'end');
  console.log(events);
  process.exit();
}

export async function logFollowers({ rounds, seconds }) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const service = await startService(join(directory, 'verdict.sqlite'), 'sync', {
    VERDICT_SEARCH_RATE_LIMIT: '10000/s',
  });
  const ask = () => measure(service, { path: '/v1/decide', bodies, connections: 64, seconds, pace });
  const pairs = [];
  try {
    await ask();
    for (let round = 0; round < rounds; round++) {
      const alone = await ask();
      const followers = spawn(process.execPath, [self, service.url], { stdio: ['pipe', 'pipe', 'inherit'] });
      const lines = createInterface({ input: followers.stdout })[Symbol.asyncIterator]();
      if ((await lines.next()).value !== 'open') throw new Error('the streams could not be opened');
      const followed = await ask();
      followers.stdin.end();
      const events = Number((await lines.next()).value);
      pairs.push({ alone, followed, events });
    }
  } finally {
    await endAll([service.child]);
    rmSync(directory, { recursive: true, force: true });
  }
  console.log(`${pace} decisions/s, ${filtered} followers of one record in ${subjects} and ${unfiltered} of all:`);
  const rowOf = (what, list) => ({
    '': what,
    'CPU, µs a decision': median(list.map(({ cpu }) => cpu)).toFixed(0),
    'p50, ms': median(list.map(({ p50 }) => p50)).toFixed(2),
    'p99, ms': median(list.map(({ p99 }) => p99)).toFixed(2),
  });
  console.table([
    rowOf(
      'nobody follows',
      pairs.map(({ alone }) => alone),
    ),
    rowOf(
      'followed',
      pairs.map(({ followed }) => followed),
    ),
  ]);
  const ratios = pairs.map(({ alone, followed }) => followed.p99 / alone.p99);
  const events = median(pairs.map(({ events, followed }) => events / followed.total));
  console.log(
    `p99 with followers: ${median(ratios).toFixed(2)} x (${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}; wanted 1.50), ${events.toFixed(1)} events a decision`,
  );
}
