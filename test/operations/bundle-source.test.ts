/** P1, P8: the built service on signed bundles, in a real S3 that is broken, changed and taken away meanwhile. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { FaultyProxy, hasS3, S3Server } from '../policy-store/bundle/s3-server.js';
import { newKey } from '../policy-store/bundle/signing-keys.js';
import { makeAuthority } from '../security/certificates.js';
import { ServiceProcess, serviceFolder } from './processes.js';

/** A folder with a policy set, a key pair, and the environment of what serves bundles from there. */
async function prepared(url: string) {
  const folder = serviceFolder();
  const { privatePem, publicPem } = await newKey();
  writeFileSync(join(folder, 'key.pem'), privatePem);
  writeFileSync(join(folder, 'keys.pem'), publicPem);
  const env = {
    VERDICT_POLICY_SOURCE: 'bundle',
    VERDICT_BUNDLE_URL: url,
    VERDICT_BUNDLE_KEYS: join(folder, 'keys.pem'),
    VERDICT_BUNDLE_POLL: '1s',
  };
  return { folder, env };
}

/** Writes the rules of the set: `subject` may read the document. */
function allow(folder: string, subject: string): void {
  writeFileSync(join(folder, 'policies/default/rules.csv'), `p, ${subject}, doc, read\n`);
}

async function run(folder: string, args: string, env: Record<string, string>): Promise<string> {
  const ran = ServiceProcess.run(folder, args.split(' '), env);
  expect(await ran.exit, ran.output.stderr).toBe(0);
  return ran.output.stdout;
}

async function stateOf(service: ServiceProcess): Promise<string> {
  const { state, revision, problems } = (await service.get('/v1/policy-sets/default')).body;
  return [state, revision, ...problems.map(({ code }: { code: string }) => code)].join(' ');
}

/** What is pushed is in force within the poll interval and a second. */
const soon = { timeout: 2_000, interval: 20 };

describe.runIf(hasS3)('bundles in S3', () => {
  let s3: S3Server;

  beforeAll(async () => {
    s3 = await S3Server.start();
  }, 90_000);

  afterAll(() => s3.stop());

  it('P8, P1: are in force in time, and whatever happens to them what served last goes on', {
    timeout: 60_000,
  }, async () => {
    await s3.makeBucket('prod');
    const proxy = await FaultyProxy.to(s3.endpoint);
    onTestFinished(() => proxy.close());
    const { folder, env } = await prepared('s3://prod/fleet');
    const publishing = s3.env() as Record<string, string>;
    const push = () => run(folder, 'bundle push policies --to s3://prod/fleet --key key.pem', publishing);
    expect(await push()).toMatch(/^default +1 +new$/m);

    const replica = (name: string, endpoint = proxy.url) => {
      mkdirSync(join(folder, name), { recursive: true });
      const own = { VERDICT_DATABASE_URL: `sqlite:${join(folder, name, 'verdict.sqlite')}` };
      return ServiceProcess.start(folder, { ...env, ...(s3.env(endpoint) as Record<string, string>), ...own });
    };
    const [one, two] = [await replica('one'), await replica('two')];
    for (const service of [one, two]) {
      expect((await service.decide()).body).toMatchObject({ allowed: true, revision: 1 });
      expect(await stateOf(service)).toBe('active 1');
    }

    allow(folder, 'ben');
    expect(await push()).toMatch(/^default +2 +changed$/m);
    for (const service of [one, two]) {
      await expect.poll(async () => (await service.decide()).body, soon).toMatchObject({ allowed: false, revision: 2 });
    }

    // Whoever demands a change gets no answer from before it.
    allow(folder, 'ann');
    await push();
    const question = { subject: 'ann', action: 'read', resource: 'doc' };
    const demanded = () => one.post('/v1/decide', { ...question, atLeast: 3 });
    const first = await demanded();
    if (first.status === 503) expect(first.body.type).toMatch(/policy_too_old/);
    await expect.poll(async () => (await demanded()).body, soon).toMatchObject({ allowed: true, revision: 3 });
    const unknown = await one.post('/v1/decide', { ...question, atLeast: 4 });
    expect(unknown).toMatchObject({ status: 400, body: { type: expect.stringMatching(/unknown_revision/) } });
    allow(folder, 'ben');
    await push();
    for (const service of [one, two]) await expect.poll(() => stateOf(service), soon).toBe('active 4');

    // While the server is broken, a change is not seen, and each replica says why.
    for (const [fault, code] of [
      ['503', 'bundle_unreachable'],
      ['half', 'bundle_unreachable'],
      ['other', 'bundle_index_invalid'],
    ] as const) {
      proxy.fault = fault;
      // The index changes, so that its body is asked for.
      await run(folder, 'bundle refresh --to s3://prod/fleet --key key.pem', publishing);
      await expect.poll(() => stateOf(one), { timeout: 10_000 }).toBe(`stale 4 ${code}`);
      expect((await one.decide()).body).toMatchObject({ allowed: false, revision: 4 });
      expect((await one.get('/health/ready')).status).toBe(200);
      proxy.fault = 'none';
      await expect.poll(() => stateOf(one), { timeout: 10_000 }).toBe('active 4');
    }

    // Somebody with access to the bucket and without the key.
    const { privatePem } = await newKey();
    writeFileSync(join(folder, 'other.pem'), privatePem);
    allow(folder, 'ann');
    await run(folder, 'bundle push policies --to s3://prod/fleet --key other.pem --keys keys.pem', publishing);
    await expect.poll(() => stateOf(two), soon).toBe('stale 4 bundle_key_unknown');
    expect((await two.decide()).body.allowed).toBe(false);

    // Started while S3 is away, a replica serves what it took last.
    await two.stop();
    const again = await replica('two', 'http://127.0.0.1:9');
    expect((await again.decide()).body).toMatchObject({ allowed: false, revision: 4 });
    expect(await stateOf(again)).toBe('stale 4 bundle_unreachable');
    expect((await again.get('/health/ready')).status).toBe(200);

    // One that never took anything has nothing to serve.
    const empty = await replica('three', 'http://127.0.0.1:9');
    expect((await empty.get('/health/ready')).status).toBe(503);
    expect((await empty.decide()).status).toBe(503);
  });
});

