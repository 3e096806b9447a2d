/** What the chart renders, what it refuses to render, and what its schema refuses. Wants Helm. */
import { describe, expect, it } from 'vitest';
import {
  chart,
  digestOfChart,
  hasHelm,
  helm,
  nested,
  objectsIn,
  renderedFile,
  renderFile,
  renderValues,
  shownValues,
  valueFiles,
  workloadOf,
} from './chart.js';

const test = it.skipIf(!hasHelm);

/** Values with which it renders: SQLite, as small as it may be. */
const least = {
  'image.repository': 'registry.example/verdict',
  existingSecret: 'verdict',
  'apiKeys.key': 'api-keys.yaml',
  'tls.terminatedElsewhere': true,
  'policies.configMaps.documents.name': 'policies-documents',
};
const fleet = {
  ...least,
  database: 'postgresql',
  'data.volume': 'emptyDir',
  'secrets.VERDICT_DATABASE_URL': 'database-url',
};
type Values = Record<string, unknown>;
const environmentOf = (text: string) =>
  Object.fromEntries(
    workloadOf(objectsIn(text)).spec.template.spec.containers[0].env.map((each: Values) => [each.name, each.value]),
  );

describe('the chart', { timeout: 60_000 }, () => {
  test('is well-formed by helm lint, with each of its value files', () => {
    for (const args of [[], ...valueFiles.map((file) => ['--values', `ci/${file}`])]) {
      const { status, stdout } = helm(['lint', '--strict', chart, ...args]);
      expect(stdout).toMatch(/1 chart\(s\) linted, 0 chart\(s\) failed/);
      expect(status, stdout).toBe(0);
    }
  });

  /** `npm run proofs -- helm` writes them anew with `-u`. */
  test.each(valueFiles)('renders ci/%s to the objects that the other tests look at', async (file) => {
    const { stdout, stderr, status } = renderFile(file);
    expect(status, stderr).toBe(0);
    const text = stdout.replace(/[ \t]+$/gm, '');
    await expect(`# ci/${file}, rendered. Chart and values: ${digestOfChart(file)}\n${text}`).toMatchFileSnapshot(
      renderedFile(file),
    );
  });

  test('has no hooks: migrations run when the service starts', () => {
    for (const file of valueFiles) expect(renderFile(file).stdout).not.toContain('helm.sh/hook');
  });

  test('says how the service is reached, and what its values leave open', () => {
    const notes = (values: Values) =>
      helm(['install', 'verdict', chart, '--dry-run=client', '--namespace', 'access'], nested(values)).stdout;
    expect(notes(least)).toContain('http://verdict.access.svc:3000');
    expect(notes(least)).toContain('Decision records are kept for ever');
    expect(notes({ ...least, 'settings.VERDICT_DECISION_LOG_RETENTION_DAYS': 30 })).not.toContain('for ever');
    const unsigned = { 'policies.source': 'bundle', 'policies.bundle.url': 'https://b.example/p' };
    expect(notes({ ...fleet, ...unsigned, 'policies.configMaps.documents.name': undefined })).toContain(
      'No public key',
    );
  });
});

