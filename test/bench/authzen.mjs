/**
 * What AuthZEN costs beside /v1/decide: `npm run bench:authzen [-- rounds seconds]`.
 *
 * The built service runs as a process, once with the log off and once in `sync`; the load in another. Compared is the
 * processor time (user + system, all threads) per answered request, in alternating rounds, so that what else the machine does hits
 * all of them. Ratios carry over to other machines, absolute figures do not. Nothing is asserted.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endAll, measure, median, percentile, startService } from './service.mjs';

const batchSize = 100;
const largeBatchSize = 1_000;

const subject = { type: 'user', id: 'dana' };
const resource = { type: 'lab-result', id: 'L-2231' };
const properties = { department: 'ward 3' };
const context = { ip: '10.0.0.7' };
const evaluation = { subject: { ...subject, properties }, action: { name: 'read' }, resource, context };

/** What is asked, by name: the path and the body. `decide` is the same question in our own words. */
const questions = {
  decide: [
    '/v1/decide',
    { subject: { ...subject, attributes: properties }, action: 'read', resource, attributes: context },
  ],
  evaluation: ['/access/v1/evaluation', evaluation],
  'batch of 1': ['/access/v1/evaluations', { ...evaluation, evaluations: items(1) }],
  'batch of 100': ['/access/v1/evaluations', { ...evaluation, evaluations: items(batchSize) }],
};

/** A list of resources, as a page that shows one button for each would ask. */
function items(count) {
  return Array.from({ length: count }, (_, i) => ({ resource: { type: 'lab-result', id: `L-${i}` } }));
}

const [rounds, seconds] = process.argv.slice(2).map(Number);
await main(rounds ?? 5, seconds ?? 2);

async function main(rounds, seconds) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  for (const log of ['off', 'sync']) {
    const service = await startService(join(directory, log, 'verdict.sqlite'), log);
    const names = Object.keys(questions);
    const cpu = Object.fromEntries(names.map((name) => [name, []]));
    for (const name of names) await cpuOf(service, name, 2);
    for (let round = 0; round < rounds; round++) {
      for (const name of names) cpu[name].push(await cpuOf(service, name, seconds));
    }
    const of = (name) => median(cpu[name]);
    console.log(`\nlog ${log}, median of ${rounds} rounds of ${seconds} s:`);
    for (const name of names)
      console.log(`  ${name.padEnd(14)} ${of(name).toFixed(0).padStart(6)} µs of processor time a request`);
    console.log(`  evaluation / decide: ${(of('evaluation') / of('decide')).toFixed(2)} (at most 1.1)`);
    const beyond = (of('batch of 100') - of('batch of 1')) / (batchSize - 1);
    console.log(
      `  a decision of a batch beyond the first: ${beyond.toFixed(1)} µs (at most ${log === 'off' ? 6 : 25})`,
    );
    await reportStall(service, log);
    await endAll([service.child]);
  }
  rmSync(directory, { recursive: true, force: true });
}

/** Longest wait of another request while a batch of 1,000 is answered, and without a batch. */
async function reportStall({ url }, log) {
  const body = JSON.stringify({ ...evaluation, evaluations: items(largeBatchSize) });
  const waits = { alone: [], beside: [] };
  for (let round = 0; round < 30; round++) {
    waits.alone.push(await longestWait(url, () => new Promise((resolve) => setTimeout(resolve, 40))));
    waits.beside.push(await longestWait(url, () => post(`${url}/access/v1/evaluations`, body)));
  }
  const show = (list) => `${median(list).toFixed(1)} ms (p90 ${percentile(list, 0.9).toFixed(1)})`;
  console.log(
    `  longest wait beside a batch of 1,000, log ${log}: ${show(waits.beside)}, without one ${show(waits.alone)}`,
  );
}

/** Asks again and again, one request at a time, until `task` is done. */
async function longestWait(url, task) {
  let done = false;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  await get(`${url}/health/live`, agent);
  const finished = task().then(() => {
    done = true;
  });
  let longest = 0;
  while (!done) {
    const started = performance.now();
    await get(`${url}/health/live`, agent);
    longest = Math.max(longest, performance.now() - started);
  }
  await finished;
  agent.destroy();
  return longest;
}

function get(url, agent) {
  return call(url, { agent });
}

function post(url, body) {
  return call(url, { method: 'POST', headers: { 'content-type': 'application/json' } }, body);
}

function call(url, options, body) {
  return new Promise((resolve, reject) => {
    const sent = request(url, options, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${url} answered ${response.statusCode}`));
      response.resume().on('end', resolve);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Processor time of the service per answered request, in microseconds. */
async function cpuOf(service, name, seconds) {
  const [path, body] = questions[name];
  const connections = name === 'batch of 100' ? 8 : 64;
  return (await measure(service, { path, bodies: [JSON.stringify(body)], connections, seconds })).cpu;
}
