/** The proxy of compose.fleet.yaml, a real NGINX where there is one, in front of two replicas. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { freePort } from '../authzen/built-service.js';
import { onePolicySet, type Service, startService } from '../http/service.js';

const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
const isThere =
  process.env.VERDICT_TEST_REQUIRE === 'all' || spawnSync('nginx', ['-v'], { env: environment }).status === 0;

it.skipIf(!isThere)('asks both replicas, and the other one when one of them has stopped', async () => {
  const replicas = [await startService(onePolicySet), await startService(onePolicySet)] as const;
  for (const replica of replicas) {
    await replica.app.listen(0, '127.0.0.1');
    onTestFinished(() => replica.stop());
  }
  const port = await startProxy(replicas);
  const ask = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/decide`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ subject: 'ann', action: 'read', resource: 'doc' }),
    });
    return response.status;
  };
  const recorded = async (replica: Service) => (await replica.get('/v1/decisions')).body.items.length;
  for (let i = 0; i < 8; i++) expect(await ask()).toBe(200);
  const [first, second] = [await recorded(replicas[0]), await recorded(replicas[1])];
  expect(first).toBeGreaterThan(0);
  expect(second).toBeGreaterThan(0);
  expect(first + second).toBe(8);
  await replicas[0].stop();
  for (let i = 0; i < 8; i++) expect(await ask()).toBe(200);
  expect(await recorded(replicas[1])).toBe(second + 8);
});

/** Starts NGINX with the configuration of the repository, its places put in; returns its port. */
async function startProxy(replicas: readonly [Service, Service]): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-proxy-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const port = await freePort();
  const hosts = await Promise.all(replicas.map(async ({ app }) => new URL(await app.getUrl()).host));
  const source = readFileSync(new URL('../../deploy/proxy/nginx.conf', import.meta.url), 'utf8');
  const configuration = source
    .replaceAll('verdict-1:3000', hosts[0]!)
    .replaceAll('verdict-2:3000', hosts[1]!)
    .replace('listen 8080', `listen 127.0.0.1:${port}`)
    .replaceAll('/tmp/', `${directory}/`);
  const file = join(directory, 'nginx.conf');
  writeFileSync(file, configuration);
  const child = spawn('nginx', ['-c', file, '-e', join(directory, 'error.log'), '-g', 'daemon off;'], {
    env: environment,
    stdio: 'ignore',
  });
  onTestFinished(async () => {
    const exited = once(child, 'exit');
    child.kill('SIGQUIT');
    await exited;
  });
  await expect
    .poll(
      () =>
        fetch(`http://127.0.0.1:${port}/health/live`).then(
          ({ status }) => status,
          () => 0,
        ),
      { timeout: 10_000 },
    )
    .toBe(200);
  return port;
}