describe('values that fit together', { timeout: 60_000 }, () => {
  test('render', () => {
    for (const values of [least, fleet]) expect(renderValues(values).stderr).toBe('');
  });

  test('are those of docs/kubernetes.md', () => {
    for (const values of shownValues()) {
      const { status, stderr } = helm(['template', 'verdict', chart], values);
      expect(status, stderr).toBe(0);
    }
  });

  test('give numbers as they were written, however large', () => {
    const settings = { 'settings.VERDICT_MAX_BATCH_BYTES': 33554432, 'settings.VERDICT_CROSS_CHECK': 0.01 };
    const { stdout } = renderValues({ ...least, ...settings });
    expect(environmentOf(stdout)).toMatchObject({ VERDICT_MAX_BATCH_BYTES: '33554432', VERDICT_CROSS_CHECK: '0.01' });
  });

  test('open the port for Envoy where it is set, wherever ports are named', () => {
    const networkPolicy = { enabled: true, ingressFrom: [{ podSelector: {} }], egress: [{ ports: [{ port: 5432 }] }] };
    const ports = (more: Values) =>
      objectsIn(renderValues({ ...fleet, networkPolicy, ...more }).stdout).flatMap(({ kind, spec }) => {
        if (kind === 'Service') return spec.ports.map(({ name }: Values) => name);
        if (kind === 'NetworkPolicy') return spec.ingress[0].ports.map(({ port }: Values) => port);
        return kind === 'Deployment' ? spec.template.spec.containers[0].ports.map(({ name }: Values) => name) : [];
      });
    expect(ports({}).filter((name) => name === 'grpc')).toHaveLength(0);
    expect(ports({ 'settings.VERDICT_GRPC_PORT': 4000 }).filter((name) => name === 'grpc')).toHaveLength(3);
  });

  test('keep the journals of all workers below three quarters of the folder', () => {
    const bytes = (more: Values) =>
      Number(environmentOf(renderValues({ ...fleet, ...more }).stdout).VERDICT_DECISION_LOG_JOURNAL_BYTES);
    expect(bytes({ 'data.size': '8Gi' })).toBe(6 * 2 ** 30);
    expect(bytes({ 'data.size': '8G', 'settings.VERDICT_WORKERS': 4 })).toBe(1_500_000_000);
    expect(bytes({ 'data.size': '8Gi', 'settings.VERDICT_DECISION_LOG_JOURNAL_BYTES': 100_000_000 })).toBe(1e8);
  });

  test('wait for the lock of the pod before where there is a volume, and only there', () => {
    expect(environmentOf(renderValues(least).stdout).VERDICT_LOCK_WAIT).toBe('60s');
    expect(environmentOf(renderValues(fleet).stdout).VERDICT_LOCK_WAIT).toBeUndefined();
    const claim = { 'data.existingClaim': 'claim' };
    expect(environmentOf(renderValues({ ...least, ...claim }).stdout).VERDICT_LOCK_WAIT).toBe('60s');
    const own = { 'settings.VERDICT_LOCK_WAIT': '5m' };
    expect(environmentOf(renderValues({ ...least, ...own }).stdout).VERDICT_LOCK_WAIT).toBe('5m');
  });

  test.each([
    [least, 'StatefulSet', undefined],
    [{ ...least, 'data.existingClaim': 'claim' }, 'Deployment', 'Recreate'],
    [fleet, 'Deployment', 'RollingUpdate'],
    [{ ...fleet, 'data.volume': 'persistentVolumeClaim', replicas: 3 }, 'StatefulSet', undefined],
  ])('%#: two processes never have one volume: %s', (values, kind, strategy) => {
    const workload = workloadOf(objectsIn(renderValues(values as Values).stdout));
    expect(workload.kind).toBe(kind);
    expect(workload.spec.strategy?.type).toBe(strategy);
  });
});

const bundle = { 'policies.configMaps.documents.name': undefined, 'policies.source': 'bundle' };
const inS3 = { ...bundle, 'policies.bundle.url': 's3://policies/prod', 'policies.bundle.awsCredentialsSecret': 'aws' };

