/**
 * The service with what rendered pods give it: their variables, their volumes at their paths and in their layout, their user,
 * a root that cannot be written, real PostgreSQL. It is probed, asked and stopped as the objects say. There is no cluster.
 */

import { spawnSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { digestOf, makeApiKey } from '../../../src/auth/api-key.js';
import { hasPostgres, PostgresServer } from '../../database/postgres/postgres-server.js';
import { writePolicies } from '../../http/service.js';
import { makeAuthority } from '../../security/certificates.js';
import { type KubernetesObject, objectsIn, objectsOf, workloadOf } from './chart.js';
import { canRunPods, containerOf, type Files, Pod, type PodOptions } from './pod.js';

const key = makeApiKey('prod');
const apiKeys = JSON.stringify([
  { name: 'tester', sha256: digestOf(key), scopes: ['decide', 'metrics:read', 'policies:write'] },
]);
const question = { subject: 'ana', action: 'write', resource: 'handbook' };

const specOf = (workload: KubernetesObject) => workload.spec.template.spec;
const recipe = (name: string) =>
  objectsIn(readFileSync(fileURLToPath(new URL(`../../../deploy/kubernetes/${name}`, import.meta.url)), 'utf8'))[0]!;

/** The files of the ConfigMaps that the chart renders, at their mounts. */
function configMapsOf(objects: readonly KubernetesObject[]): Record<string, Files> {
  const spec = specOf(workloadOf(objects));
  const mounts: Record<string, Files> = {};
  for (const { name, configMap } of spec.volumes.filter((volume: KubernetesObject) => volume.configMap !== undefined)) {
    const data = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === configMap.name)?.data;
    if (data === undefined) continue;
    const items = configMap.items ?? Object.keys(data).map((path) => ({ key: path, path }));
    const { mountPath } = containerOf(spec).volumeMounts.find((mount: KubernetesObject) => mount.name === name);
    mounts[mountPath] = Object.fromEntries(
      items.map((item: { key: string; path: string }) => [item.path, data[item.key]]),
    );
  }
  return mounts;
}

const documents = configMapsOf(objectsOf('sqlite-values.yaml'))['/policies/documents']!;

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** As the kubelet asks: whatever the certificate says. */
function ask(pod: Pod, path: string, body?: object, more: RequestOptions = {}): Promise<Answer> {
  const url = new URL(path, pod.url);
  const options = {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    rejectUnauthorized: false,
    agent: false as const,
    ...more,
  };
  return new Promise((resolve, reject) => {
    const call = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, text }));
    });
    call.on('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function started(options: PodOptions): Promise<Pod> {
  const pod = await Pod.start(options);
  let isStopped = false;
  const stop = pod.stop.bind(pod);
  pod.stop = () => {
    isStopped = true;
    return stop();
  };
  onTestFinished(async () => {
    if (!isStopped) await stop();
  });
  return pod;
}

/** Asks every probe of the container, as often as it takes to be ready. */
async function probe(pod: Pod, spec: KubernetesObject): Promise<void> {
  const { startupProbe, livenessProbe, readinessProbe, env } = containerOf(spec);
  for (const { httpGet, exec } of [startupProbe, livenessProbe, readinessProbe].filter((each) => each !== undefined)) {
    if (exec !== undefined) {
      const port = new URL(pod.url).port;
      const variables = Object.fromEntries(
        env.map(({ name, value }: { name: string; value?: string }) => [name, value ?? '']),
      );
      expect(pod.exec(exec.command, { ...variables, VERDICT_PORT: port })).toBe(0);
      expect(pod.exec(exec.command, { ...variables, VERDICT_PORT: '1' })).toBe(1);
      continue;
    }
    expect(`${httpGet.scheme.toLowerCase()}:`).toBe(new URL(pod.url).protocol);
    let answer = await ask(pod, httpGet.path, undefined, { headers: {} });
    for (let attempt = 0; attempt < 100 && answer.status !== 200; attempt++) {
      await delay(50);
      answer = await ask(pod, httpGet.path, undefined, { headers: {} });
    }
    expect(answer, httpGet.path).toMatchObject({ status: 200 });
  }
}

