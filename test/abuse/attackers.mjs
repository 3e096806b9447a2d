/**
 * What a caller with a key, or a stranger without one, can do to a service: each a function that goes on until its time is
 * over. They use raw sockets, loopback only, and never more than is said here.
 *
 *     node attackers.mjs '{"name": "large batches", "url": "http://127.0.0.1:3000", "key": "vd_…", "seconds": 5}'
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { constants, setPriority } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const mebibyte = 1024 * 1024;
const question = { subject: 'ann', action: 'read', resource: 'doc' };
const evaluation = {
  subject: { type: 'user', id: 'u1' },
  action: { name: 'read' },
  resource: { type: 'doc', id: 'd1' },
};
const repeated = (piece, bytes) => piece.repeat(Math.floor(bytes / piece.length));
const numbered = (count, text) => Array.from({ length: count }, (_, n) => text(n)).join(',');

/** Bodies of a decision as long as may be, each dear to read in a way of its own. */
const largeBodies = [
  `{"subject":"ann","action":"read","resource":"doc","attributes":{"a":[${repeated('[],', mebibyte - 200).slice(0, -1)}]}}`,
  `{"subject":"ann","action":"read","resource":"doc","attributes":{${numbered(80_000, (n) => `"m${n}":1`)}}}`,
  `{"subject":"ann","action":"read","resource":"doc","attributes":{"a":"${repeated('\\u0041', mebibyte - 200)}"}}`,
  `{"subject":"ann","action":"read","resource":"doc","attributes":{"a":[${numbered(10_000, (n) => `"${String(n).padStart(90, '\n').replaceAll('\n', '\\n')}"`).slice(0, mebibyte - 200)}]}}`,
  `{"subject":"ann","action":"read","resource":"doc","attributes":{"a":[${numbered(9_000, () => `0.${'3'.repeat(100)}`)}]}}`,
  `{${numbered(80_000, (n) => `"f${n}":1`)}}`,
  `{"subject":${repeated('[', mebibyte - 200)}`,
];
/** Batches of 8 MiB: few large items, many small ones, one of 700,000 members. */
const largeBatches = [
  `{"requests":[${Array.from({ length: 8 }, (_, n) => largeBodies[2 + (n % 3)].slice(0, -2).concat('}}'))
    .join(',')
    .slice(0, 8 * mebibyte - 20)}]}`,
  `{"requests":[{"subject":"ann","action":"read","resource":"doc","attributes":{${numbered(700_000, (n) => `"${n}":1`)}}}]}`,
  `{"requests":[${numbered(9_999, (n) => JSON.stringify({ ...question, resource: `doc-${n}`, attributes: { a: 'x'.repeat(700) } }))}]}`,
  `{"requests":[${repeated('[],', 8 * mebibyte - 30).slice(0, -1)}]}`,
  `{"defaults":{"attributes":{"a":"${'x'.repeat(5_000)}"}},"requests":[${numbered(10_000, () => JSON.stringify(question))}]}`,
];
const batchBody = JSON.stringify({ requests: Array.from({ length: 10_000 }, () => question) });

