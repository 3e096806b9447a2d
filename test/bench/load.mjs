/**
 * The load of the benchmarks, in a process of its own: connections that are kept, each of which asks again as soon as
 * it is answered. It sends bytes that were made beforehand and reads no more of an answer than its status and length,
 * since on a machine with two cores the load takes processor time from the measured service.
 */
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);
const lastAnswer = '\r\nConnection: close\r\n';

/**
 * Asks for `seconds`; the `bodies` are sent in turn (POST, JSON). With `pace` it asks so often a second, whatever the answers take,
 * and an answer's time counts from when its question was due.
 *
 * @param {{ url: string, bodies: string[], connections?: number, seconds: number, pace?: number, headers?: Record<string, string> }} spec
 * @returns {Promise<{ total: number, failed: number, rate: number, p50: number, p99: number, max: number }>} answers,
 *   those of them that were not 200, answers a second, and milliseconds that an answer took
 */
export async function load(spec) {
  const child = spawn(process.execPath, [self], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(spec));
  const result = JSON.parse(await textOf(child.stdout));
  if (result.error !== undefined) throw new Error(result.error);
  return result;
}

async function textOf(stream) {
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) text += chunk;
  return text;
}

if (process.argv[1] === self) {
  const result = await ask(JSON.parse(await textOf(process.stdin))).catch(({ message }) => ({ error: message }));
  process.stdout.write(JSON.stringify(result), () => process.exit());
}

async function ask({ url, bodies, connections = 64, seconds, pace, headers = {} }) {
  const { hostname, port, host, pathname } = new URL(url);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n${lines.join('')}`;
  const requests = bodies.map((body) => {
    return Buffer.from(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  });
  const waits = [];
  let failed = 0;
  let asked = 0;
  const started = performance.now();
  const ends = started + seconds * 1000;
  const lane = (_, number) =>
    new Promise((resolve, reject) => {
      let socket;
      let sent = 0;
      let answer = Buffer.alloc(0);
      let due = number;
      const write = () => socket.write(requests[asked++ % requests.length]);
      const send = () => {
        sent = pace === undefined ? performance.now() : started + (due / pace) * 1000;
        due += connections;
        if (sent >= ends) {
          socket.off('close', closed).destroy();
          resolve();
        } else if (sent > performance.now()) setTimeout(write, sent - performance.now());
        else write();
      };
      const closed = () => reject(new Error('the connection was closed'));
      const open = () => {
        socket = connect({ host: hostname, port: Number(port), noDelay: true });
        socket.on('connect', send).on('error', reject).on('close', closed);
        socket.on('data', (chunk) => {
          answer = answer.length === 0 ? chunk : Buffer.concat([answer, chunk]);
          const status = statusOfWhole(answer);
          if (status === undefined) return;
          // A worker that has more connections than the others gives up some.
          const isLast = answer.includes(lastAnswer);
          answer = Buffer.alloc(0);
          waits.push(performance.now() - sent);
          if (status !== '200') failed++;
          if (!isLast) return send();
          socket.off('close', closed).destroy();
          open();
        });
      };
      open();
    });
  await Promise.all(Array.from({ length: connections }, lane));
  const rate = waits.length / ((performance.now() - started) / 1000);
  waits.sort((a, b) => a - b);
  const at = (share) => waits[Math.floor((waits.length - 1) * share)];
  return { total: waits.length, failed, rate, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** The status of an answer; undefined while it is not all there. One that has no length is chunked. */
function statusOfWhole(bytes) {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = bytes.latin1Slice(0, headEnd);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  const whole =
    length === undefined
      ? bytes.subarray(-5).equals(Buffer.from('0\r\n\r\n'))
      : bytes.length >= headEnd + 4 + Number(length);
  return whole ? head.slice(9, 12) : undefined;
}
