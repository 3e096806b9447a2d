/** The objects that the chart renders, and those of the recipes beside it: valid, closed, and true of the service. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { configVariables } from '../../../src/config/config.js';
import { readConfig } from '../../../src/config/read-config.js';
import {
  digestOfChart,
  type KubernetesObject,
  objectsIn,
  objectsOf,
  renderedFile,
  valueFiles,
  workloadOf,
} from './chart.js';

const recipes = fileURLToPath(new URL('../../../deploy/kubernetes', import.meta.url));
const recipeFiles = readdirSync(recipes).sort();
const all: readonly (readonly [string, readonly KubernetesObject[]])[] = [
  ...valueFiles.map((file) => [file, objectsOf(file)] as const),
  ...recipeFiles.map((file) => [file, objectsIn(readFileSync(join(recipes, file), 'utf8'))] as const),
];
const workloads = all.map(([file, objects]) => {
  const workload = objects.find(({ kind }) => ['Deployment', 'StatefulSet', 'DaemonSet'].includes(kind))!;
  const pod = workload.spec.template.spec;
  const containers: KubernetesObject[] = [...(pod.initContainers ?? []), ...pod.containers];
  return { file, objects, workload, pod, containers, verdict: containers.find(({ name }) => name === 'verdict')! };
});

const hasValidator =
  process.env.VERDICT_TEST_REQUIRE === 'all' ||
  spawnSync('kubernetes-validate', ['--version'], { stdio: 'ignore' }).status === 0;
if (!hasValidator)
  console.warn('kubernetes-validate is not installed: objects are not held against the schemas of Kubernetes');

/** What is wrong with the objects of these files; empty when nothing is. */
function faultsOf(files: readonly string[]): string {
  const ran = spawnSync('kubernetes-validate', ['--strict', '--quiet', '--no-warn', ...files], { encoding: 'utf8' });
  if (ran.error !== undefined) throw ran.error;
  return ran.status === 0 ? '' : `${ran.stdout}${ran.stderr}` || `exit code ${ran.status}`;
}

const literal = ({ env }: KubernetesObject, name: string): string | undefined =>
  env.find((each: { name: string }) => each.name === name)?.value;

it.each(valueFiles)('ci/%s was rendered from the chart as it is: npm run proofs -- helm renders it again', (file) => {
  expect(readFileSync(renderedFile(file), 'utf8').split('\n')[0]).toContain(digestOfChart(file));
});

