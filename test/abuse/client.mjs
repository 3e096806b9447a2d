/**
 * A well-behaved client: it asks at a fixed rate over a few kept connections, however long the answers take. The time
 * of an answer counts from when its question was due, so that one that is stuck is not hidden behind the next. It
 * writes bytes that were made beforehand and looks at no more of an answer than its status, to be quick itself.
 *
 *     node client.mjs '{"url": "http://127.0.0.1:3000", "key": "vd_…", "seconds": 5, "rate": 500}'
 *     {"answers":2500,"errors":{},"p50":1.1,"p99":4.2,"max":9.8}
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const connectionCount = 32;
/** What is asked in the first while, in which the service's code is not compiled yet, does not count. */
const warmMs = 5_000;
/** An answer that has not come by then has not come. */
const givesUpMs = 20_000;

const { url, key, seconds, rate } = JSON.parse(process.argv[2]);
const question = JSON.stringify({ subject: 'ann', action: 'read', resource: 'doc' });
const bytes = Buffer.from(
  `POST /v1/decide HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${question.length}\r\n\r\n${question}`,
);

const waits = [];
const errors = {};
/** When the questions were due that no connection is free for. */
const due = [];
const idle = [];
let asked = 0;
let answered = 0;

function settle(lane, error) {
  answered++;
  if (lane.due < started + warmMs) {
    lane.due = undefined;
    return;
  }
  if (error !== undefined) errors[error] = (errors[error] ?? 0) + 1;
  waits.push(performance.now() - lane.due);
  lane.due = undefined;
}

function open() {
  const lane = {
    due: undefined,
    socket: connect({ port: Number(new URL(url).port), host: '127.0.0.1', noDelay: true }),
  };
  lane.socket.on('data', (chunk) => {
    // Answers are smaller than a segment.
    if (lane.due === undefined) return;
    const status = chunk.toString('latin1', 9, 12);
    settle(lane, status === '200' ? undefined : status);
    next(lane);
  });
  lane.socket.on('error', ({ code }) => {
    lane.error = code;
  });
  lane.socket.on('close', () => {
    if (lane.due !== undefined) settle(lane, lane.error ?? 'CLOSED');
    const place = idle.indexOf(lane);
    if (place !== -1) idle.splice(place, 1);
    setTimeout(open, 10);
  });
  lane.socket.on('connect', () => next(lane));
}

function next(lane) {
  const first = due.shift();
  if (first === undefined) idle.push(lane);
  else send(lane, first);
}

function send(lane, time) {
  lane.due = time;
  lane.socket.write(bytes);
}

for (let n = 0; n < connectionCount; n++) open();
const started = performance.now();
while (performance.now() - started < warmMs + seconds * 1000) {
  const count = Math.floor(((performance.now() - started) * rate) / 1000);
  for (; asked < count; asked++) {
    const time = started + (asked * 1000) / rate;
    const lane = idle.pop();
    if (lane === undefined) due.push(time);
    else send(lane, time);
  }
  await delay(1);
}
const ends = performance.now() + givesUpMs;
while (answered < asked && performance.now() < ends) await delay(10);
if (answered < asked) errors.none = asked - answered;
waits.sort((a, b) => a - b);
const at = (share) => waits[Math.floor((waits.length - 1) * share)] ?? givesUpMs;
console.log(JSON.stringify({ answers: waits.length, errors, p50: at(0.5), p99: at(0.99), max: at(1) }));
process.exit();
