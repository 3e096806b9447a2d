/**
 * What a check of Envoy costs: `npm run bench:gateways [-- rounds seconds]`.
 *
 * Over HTTP beside `/v1/decide` with the same question; over gRPC beside a handler of `@grpc/grpc-js` that decodes the same
 * message and answers at once. Compared is the processor time (user + system, all threads) of the answering process per
 * answer, in alternating rounds, so that what else the machine does hits all of them. Ratios carry over to other machines,
 * absolute figures do not. Nothing is asserted.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadGrpc } from './grpc-load.mjs';
import { cpuMicroseconds, endAll, measure, median, startServer, startService } from './service.mjs';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`;
const question = {
  subject: { type: 'user', id: 'alice' },
  action: 'POST',
  resource: { type: 'path', id: '/orders' },
  attributes: { ip: '127.0.0.1' },
};

const [rounds = 5, seconds = 2] = process.argv.slice(2).map(Number);
const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
const policies = join(directory, 'policies/default');
mkdirSync(policies, { recursive: true });
writeFileSync(join(policies, 'model.conf'), model);
writeFileSync(join(policies, 'rules.csv'), 'p, alice, /orders, POST\n');
writeFileSync(join(policies, 'policy-set.yaml'), 'gateway: { anonymous: alice }\n');
const empty = await startServer([fileURLToPath(new URL('empty-grpc-server.mjs', import.meta.url))]);

for (const log of ['off', 'sync']) {
  const grpcPort = await freePort();
  const service = await startService(join(directory, log, 'verdict.sqlite'), log, {
    VERDICT_POLICY_DIR: join(directory, 'policies'),
    VERDICT_GRPC_PORT: String(grpcPort),
  });
  const ways = {
    decide: (time) => overHttp(service, '/v1/decide', JSON.stringify(question), time),
    'Envoy over HTTP': (time) => overHttp(service, '/v1/gateway/envoy/orders', '', time),
    'empty gRPC handler': (time) => overGrpc(empty.child, Number(new URL(empty.url).port), time),
    'Envoy over gRPC': (time) => overGrpc(service.child, grpcPort, time),
  };
  const cpu = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
  for (const ask of Object.values(ways)) await ask(seconds);
  for (let round = 0; round < rounds; round++) {
    for (const [name, ask] of Object.entries(ways)) cpu[name].push(await ask(seconds));
  }
  const of = (name) => median(cpu[name]);
  console.log(`\nlog ${log}, median of ${rounds} rounds of ${seconds} s:`);
  for (const name of Object.keys(ways)) {
    console.log(`  ${name.padEnd(20)} ${of(name).toFixed(0).padStart(5)} µs of processor time a check`);
  }
  console.log(`  Envoy over HTTP / decide: ${(of('Envoy over HTTP') / of('decide')).toFixed(2)} (at most 1.2)`);
  console.log(
    `  Envoy over gRPC / empty gRPC handler: ${(of('Envoy over gRPC') / of('empty gRPC handler')).toFixed(2)} (at most 1.5)`,
  );
  await endAll([service.child]);
}
await endAll([empty.child]);
rmSync(directory, { recursive: true, force: true });

async function overHttp(service, path, body, seconds) {
  return (await measure(service, { path, bodies: [body], connections: 64, seconds })).cpu;
}

async function overGrpc({ pid }, port, seconds) {
  const before = cpuMicroseconds(pid);
  const { total, failed } = await loadGrpc({ port, seconds });
  if (failed > 0) throw new Error(`${failed} of ${total} checks failed`);
  return (cpuMicroseconds(pid) - before) / total;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