describe('bundles over HTTPS', () => {
  it('are published and served with a password, by a certificate that is trusted and by no other', {
    timeout: 60_000,
  }, async () => {
    const authority = await makeAuthority('bundles');
    const files = new Map<string, Buffer>();
    let refused = 0;
    const server = createServer(await authority.issue('localhost', { server: true }), (asked, response) => {
      const isKnown = asked.headers.authorization === `Basic ${Buffer.from('fleet:hunter2').toString('base64')}`;
      if (!isKnown) {
        refused++;
        response.writeHead(401).end();
      } else if (asked.method === 'PUT') {
        const pieces: Buffer[] = [];
        asked.on('data', (piece) => pieces.push(piece));
        asked.on('end', () => {
          files.set(asked.url!, Buffer.concat(pieces));
          response.writeHead(201).end();
        });
      } else {
        const file = files.get(asked.url!);
        response.writeHead(file === undefined ? 404 : 200).end(file);
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as AddressInfo;
    const url = `https://fleet:hunter2@localhost:${port}/prod`;
    const { folder, env } = await prepared(url);
    writeFileSync(join(folder, 'ca.pem'), authority.cert);
    const trusting = { NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') };

    expect(await run(folder, `bundle push policies --to ${url} --key key.pem`, trusting)).toMatch(/^default +1 +new$/m);
    const service = await ServiceProcess.start(folder, { ...env, ...trusting });
    expect((await service.decide()).body).toMatchObject({ allowed: true, revision: 1 });
    expect(refused).toBe(0);
    const metrics = (await service.get('/metrics')).body as string;
    const age = /^verdict_policy_source_age_seconds (\S+)$/m.exec(metrics)?.[1];
    expect(Number(age)).toBeLessThan(10);
    const expiry = /^verdict_policy_source_expiry_seconds (\S+)$/m.exec(metrics)?.[1];
    expect(Number(expiry)).toBeGreaterThan(23 * 3_600);
    expect(Number(expiry)).toBeLessThan(24 * 3_600);
    // The password is in no line of the log.
    allow(folder, 'ben');
    files.set('/prod/index.json', Buffer.from('<html>'));
    await expect.poll(() => stateOf(service), soon).toBe('stale 1 bundle_index_invalid');
    await service.stop();
    expect(service.output.stdout + service.output.stderr).not.toContain('hunter2');

    const suspicious = await ServiceProcess.start(folder, { ...env, VERDICT_DATABASE_URL: 'sqlite:./other/v.sqlite' });
    expect((await suspicious.get('/health/ready')).status).toBe(503);
    expect(suspicious.errors.map(({ msg }) => msg).join()).toMatch(/policy bundles: .*certificate/);
  });
});

describe('the configuration of bundles', () => {
  async function refusalOf(change: Record<string, string>): Promise<string> {
    const { folder, env } = await prepared(`file://${serviceFolder()}`);
    const service = ServiceProcess.run(folder, ['serve', '--local'], { ...env, ...change });
    expect(await service.exit).toBe(78);
    return service.output.stderr;
  }

  it.each([
    [{ VERDICT_BUNDLE_URL: '' }, /VERDICT_BUNDLE_URL must be set/],
    [{ VERDICT_BUNDLE_URL: 'http://bundles.example/' }, /VERDICT_BUNDLE_URL must be an https/],
    [{ VERDICT_BUNDLE_URL: 's3://prod' }, /VERDICT_BUNDLE_URL: s3:\/\/ needs AWS_ACCESS_KEY_ID/],
    [{ VERDICT_BUNDLE_KEYS: '/nothing.pem' }, /VERDICT_BUNDLE_KEYS names a file that cannot be read/],
    [{ VERDICT_BUNDLE_KEYS: 'http://keys.example/' }, /VERDICT_BUNDLE_KEYS names "http:\/\/keys\.example\/"/],
    [{ VERDICT_BUNDLE_POLL: '999ms' }, /VERDICT_BUNDLE_POLL must be a duration from 1s to 1h/],
    [{ VERDICT_BUNDLE_POLL: '61m' }, /VERDICT_BUNDLE_POLL must be a duration/],
  ])('is refused with %j', async (change, message) => {
    expect(await refusalOf(change)).toMatch(message);
  });
});