describe.skipIf(!hasValidator)('the strict schemas of Kubernetes', { timeout: 120_000 }, () => {
  it('take every object of the value files and of the recipes', () => {
    expect(faultsOf([...valueFiles.map(renderedFile), ...recipeFiles.map((file) => join(recipes, file))])).toBe('');
  });

  it('find a misspelt member, a text for a number, a member of another object', () => {
    const mistakes = [
      ['readOnlyRootFilesystem: true', 'readOnlyRootFileSystem: true'],
      ['terminationGracePeriodSeconds: 30', 'terminationGracePeriodSeconds: "30"'],
      ['podManagementPolicy: Parallel', 'strategy: { type: Recreate }'],
    ] as const;
    const folder = mkdtempSync(join(tmpdir(), 'verdict-chart-'));
    try {
      const text = readFileSync(renderedFile('sqlite-values.yaml'), 'utf8');
      const files = mistakes.map(([from, to], index) => {
        expect(text).toContain(from);
        const file = join(folder, `${index}.yaml`);
        writeFileSync(file, text.replace(from, to));
        return file;
      });
      const faults = faultsOf(files);
      for (const file of files) expect(faults).toContain(file);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('a ServiceMonitor', () => {
  // Of its members those that the chart uses, each as the documentation of the operator's API says it; no other may be there.
  const text = { type: 'string', minLength: 1 };
  const closed = (properties: object, required = Object.keys(properties)) => ({
    type: 'object',
    additionalProperties: false,
    properties,
    required,
  });
  const keyOfSecret = closed({ name: text, key: text });
  const labels = { type: 'object', additionalProperties: { type: 'string' } };
  const endpoint = {
    port: text,
    scheme: { enum: ['http', 'https'] },
    path: { type: 'string', pattern: '^/' },
    interval: { type: 'string', pattern: '^[0-9]+(ms|s|m|h)$' },
    authorization: closed({ type: { const: 'Bearer' }, credentials: keyOfSecret }),
    tlsConfig: closed({ serverName: text, ca: closed({ secret: keyOfSecret }) }),
  };
  const schema = closed({
    apiVersion: { const: 'monitoring.coreos.com/v1' },
    kind: { const: 'ServiceMonitor' },
    metadata: closed({ name: text, namespace: text, labels }),
    spec: closed({
      selector: closed({ matchLabels: labels }),
      endpoints: { type: 'array', items: closed(endpoint, ['port', 'authorization']) },
    }),
  });
  const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);
  const monitored = all.filter(([, objects]) => objects.some(({ kind }) => kind === 'ServiceMonitor'));

  it.each(monitored)('of %s fits its schema, selects one Service, and shows a key', (_file, objects) => {
    const monitor = objects.find(({ kind }) => kind === 'ServiceMonitor')!;
    expect(validate(monitor), JSON.stringify(validate.errors)).toBe(true);
    const services = objects.filter(
      ({ kind, metadata }) => kind === 'Service' && matches(monitor.spec.selector.matchLabels, metadata.labels),
    );
    expect(services).toHaveLength(1);
    const [endpoint] = monitor.spec.endpoints;
    expect(services[0]!.spec.ports.map(({ name }: { name: string }) => name)).toContain(endpoint.port);
    expect(endpoint.authorization).toEqual({
      type: 'Bearer',
      credentials: { name: 'verdict-metrics', key: 'metrics-key' },
    });
    expect(endpoint.tlsConfig === undefined).toBe(endpoint.scheme === 'http');
  });

  it('with a member that there is not does not fit', () => {
    const monitor = structuredClone(monitored[0]![1].find(({ kind }) => kind === 'ServiceMonitor')!);
    monitor.spec.endpoints[0].bearerToken = 'x';
    expect(validate(monitor)).toBe(false);
  });
});

describe.each(workloads)('$file', ({ objects, workload, pod, containers, verdict }) => {
  it('keeps to the restricted standard of pods: no root, no privileges, no token of the cluster', () => {
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    expect(pod.securityContext.runAsUser).toBeGreaterThan(0);
    for (const { name, securityContext } of containers) {
      expect(securityContext, name).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
    for (const { hostPath } of pod.volumes) expect(hostPath).toBeUndefined();
    expect(pod.hostNetwork ?? pod.hostPID ?? pod.hostIPC ?? false).toBe(false);
  });

  it('has no secret in it: they come from Secrets that are there, as files', () => {
    expect(objects.filter(({ kind }) => kind === 'Secret')).toEqual([]);
    for (const { name, secret } of configVariables.filter((variable) => variable.secret)) {
      const value = literal(verdict, name);
      const isPlain = value === undefined || value === '' || /^(sqlite:|s3:|https:\/\/[^@]*$)/.test(value);
      expect(secret && isPlain, name).toBe(true);
    }
    const texts = objects.filter(({ kind }) => kind === 'ConfigMap').flatMap(({ data }) => Object.values(data));
    expect(texts.join('\n')).not.toMatch(/PRIVATE KEY|vd_[a-z]+_|postgres:/);
  });

  it('sets variables that the service knows, to values that it takes', () => {
    const sample: Record<string, string> = {
      VERDICT_DATABASE_URL: 'postgres://verdict@db.example/verdict',
      VERDICT_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
    };
    const env: Record<string, string> = {};
    for (const { name, value } of verdict.env) {
      const secret = configVariables.find((variable) => variable.secret && `${variable.name}_FILE` === name);
      if (secret === undefined) env[name] = value ?? 'from-elsewhere';
      else if (secret.name in sample) env[secret.name] = sample[secret.name]!;
    }
    const { config } = readConfig(env);
    expect(config.auth).toBe('required');
    const folder = config.databaseUrl.startsWith('sqlite:')
      ? config.databaseUrl.slice(7)
      : `${config.spoolDir}/journal`;
    expect(mountOf(verdict, folder)?.name).toBe('data');
    if (config.policySource === 'directory') expect(`${config.policyDir}/`).toMatch(/^\/policies\//);
  });

  it('mounts what its variables name', () => {
    const files = verdict.env.map(({ value }: { value?: string }) => value ?? '');
    for (const file of files.filter((value: string) => value.startsWith('/etc/verdict/'))) {
      const mount = mountOf(verdict, file)!;
      const volume = pod.volumes.find(({ name }: { name: string }) => name === mount.name);
      const inner = file.slice(mount.mountPath.length + 1);
      const sources = volume.projected?.sources ?? [volume];
      const items = sources.flatMap((source: KubernetesObject) => (source.secret ?? source.configMap).items ?? []);
      // A Secret or ConfigMap without items has its keys as files, here by a name that everybody knows.
      const known =
        items.length === 0
          ? ['tls.crt', 'tls.key', 'bundle-keys.pem']
          : items.map(({ path }: { path: string }) => path);
      expect(known, file).toContain(inner);
    }
  });

  it('has a volume for each mount, of which only /data can be written', () => {
    const templates = (workload.spec.volumeClaimTemplates ?? []).map(({ metadata }: KubernetesObject) => metadata.name);
    const volumes = [...pod.volumes.map(({ name }: KubernetesObject) => name), ...templates];
    expect(new Set(volumes).size).toBe(volumes.length);
    for (const { name, mountPath, readOnly } of verdict.volumeMounts) {
      expect(volumes).toContain(name);
      expect(readOnly === true, mountPath).toBe(mountPath !== '/data');
    }
  });

  it('gives the service time to start and to stop', () => {
    const preStop = verdict.lifecycle?.preStop.sleep.seconds ?? 0;
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(preStop + 20);
    const { periodSeconds, failureThreshold } = verdict.startupProbe;
    expect(periodSeconds * failureThreshold).toBeGreaterThanOrEqual(90);
  });

  it('keeps the journal below the size of its folder, so that the pod is not evicted with it', () => {
    const bytes = literal(verdict, 'VERDICT_DECISION_LOG_JOURNAL_BYTES');
    const limit = pod.volumes.find(({ name }: KubernetesObject) => name === 'data')?.emptyDir?.sizeLimit;
    if (limit === undefined) return expect(workload.kind === 'StatefulSet' || bytes === undefined).toBe(true);
    const [, count, unit] = /^(\d+)([MG])i$/.exec(limit)!;
    expect(Number(bytes)).toBeLessThanOrEqual(0.75 * Number(count) * (unit === 'G' ? 2 ** 30 : 2 ** 20));
  });

  it('has objects that find each other', () => {
    const { labels } = workload.spec.template.metadata;
    const ports = new Set((verdict.ports ?? []).map(({ name }: KubernetesObject) => name));
    expect(matches(workload.spec.selector.matchLabels, labels)).toBe(true);
    for (const { kind, spec, metadata } of objects) {
      if (kind === 'Service') {
        expect(matches(spec.selector, labels), metadata.name).toBe(true);
        for (const { targetPort } of spec.ports) expect(ports).toContain(targetPort);
      }
      if (kind === 'PodDisruptionBudget') expect(matches(spec.selector.matchLabels, labels)).toBe(true);
      if (kind === 'NetworkPolicy') {
        expect(matches(spec.podSelector.matchLabels, labels)).toBe(true);
        for (const { port } of spec.ingress[0].ports) expect(ports).toContain(port);
      }
      if (kind === 'HorizontalPodAutoscaler') {
        expect(spec.scaleTargetRef).toMatchObject({ kind: workload.kind, name: workload.metadata.name });
        expect(workload.spec.replicas).toBeUndefined();
      }
    }
    if (workload.kind === 'StatefulSet') {
      expect(
        objects.some(({ kind, metadata }) => kind === 'Service' && metadata.name === workload.spec.serviceName),
      ).toBe(true);
    }
  });
});

it('between them the value files have every kind of object that the chart knows', () => {
  const kinds = new Set(valueFiles.flatMap((file) => objectsOf(file).map(({ kind }) => kind)));
  expect([...kinds].sort()).toEqual([
    'ConfigMap',
    'Deployment',
    'HorizontalPodAutoscaler',
    'NetworkPolicy',
    'PodDisruptionBudget',
    'Service',
    'ServiceAccount',
    'ServiceMonitor',
    'StatefulSet',
  ]);
  expect(new Set(valueFiles.map((file) => workloadOf(objectsOf(file)).spec.strategy?.type))).toEqual(
    new Set([undefined, 'RollingUpdate', 'Recreate']),
  );
});

function matches(selector: Record<string, string>, labels: Record<string, string>): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

/** The deepest mount that a path is in. */
function mountOf(container: KubernetesObject, path: string): { name: string; mountPath: string } | undefined {
  return container.volumeMounts
    .filter(({ mountPath }: { mountPath: string }) => path.startsWith(`${mountPath}/`))
    .sort(
      (one: { mountPath: string }, other: { mountPath: string }) => other.mountPath.length - one.mountPath.length,
    )[0];
}