/** What is changed of values that render, and what is said of it. */
const contradictions: readonly [string, Values, Values, RegExp][] = [
  ['no image', least, { 'image.repository': '' }, /image\.repository is empty/],
  ['two pods with SQLite', least, { replicas: 2 }, /sqlite, which is of one process/],
  ['autoscaling with SQLite', least, { 'autoscaling.enabled': true }, /sqlite, which is of one process/],
  ['SQLite in memory', least, { 'data.volume': 'memory' }, /would end with the pod/],
  ['SQLite in an emptyDir', least, { 'data.volume': 'emptyDir' }, /would end with the pod/],
  ['SQLite and the URL of a database', least, { 'secrets.VERDICT_DATABASE_URL': 'url' }, /set database to postgresql/],
  ['workers with SQLite', least, { 'settings.VERDICT_WORKERS': 2 }, /VERDICT_WORKERS beyond 1/],
  [
    'a replicated log with SQLite',
    least,
    { 'settings.VERDICT_DECISION_LOG': 'replicated' },
    /wants the database postgresql/,
  ],
  ['PostgreSQL without its URL', fleet, { 'secrets.VERDICT_DATABASE_URL': undefined }, /in which Secret its URL is/],
  [
    'a journal larger than its folder',
    fleet,
    { 'settings.VERDICT_DECISION_LOG_JOURNAL_BYTES': 8 * 2 ** 30 },
    /nine tenths/,
  ],
  ['a folder too small for journals', fleet, { 'data.size': '85Mi' }, /64Mi at least/],
  ['a number of workers that nobody knows', fleet, { 'settings.VERDICT_WORKERS': 'auto' }, /VERDICT_WORKERS is auto/],
  [
    'autoscaling with a volume for each pod',
    fleet,
    { 'data.volume': 'persistentVolumeClaim', 'autoscaling.enabled': true },
    /autoscaling is on and data\.volume is persistentVolumeClaim/,
  ],
  [
    'more pods at least than at most',
    fleet,
    { 'autoscaling.enabled': true, 'autoscaling.maxReplicas': 1 },
    /is more than/,
  ],
  [
    'two pods with one claim',
    { ...fleet, 'data.volume': undefined },
    { 'data.existingClaim': 'c', replicas: 2 },
    /one process may use/,
  ],
  [
    'a claim beside an emptyDir',
    fleet,
    { 'data.existingClaim': 'c' },
    /existingClaim is set, and data\.volume is emptyDir/,
  ],
  ['no policies', least, { 'policies.configMaps.documents.name': undefined }, /name the sets in policies\.sets/],
  [
    'a volume of all sets beside sets',
    least,
    { 'policies.volume': { emptyDir: {} } },
    /policies\.volume holds all sets/,
  ],
  ['a folder of no volume', least, { 'policies.volumePath': 'current' }, /policies\.volume, which is empty/],
  [
    'a set in two places',
    least,
    { 'policies.sets': { documents: { 'model.conf': '' } } },
    /documents is in policies\.sets and in policies\.configMaps/,
  ],
  ['a set without a model', least, { 'policies.sets': { other: { 'rules.csv': '' } } }, /other has no model\.conf/],
  [
    'a set that fits no ConfigMap',
    least,
    { 'policies.sets': { other: { 'model.conf': '', 'rules.csv': 'p, a, b, c\n'.repeat(90_000) } } },
    /larger than a ConfigMap/,
  ],
  ['sets beside another source', least, { 'policies.source': 'database' }, /are for directory/],
  ['bundles from nowhere', fleet, bundle, /set policies\.bundle\.url/],
  ['bundles from two places', fleet, { ...inS3, 'secrets.VERDICT_BUNDLE_URL': 'url' }, /say the same thing/],
  [
    'a password in a value',
    fleet,
    { ...bundle, 'policies.bundle.url': 'https://u:p@b.example/' },
    /put it into secrets/,
  ],
  ['S3 without credentials', fleet, { ...inS3, 'policies.bundle.awsCredentialsSecret': '' }, /AWS_ACCESS_KEY_ID/],
  [
    'a URL of bundles and another source',
    least,
    { 'policies.bundle.url': 's3://policies/prod' },
    /policies\.source is directory/,
  ],
  [
    'a key of no Secret',
    least,
    { existingSecret: '', 'apiKeys.secretName': 'k', 'secrets.VERDICT_MASK_KEY': 'm' },
    /existingSecret, which is empty/,
  ],
  ['keys of callers in no Secret', least, { existingSecret: '' }, /apiKeys\.secretName or existingSecret/],
  ['a Secret without the key in it', fleet, { 'apiKeys.key': '', 'apiKeys.secretName': 'k' }, /which of its keys/],
  ['nobody who may call', least, { 'apiKeys.key': '' }, /nobody could call/],
  [
    'settings among other variables',
    least,
    { extraEnv: [{ name: 'VERDICT_PORT', value: '1' }] },
    /extraEnv has VERDICT_PORT/,
  ],
  ['a port for Envoy that nobody knows', fleet, { 'settings.VERDICT_GRPC_PORT': 0 }, /another one in each pod/],
  ['one port for two', fleet, { 'settings.VERDICT_GRPC_PORT': 3000 }, /3000 is the service's/],
  ['a port twice', fleet, { extraPorts: [{ name: 'more', port: 3000 }] }, /one of the service's own/],
  ['TLS here and elsewhere', least, { 'tls.existingSecret': 'tls' }, /exclude each other/],
  ['TLS nowhere', least, { 'tls.terminatedElsewhere': false }, /set tls\.existingSecret, or/],
  ['certificates of clients without TLS', least, { 'tls.clientCA.secretName': 'ca' }, /wants tls\.existingSecret/],
  ['a policy that lets nobody in', least, { 'networkPolicy.enabled': true }, /nobody could ask/],
  [
    'a policy that lets it reach no database',
    fleet,
    { 'networkPolicy.enabled': true, 'networkPolicy.ingressFrom': [{ podSelector: {} }] },
    /could not reach what it needs/,
  ],
  ['metrics without a key', least, { 'serviceMonitor.enabled': true }, /scope metrics:read/],
  ['a stop that is cut off', least, { terminationGracePeriodSeconds: 24 }, /preStopSeconds and 20/],
  ['a start that is cut off', least, { 'probes.startupSeconds': 89 }, /startupSeconds is less than 90/],
];

describe('values that contradict each other', { timeout: 60_000 }, () => {
  test.each(contradictions)('%s: not rendered, and said', (_name, values, change, message) => {
    const { status, stderr } = renderValues({ ...values, ...change });
    expect(status).not.toBe(0);
    expect(stderr).toContain('these values cannot be installed');
    expect(stderr.match(/\n\s+- /g), stderr).toHaveLength(1);
    expect(stderr).toMatch(message);
  });

  test('are all told at once', () => {
    const { stderr } = renderValues({});
    for (const what of ['image.repository', 'policies.source', 'nobody could call', 'tls.existingSecret']) {
      expect(stderr).toContain(what);
    }
  });

  test('are told at their bounds only', () => {
    for (const change of [{ terminationGracePeriodSeconds: 25 }, { 'probes.startupSeconds': 90 }]) {
      expect(renderValues({ ...least, ...change }).stderr).toBe('');
    }
    expect(renderValues({ ...fleet, 'data.size': '86Mi' }).stderr).toBe('');
  });
});

describe('values that the schema refuses', { timeout: 60_000 }, () => {
  test.each([
    ['a name that is none', { replica: 2 }, /replica/],
    ['a variable that the service does not know', { 'settings.VERDICT_LOG_LEVLE': 'info' }, /VERDICT_LOG_LEVLE/],
    ['a secret as a setting', { 'settings.VERDICT_ENCRYPTION_KEY': 'x' }, /VERDICT_ENCRYPTION_KEY/],
    ['what the chart sets itself', { 'settings.VERDICT_PORT': 4000 }, /VERDICT_PORT/],
    ['a secret that is none', { 'secrets.VERDICT_LOG_LEVEL': 'x' }, /VERDICT_LOG_LEVEL/],
    ['off without quotes, which is false', { 'settings.VERDICT_RATE_LIMIT': false }, /VERDICT_RATE_LIMIT/],
    ['an access mode that several pods share', { 'data.accessMode': 'ReadWriteMany' }, /accessMode/],
    ['a size that is none', { 'data.size': '8 GB' }, /size/],
    ['root', { runAsUser: 0 }, /runAsUser/],
    ['a file above its set', { 'policies.sets': { a: { '../model.conf': '' } } }, /model\.conf/],
  ])('%s', (_name, change, message) => {
    const { status, stderr } = renderValues({ ...least, ...change });
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/don't meet the specifications of the schema/);
    expect(stderr).toMatch(message);
  });
});
