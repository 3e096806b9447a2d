/** Bundles for clients that decide by themselves: from each source of policy sets, and from several workers. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compilePolicySet } from '../../src/engine.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { idModel } from '../models.js';
import { newKey } from '../policy-store/bundle/signing-keys.js';
import { ServiceProcess, serviceFolder } from './processes.js';

const files = (subject: string) => ({
  'model.conf': idModel,
  'policy-set.yaml': 'local: allowed\n',
  'rules.csv': `p, ${subject}, doc, read\n`,
});

interface Given {
  readonly etag: string;
  readonly status: number;
  readonly subject?: string;
  readonly version?: string;
  readonly revision?: number;
}

/** A bundle as a client gets it, compiled; a connection of its own reaches any of the workers. */
async function bundleOf({ url }: ServiceProcess, known = '', wait = 0): Promise<Given> {
  const headers = { 'if-none-match': known, connection: 'close' };
  const answer = await fetch(`${url}/v1/policy-sets/default/bundle?wait=${wait}`, { headers });
  const etag = answer.headers.get('etag') ?? '';
  expect(Number(answer.headers.get('verdict-source-age'))).toBeLessThan(60_000);
  if (answer.status !== 200) return { etag, status: answer.status };
  const body = (await answer.json()) as { version: string; revision?: number; files: { path: string; text: string }[] };
  const text = (path: string) => body.files.find((file) => file.path === path)!.text;
  const rules = [{ file: 'rules.csv', text: text('rules.csv') }];
  const set = compilePolicySet({ model: text('model.conf'), manifest: text('policy-set.yaml'), rules });
  expect(set.version).toBe(body.version);
  const subject = /^p, (\w+),/.exec(text('rules.csv'))![1]!;
  return {
    etag,
    status: 200,
    subject,
    version: body.version,
    ...(body.revision !== undefined && { revision: body.revision }),
  };
}

/** Waits for a change, which is then made. */
async function nextOf(service: ServiceProcess, known: string, change: () => Promise<unknown>): Promise<Given> {
  const next = bundleOf(service, known, 30);
  await change();
  return next;
}

it('come from a folder, as it changes', async () => {
  const folder = serviceFolder();
  const write = (subject: string) => {
    for (const [name, text] of Object.entries(files(subject)))
      writeFileSync(join(folder, 'policies/default', name), text);
  };
  write('ann');
  const service = await ServiceProcess.start(folder);
  const first = await bundleOf(service);
  expect(first).toMatchObject({ status: 200, subject: 'ann' });
  expect(first).not.toHaveProperty('revision');
  expect(await nextOf(service, first.etag, async () => write('ben'))).toMatchObject({ status: 200, subject: 'ben' });
});

it('come from signed bundles', async () => {
  const folder = serviceFolder();
  const { privatePem, publicPem } = await newKey();
  writeFileSync(join(folder, 'key.pem'), privatePem);
  writeFileSync(join(folder, 'keys.pem'), publicPem);
  const push = async (subject: string) => {
    for (const [name, text] of Object.entries(files(subject)))
      writeFileSync(join(folder, 'policies/default', name), text);
    const pushed = ServiceProcess.run(folder, ['bundle', 'push', 'policies', '--to', 'bundles', '--key', 'key.pem']);
    expect(await pushed.exit, pushed.output.stderr).toBe(0);
  };
  await push('ann');
  const service = await ServiceProcess.start(folder, {
    VERDICT_POLICY_SOURCE: 'bundle',
    VERDICT_BUNDLE_URL: `file://${join(folder, 'bundles')}`,
    VERDICT_BUNDLE_KEYS: join(folder, 'keys.pem'),
    VERDICT_BUNDLE_POLL: '1s',
  });
  const first = await bundleOf(service);
  expect(first).toMatchObject({ status: 200, subject: 'ann', revision: 1 });
  expect(await nextOf(service, first.etag, () => push('ben'))).toMatchObject({ subject: 'ben', revision: 2 });
});

/** Writes the set; without `If-Match` it must be new. */
const put = (service: ServiceProcess, subject: string, headers: Record<string, string> = {}) =>
  service.send('PUT', '/v1/policy-sets/default', { files: files(subject) }, headers);
const putAgain = (service: ServiceProcess, subject: string) => put(service, subject, { 'if-match': '*' });

it('come from a database', async () => {
  const service = await ServiceProcess.start(serviceFolder(), { VERDICT_POLICY_SOURCE: 'database' });
  expect((await put(service, 'ann')).status).toBe(200);
  const first = await bundleOf(service);
  expect(first).toMatchObject({ status: 200, subject: 'ann', revision: 1 });
  expect(await nextOf(service, first.etag, () => putAgain(service, 'ben'))).toMatchObject({
    subject: 'ben',
    revision: 2,
  });
});

describe.runIf(hasPostgres)('with PostgreSQL', () => {
  const server = postgresForTests();

  it('are the same of each worker, and each tells its clients of a change', async () => {
    const folder = serviceFolder();
    const service = await ServiceProcess.start(folder, {
      VERDICT_POLICY_SOURCE: 'database',
      VERDICT_DATABASE_URL: server().newSchema(),
      VERDICT_SPOOL_DIR: join(folder, 'spool'),
      VERDICT_WORKERS: '2',
    });
    const serving = () => service.lines.filter(({ msg }) => msg === 'a worker serves').length;
    await expect.poll(serving).toBe(2);
    expect((await put(service, 'ann')).status).toBe(200);
    // Each worker hears of it by itself.
    const all = () => Promise.all(Array.from({ length: 8 }, () => bundleOf(service).catch(() => undefined)));
    await expect.poll(async () => (await all()).every((given) => given?.status === 200)).toBe(true);
    const given = (await all()).map((each) => each!);
    expect(new Set(given.map(({ etag }) => etag)).size).toBe(1);
    const waiting = given.map(({ etag }) => bundleOf(service, etag, 30));
    await putAgain(service, 'ben');
    for (const next of await Promise.all(waiting)) {
      expect(next).toMatchObject({ status: 200, subject: 'ben', revision: 2 });
    }
    await service.stop();
  });
});
