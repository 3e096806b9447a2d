/** The load of `gateways.mjs` over gRPC, in a process of its own: checks as Envoy writes them, so many at once on a connection. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Client, credentials } from '@grpc/grpc-js';
import { loadCheckProtocol } from '../../dist/gateway/envoy/grpc/check-protocol.js';

const self = fileURLToPath(import.meta.url);
const connections = 4;
const atOnce = 16;

/**
 * @param {{ port: number, seconds: number }} spec
 * @returns {Promise<{ total: number, failed: number }>} answers, and those of them that let no request go forward
 */
export async function loadGrpc({ port, seconds }) {
  const child = spawn(process.execPath, [self, String(port), String(seconds)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of child.stdout.setEncoding('utf8')) text += chunk;
  return JSON.parse(text);
}

if (process.argv[1] === self) await ask(...process.argv.slice(2).map(Number));

async function ask(port, seconds) {
  const { check } = loadCheckProtocol();
  const headers = {
    ':authority': 'shop.example',
    ':method': 'POST',
    ':path': '/orders',
    ':scheme': 'https',
    accept: '*/*',
    'content-type': 'application/json',
    'user-agent': 'curl/8.5.0',
    'x-envoy-internal': 'true',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'https',
    'x-request-id': '0b3a1d6e-6e0e-4a3e-8f53-6a0e5b1c2d3e',
  };
  const message = {
    attributes: {
      source: { address: { socketAddress: { address: '127.0.0.1', portValue: 41234 } } },
      destination: { address: { socketAddress: { address: '127.0.0.1', portValue: 443 } } },
      request: {
        time: { seconds: 1_790_000_000, nanos: 5 },
        http: {
          id: '17',
          method: 'POST',
          path: '/orders',
          host: 'shop.example',
          scheme: 'https',
          protocol: 'HTTP/1.1',
          headers,
        },
      },
    },
  };
  const bytes = check.requestSerialize({ message });
  let total = 0;
  let failed = 0;
  const ends = performance.now() + seconds * 1000;
  const one = (client) =>
    new Promise((resolve) => {
      client.makeUnaryRequest(
        check.path,
        (sent) => sent,
        check.responseDeserialize,
        bytes,
        (error, response) => {
          total++;
          if (error !== null || !response.okResponse) failed++;
          resolve();
        },
      );
    });
  const lane = async (client) => {
    while (performance.now() < ends) await one(client);
  };
  const clients = Array.from(
    { length: connections },
    (_, number) =>
      new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
        'grpc.primary_user_agent': `load-${number}`,
      }),
  );
  await Promise.all(clients.flatMap((client) => Array.from({ length: atOnce }, () => lane(client))));
  process.stdout.write(JSON.stringify({ total, failed }), () => process.exit());
}