describe.skipIf(!canRunPods)('a pod of ci/sqlite-values.yaml', { timeout: 120_000 }, () => {
  const objects = objectsOf('sqlite-values.yaml');
  const spec = specOf(workloadOf(objects));
  const mounts = { ...configMapsOf(objects), '/etc/verdict/secrets': { 'api-keys.yaml': apiKeys } };

  it('is ready, answers by the ConfigMap, can write its volume alone, and stops within its time', async () => {
    const pod = await started({ spec, mounts });
    await probe(pod, spec);
    const { status, text } = await ask(pod, '/v1/decide', question);
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ allowed: true, policySet: 'documents' });
    expect((await ask(pod, '/v1/decide', question, { headers: { 'content-type': 'application/json' } })).status).toBe(
      401,
    );
    expect((await ask(pod, '/metrics')).text).toContain('verdict_policy_set_info');
    expect(readdirSync(pod.file('/data', '.'))).toEqual(expect.arrayContaining(['verdict.sqlite', 'verdict.lock']));
    for (const path of ['/x', '/app/dist/x', '/app/x', '/policies/documents/x', '/etc/verdict/secrets/x']) {
      expect(pod.whyNotWritable(path), path).toContain('Read-only file system');
    }
    expect(pod.whyNotWritable('/data/x')).toBe('');
    const { code, ms, errors } = await pod.stop();
    expect(code, errors).toBe(0);
    expect(ms / 1000).toBeLessThan(
      spec.terminationGracePeriodSeconds - containerOf(spec).lifecycle.preStop.sleep.seconds,
    );
  });

  it('serves a ConfigMap that was changed, without a restart, and callers that were', async () => {
    const pod = await started({ spec, mounts });
    await probe(pod, spec);
    const rules = 'p, editor, handbook, read\ng, ana, editor\n';
    const { 'tests/editors.yaml': _, ...files } = documents;
    pod.change('/policies/documents', { ...files, 'rules.csv': rules });
    await until(async () => JSON.parse((await ask(pod, '/v1/decide', question)).text).allowed === false);
    const other = makeApiKey('prod');
    pod.change('/etc/verdict/secrets', {
      'api-keys.yaml': JSON.stringify([{ name: 'other', sha256: digestOf(other), scopes: ['decide'] }]),
    });
    await until(async () => (await ask(pod, '/v1/decide', question)).status === 401);
  });

  it('goes on with a broken ConfigMap as it was', async () => {
    const pod = await started({ spec, mounts });
    await probe(pod, spec);
    pod.change('/policies/documents', { ...documents, 'rules.csv': 'p, editor\n' });
    await until(async () => (await ask(pod, '/health')).text.includes('degraded'));
    expect(JSON.parse((await ask(pod, '/v1/decide', question)).text)).toMatchObject({ allowed: true });
  });

  it('does not start without the Secret of its callers, and says so', async () => {
    await expect(Pod.start({ spec, mounts: configMapsOf(objects) })).rejects.toThrow(
      /VERDICT_API_KEYS_FILE cannot be read/,
    );
  });
});