const attacks = {
  nobody: ({ until }) => delay(until - Date.now()),
  'large bodies': (target) => lanes(8, target, (n) => post('/v1/decide', largeBodies[n % largeBodies.length])),
  'large batches': (target) => lanes(8, target, (n) => post('/v1/decide/batch', largeBatches[n % largeBatches.length])),
  'long batches': (target) => lanes(16, target, () => post('/v1/decide/batch', batchBody)),
  'dear questions': (target) =>
    lanes(8, target, () =>
      post(
        '/v1/decide/batch',
        JSON.stringify({
          defaults: { policySet: 'dear' },
          requests: Array(60).fill({
            ...question,
            subject: { id: 'ann', attributes: { roles: Array.from({ length: 500 }, (_, n) => `role-${n}`) } },
          }),
        }),
      ),
    ),
  'batches not read': (target) => unread(40, target, () => [post('/v1/decide/batch', batchBody)]),
  'pipelines not read': (target) =>
    unread(40, target, () => Array.from({ length: 10_000 }, () => post('/v1/decide', JSON.stringify(question)))),
  'pages not read': (target) =>
    unread(40, target, () => Array.from({ length: 100 }, () => get('/v1/decisions?limit=1000'))),
  searches: (target) =>
    lanes(16, target, () =>
      post('/sets/dear/access/v1/search/subject', JSON.stringify({ ...evaluation, subject: { type: 'user' } })),
    ),
  'counts over the log': (target) =>
    lanes(8, target, (n) =>
      get(
        [
          '/v1/decisions/stats?top=subject',
          '/v1/decisions/stats?by=caller',
          '/v1/decisions?q=nowhere',
          '/v1/decisions?subject=nobody',
        ][n % 4],
      ),
    ),
  exports: (target) => lanes(4, target, () => get('/v1/decisions/export?format=csv')),
  'wrong credentials': (target) =>
    lanes(32, { ...target, key: undefined }, () =>
      get('/v1/decisions', `Authorization: Bearer vd_prod_${randomBytes(36).toString('hex').slice(0, 49)}\r\n`),
    ),
  'no credentials': (target) => lanes(32, { ...target, key: undefined }, () => get('/v1/decisions')),
  'slow headers': (target) => drips(1_000, target, 'POST /v1/decide HTTP/1.1\r\nHost: x\r\n', 'X: y\r\n'),
  'slow bodies': (target) =>
    drips(
      500,
      target,
      ({ key }) => head('POST', '/v1/decide', key, `Content-Length: ${mebibyte}\r\n`),
      'x'.repeat(2_000),
    ),
  'many connections': (target) => drips(3_000, target, '', ''),
  'large headers': (target) =>
    lanes(16, target, (n) => get('/health/live', `X-Large: ${'x'.repeat(n % 2 === 0 ? 15_000 : 60_000)}\r\n`)),
};

const headers = (key) => (key === undefined ? '' : `Authorization: Bearer ${key}\r\n`);
const head = (method, path, key, more = '') =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\n${headers(key)}Content-Type: application/json\r\n${more}\r\n`;
const post = (path, body) => (key) => head('POST', path, key, `Content-Length: ${Buffer.byteLength(body)}\r\n`) + body;
const get = (path, more) => (key) => head('GET', path, key, more);

function open({ port }) {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  return socket;
}

/** Opens connections that ask again as soon as they are answered; one that is cut is opened again. */
function lanes(count, target, request) {
  let asked = 0;
  const lane = async () => {
    while (Date.now() < target.until) {
      const socket = open(target);
      let answered = () => undefined;
      socket.on('data', (chunk) => {
        // Enough of an answer to know that it has ended: its length is known, or it is in chunks.
        if (endsAnswer(chunk)) answered();
      });
      socket.on('close', () => answered());
      while (!socket.destroyed && Date.now() < target.until) {
        const settled = new Promise((resolve) => {
          answered = resolve;
        });
        socket.write(request(asked++)(target.key));
        await Promise.race([settled, delay(20_000)]);
      }
      socket.destroy();
      await delay(5);
    }
  };
  return Promise.all(Array.from({ length: count }, lane));
}

function endsAnswer(chunk) {
  const end = chunk.subarray(-5).toString('latin1');
  return end === '0\r\n\r\n' || end.endsWith('}') || end.endsWith('\n');
}

/** Opens connections that ask and never read an answer; one that is cut is opened again. */
async function unread(count, target, requests) {
  const sockets = new Set();
  while (Date.now() < target.until) {
    while (sockets.size < count) {
      const socket = open(target).pause();
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      for (const request of requests()) socket.write(request(target.key));
    }
    await delay(100);
  }
}

/** Opens connections that begin a request and send a little of it each second. */
async function drips(count, target, beginning, more) {
  const sockets = new Set();
  while (Date.now() < target.until) {
    for (let n = 0; n < 200 && sockets.size < count; n++) {
      const socket = open(target);
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.write(typeof beginning === 'string' ? beginning : beginning(target));
    }
    await delay(100);
    if (more !== '') for (const socket of sockets) if (Math.random() < 0.1) socket.write(more);
  }
}

export const attackers = Object.keys(attacks);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setPriority(constants.priority.PRIORITY_LOW);
  const { name, url, key, seconds } = JSON.parse(process.argv[2]);
  await attacks[name]({ port: Number(new URL(url).port), key, until: Date.now() + seconds * 1000 });
  process.exit();
}
