/**
 * What a decision costs beside a bare Fastify route that returns the same JSON: `npm run bench:http [-- rounds seconds]`.
 *
 * The built service (log off, log sync; and with log off, callers who authenticate by API key or by access token, with
 * scopes and a rate limit, beside callers who do not) and the bare route run as processes of their own, the load (64
 * connections) in another. They are measured in alternating rounds, so that what else the machine does hits all of them;
 * compared is the processor time (user + system, all threads) per answered request. Ratios carry over to other machines,
 * absolute figures do not. Nothing is asserted. With `--workers` or `--limits` first, it measures these with PostgreSQL instead
 * (http-on-postgres.mjs).
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fastify } from 'fastify';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { compareLimits, compareWorkers } from './http-on-postgres.mjs';
import { endAll, measure, median, root, startServer, startService } from './service.mjs';

const connectionCount = 64;
const path = '/v1/decide';
/** One that is counted against and never reached. */
const rateLimit = '1000000/s,burst=2000000';
const self = fileURLToPath(import.meta.url);
const body = JSON.stringify({
  subject: { type: 'user', id: 'dana', attributes: { department: 'ward 3' } },
  action: 'read',
  resource: { type: 'lab-result', id: 'L-2231' },
  attributes: { ip: '10.0.0.7' },
});

const [mode, ...rest] = process.argv.slice(2);
if (mode === '--bare') await serveBare(JSON.parse(rest[0]));
else if (mode === '--workers')
  await compareWorkers(Number(rest[0] ?? 5), Number(rest[1] ?? 4), { path, bodies: [body] });
else if (mode === '--limits') {
  await compareLimits(Number(rest[0] ?? 7), Number(rest[1] ?? 3), { path, bodies: [body] }, rateLimit);
} else await main(Number(mode ?? 5), Number(rest[0] ?? 3));

async function serveBare(answer) {
  const app = fastify();
  app.post(path, () => answer);
  process.stdout.write(`bare listening on ${await app.listen({ port: 0, host: '127.0.0.1' })}\n`);
}

async function main(rounds, seconds) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const service = (log, name = log, env = {}) => startService(join(directory, name, 'verdict.sqlite'), log, env);
  const off = await service('off');
  const answer = await decide(off.url);
  console.log(
    `${connectionCount} connections, ${rounds} rounds of ${seconds} s; the answer: ${JSON.stringify(answer)}\n`,
  );
  const subjects = {
    'bare Fastify': await startServer([self, '--bare', JSON.stringify(answer)]),
    'decide, log off': off,
    'decide, log sync': await service('sync'),
    'API key, log off': await withApiKey(service, directory),
    'token, log off': await withAccessToken(service),
  };
  const results = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
  const load = { path, bodies: [body], connections: connectionCount, seconds };
  for (const subject of Object.values(subjects)) await measure(subject, { ...load, seconds: 2 });
  for (let round = 0; round < rounds; round++) {
    for (const [name, subject] of Object.entries(subjects)) results[name].push(await measure(subject, load));
  }
  await endAll(Object.values(subjects).map(({ child }) => child));
  rmSync(directory, { recursive: true, force: true });
  report(results);
}

async function withApiKey(service, directory) {
  const { digestOf, makeApiKey } = await import(join(root, 'dist/auth/api-key.js'));
  const key = makeApiKey('prod');
  const file = join(directory, 'keys.yaml');
  writeFileSync(file, `- {name: shop, sha256: ${digestOf(key)}, scopes: ["decide:default"], addresses: [127.0.0.0/8]}`);
  const env = { VERDICT_AUTH: 'required', VERDICT_API_KEYS_FILE: file, VERDICT_RATE_LIMIT: rateLimit };
  return { ...(await service('off', 'key', env)), headers: { authorization: `Bearer ${key}` } };
}

async function withAccessToken(service) {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: '1', alg: 'RS256' }] });
  const server = createServer((_request, response) => response.end(jwks));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const token = await new SignJWT({ scope: 'decide:default' })
    .setProtectedHeader({ alg: 'RS256', kid: '1', typ: 'at+jwt' })
    .setIssuer(issuer)
    .setAudience('verdict')
    .setSubject('shop')
    .setExpirationTime('1h')
    .sign(privateKey);
  const env = {
    VERDICT_AUTH: 'required',
    VERDICT_JWT_ISSUER: issuer,
    VERDICT_JWT_AUDIENCE: 'verdict',
    VERDICT_JWT_JWKS_URL: issuer,
    VERDICT_RATE_LIMIT: rateLimit,
  };
  return { ...(await service('off', 'token', env)), headers: { authorization: `Bearer ${token}` } };
}

async function decide(url) {
  const response = await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

function report(results) {
  const bare = median(results['bare Fastify'].map(({ cpu }) => cpu));
  for (const [name, rounds] of Object.entries(results)) {
    const cpu = median(rounds.map((round) => round.cpu));
    // The ratio of each round to the bare route next to it, then the median: a noisy spell counts once.
    const ratio = median(rounds.map((round, index) => round.cpu / results['bare Fastify'][index].cpu));
    const open = results['decide, log off'];
    const ofOpen = median(rounds.map((round, index) => round.cpu / open[index].cpu));
    const rate = median(rounds.map((round) => round.rate));
    const p99 = median(rounds.map((round) => round.p99));
    console.log(
      `${name.padEnd(18)} ${cpu.toFixed(1).padStart(6)} µs CPU/request (${(cpu - bare).toFixed(1).padStart(5)} over)   ${ratio.toFixed(2)} × bare, ${ofOpen.toFixed(2)} × log off   ${Math.round(rate)} requests/s, p99 ${p99.toFixed(1)} ms`,
    );
  }
}