describe.skipIf(!canRunPods || !hasPostgres)('with PostgreSQL', { timeout: 120_000 }, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await PostgresServer.start();
  });
  afterAll(() => server?.remove());

  it('a pod of ci/postgresql-values.yaml takes signed bundles, speaks TLS, and asks clients for certificates', async () => {
    const objects = objectsOf('postgresql-values.yaml');
    const spec = specOf(workloadOf(objects));
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const published = mkdtempSync(join(tmpdir(), 'verdict-bundles-'));
    onTestFinished(() => rmSync(published, { recursive: true }));
    const bundles = publish(published, privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    const authority = await makeAuthority('cluster');
    const certificate = await authority.issue('verdict.access.svc', { server: true });
    const client = await authority.issue('shop');
    const logKey = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    const callers = [...JSON.parse(apiKeys), { name: 'shop', certificate: 'CN=shop', scopes: ['decide'] }];
    const pod = await started({
      spec: { ...spec, containers: [withBundles(containerOf(spec))] },
      mounts: {
        '/bundles': bundles,
        '/etc/verdict/bundle-keys/own': {
          'bundle-keys.pem': publicKey.export({ type: 'spki', format: 'pem' }) as string,
        },
        '/etc/verdict/client-ca': { 'ca.crt': authority.cert },
        '/etc/verdict/tls': { 'tls.crt': certificate.cert, 'tls.key': certificate.key, 'ca.crt': authority.cert },
        '/etc/verdict/secrets': {
          'api-keys.yaml': JSON.stringify(callers),
          VERDICT_DATABASE_URL: await server.createDatabase(),
          VERDICT_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
          VERDICT_LOG_SIGNING_KEY: logKey,
        },
      },
      // A folder instead of S3: with S3 itself bundles have tests of their own.
      env: { VERDICT_BUNDLE_URL: 'file:///bundles' },
    });
    await probe(pod, spec);
    expect(JSON.parse((await ask(pod, '/v1/decide', question)).text)).toMatchObject({ allowed: true });
    const asShop = { ...client, ca: authority.cert, headers: { 'content-type': 'application/json' } };
    expect((await ask(pod, '/v1/decide', question, asShop)).status).toBe(200);
    expect((await ask(pod, '/v1/decide', question, { headers: { 'content-type': 'application/json' } })).status).toBe(
      401,
    );
    expect((await pod.stop()).code).toBe(0);
  });

  it('a pod of ci/postgresql-volumes-values.yaml has its workers, and serves what is written into the database', async () => {
    const spec = specOf(workloadOf(objectsOf('postgresql-volumes-values.yaml')));
    const url = await server.createDatabase();
    const made = spawnSync(
      process.execPath,
      ['dist/cli.js', 'keys', 'create', 'first', '--scope', 'decide', '--scope', 'policies:write'],
      {
        env: {
          PATH: process.env.PATH,
          VERDICT_DATABASE_URL: url,
          VERDICT_POLICY_SOURCE: 'database',
          VERDICT_AUTH: 'required',
        },
        encoding: 'utf8',
      },
    );
    const first = /vd_\w+/.exec(made.stdout + made.stderr)![0];
    const pod = await started({ spec, mounts: { '/etc/verdict/secrets': { VERDICT_DATABASE_URL: url } } });
    await probe(pod, spec);
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${first}` };
    const written = await ask(pod, '/v1/policy-sets/documents', { files: documents }, { method: 'PUT', headers });
    expect(written.status, written.text).toBe(200);
    await until(async () => (await ask(pod, '/v1/decide', question, { headers })).status === 200);
    expect(readdirSync(pod.file('/data', '.'))).toEqual(expect.arrayContaining(['1', '2']));
    expect((await pod.stop()).code).toBe(0);
  });

  it('a pod of ci/git-sync-values.yaml follows the link of a work tree', async () => {
    const spec = specOf(workloadOf(objectsOf('git-sync-values.yaml')));
    const tree = Object.fromEntries(
      Object.entries(documents).map(([path, text]) => [`current/policies/documents/${path}`, text]),
    );
    const secrets = { VERDICT_DATABASE_URL: await server.createDatabase(), 'api-keys.yaml': apiKeys };
    const pod = await started({ spec, mounts: { '/policies': tree, '/etc/verdict/secrets': secrets } });
    await probe(pod, spec);
    expect(JSON.parse((await ask(pod, '/v1/decide', question)).text)).toMatchObject({ allowed: true });
  });

  it('the sidecar of deploy/kubernetes/sidecar.yaml listens for its pod alone, and is probed in its container', async () => {
    const spec = specOf(recipe('sidecar.yaml'));
    const secrets = { 'database-url': await server.createDatabase(), 'api-keys.yaml': apiKeys };
    const pod = await started({ spec, mounts: { '/policies/shop': documents, '/etc/verdict/secrets': secrets } });
    await probe(pod, spec);
    expect(JSON.parse((await ask(pod, '/v1/decide', question)).text)).toMatchObject({
      allowed: true,
      policySet: 'shop',
    });
  });
});

/** The published bundles of the set, signed. */
function publish(folder: string, signingKey: string): Files {
  expect(createPrivateKey(signingKey).asymmetricKeyType).toBe('ed25519');
  const policies = mkdtempSync(join(tmpdir(), 'verdict-policies-'));
  try {
    writePolicies(
      policies,
      Object.fromEntries(Object.entries(documents).map(([path, text]) => [`documents/${path}`, text])),
    );
    const args = ['dist/cli.js', 'bundle', 'push', policies, '--to', folder];
    const ran = spawnSync(process.execPath, args, {
      env: { PATH: process.env.PATH, VERDICT_BUNDLE_SIGNING_KEY: signingKey },
      encoding: 'utf8',
    });
    expect(ran.status, ran.stderr).toBe(0);
  } finally {
    rmSync(policies, { recursive: true });
  }
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(folder.length + 1), readFileSync(path, 'latin1')];
    }),
  );
}

function withBundles(container: KubernetesObject): KubernetesObject {
  return {
    ...container,
    volumeMounts: [...container.volumeMounts, { name: 'bundles', mountPath: '/bundles', readOnly: true }],
  };
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (await isSo()) return;
    await delay(50);
  }
  throw new Error('it did not come to be so');
}
