// What callers notice of the decision log: how long `/v1/decide` takes from 64 connections with the log off, in `sync`, and
// in `sync` while exports and counts of all records run without a pause.
//
//   node test/bench/log-over-http.mjs [records in the log before] [rounds] [seconds]     (npm run bench:log does it too)

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endAll, measure, median, startService } from './service.mjs';

const question = (i) => ({
  subject: { type: 'user', id: 'dana', attributes: { department: 'ward 3' } },
  action: i % 10 === 0 ? 'record' : 'read',
  resource: { type: 'lab-result', id: `L-${i}` },
  attributes: { ip: '10.0.0.7' },
});
const bodies = Array.from({ length: 1_000 }, (_, i) => JSON.stringify(question(i)));
const batchSize = 10_000;

if (process.argv[1] === fileURLToPath(import.meta.url)) await logOverHttp(...process.argv.slice(2).map(Number));

export async function logOverHttp(records = 200_000, rounds = 5, seconds = 2) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const [off, sync] = await Promise.all(
    ['off', 'sync'].map((log) => startService(join(directory, log, 'verdict.sqlite'), log)),
  );
  const ask = (service) => measure(service, { path: '/v1/decide', bodies, connections: 64, seconds });
  try {
    for (let i = 0; i < records; i += batchSize) await decideBatch(sync.url, i);
    for (const service of [off, sync]) await ask(service);
    const rows = { off: [], sync: [], 'sync beside exports and counts': [] };
    let read = 0;
    for (let round = 0; round < rounds; round++) {
      rows.off.push(await ask(off));
      rows.sync.push(await ask(sync));
      const reading = new AbortController();
      const readers = [
        readOn(`${sync.url}/v1/decisions/export?format=csv`, reading.signal),
        readOn(`${sync.url}/v1/decisions/stats?bucket=minute&by=decision&top=subject`, reading.signal),
      ];
      rows['sync beside exports and counts'].push(await ask(sync));
      reading.abort();
      for (const bytes of await Promise.all(readers)) read += bytes;
    }
    const off99 = rows.off.map(({ p99 }) => p99);
    console.log(
      `\n/v1/decide from 64 connections, ${records} records before, median of ${rounds} rounds of ${seconds} s:`,
    );
    console.table(
      Object.entries(rows).map(([log, list]) => ({
        log,
        'CPU, µs': median(list.map(({ cpu }) => cpu)).toFixed(1),
        'CPU / off': median(list.map(({ cpu }, i) => cpu / rows.off[i].cpu)).toFixed(2),
        'a second': median(list.map(({ rate }) => rate)).toFixed(0),
        'p50, ms': median(list.map(({ p50 }) => p50)).toFixed(1),
        'p99, ms': median(list.map(({ p99 }) => p99)).toFixed(1),
        'p99 / off': median(list.map(({ p99 }, i) => p99 / off99[i])).toFixed(2),
      })),
    );
    console.log(
      `wanted: CPU at most 1.35, p99 at most 3; exports and counts gave ${(read / 1e6).toFixed(0)} MB meanwhile`,
    );
  } finally {
    await endAll([off.child, sync.child]);
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function decideBatch(url, from) {
  const requests = Array.from({ length: batchSize }, (_, i) => question(from + i));
  const response = await fetch(`${url}/v1/decide/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ requests }),
  });
  if (!response.ok) throw new Error(await response.text());
  await response.arrayBuffer();
}

/** Reads it again and again until the signal says so; how many bytes that were. */
async function readOn(url, signal) {
  let bytes = 0;
  try {
    for (;;) {
      const response = await fetch(url, { signal });
      if (!response.ok) throw new Error(await response.text());
      for await (const chunk of response.body) bytes += chunk.length;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    return bytes;
  }
}
