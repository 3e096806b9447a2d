/** The built service with OpenTelemetry's variables, and a receiver of OTLP over HTTP. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { OtlpReceiver } from './otlp-receiver.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const parent = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
const traceparent = `00-${parent.traceId}-${parent.spanId}-01`;
const question = {
  subject: { type: 'user', id: 'dana-private' },
  action: 'read',
  resource: { type: 'chart', id: 'chart-private' },
};

let folder: string;
let receiver: OtlpReceiver;
let service: ChildProcess | undefined;
let lines: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'verdict-telemetry-'));
  receiver = await OtlpReceiver.start();
  lines = [];
});

afterEach(async () => {
  if (service !== undefined && service.exitCode === null) {
    service.kill('SIGKILL');
    await once(service, 'exit');
  }
  service = undefined;
  await receiver.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts the service; what it prints is in `lines`. */
async function start(env: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, [join(root, 'dist/main.js')], {
    env: {
      PATH: process.env.PATH,
      VERDICT_PORT: '0',
      VERDICT_AUTH: 'none',
      VERDICT_INSTANCE: 'replica-a',
      VERDICT_POLICY_DIR: join(root, 'policies'),
      VERDICT_DATABASE_URL: `sqlite:${join(folder, 'verdict.sqlite')}`,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  service = child;
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      const url = /^verdict listening on (\S+)$/.exec(line)?.[1];
      if (url !== undefined) resolve(url);
    });
  });
}

async function stop(): Promise<void> {
  const ended = once(service!, 'exit');
  service!.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
}

async function ask(url: string, path: string, body: unknown = question, headers: Record<string, string> = {}) {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the body that it asked for
  return { status: response.status, body: (await response.json()) as any };
}

async function recordOf(url: string, id: string) {
  const response = await fetch(`${url}/v1/decisions/${id}`);
  return response.json();
}

describe.each(['http/protobuf', 'http/json'])('traces over %s', (protocol) => {
  it('are a span of the server, with the evaluation and the commit in it, in the trace of the caller', async () => {
    const url = await start({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${receiver.url}/v1/traces`,
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=acme',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test,service.name=authz',
    });
    const { body } = await ask(url, '/v1/decide', question, { traceparent });
    expect(await recordOf(url, body.decisionId)).toMatchObject({ traceId: parent.traceId });
    await stop();

    const spans = receiver.spans.filter(({ traceId }) => traceId === parent.traceId);
    const server = spans.find(({ kind }) => kind === 2)!;
    expect(server).toMatchObject({ name: 'POST /v1/decide', parentSpanId: parent.spanId, isError: false });
    expect(server.attributes).toEqual({
      'http.request.method': 'POST',
      'http.route': '/v1/decide',
      'http.response.status_code': 200,
      'url.path': '/v1/decide',
      'url.scheme': 'http',
    });
    const children = spans.filter(({ parentSpanId }) => parentSpanId === server.spanId);
    expect(children.map(({ name }) => name).sort()).toEqual(['verdict.commit', 'verdict.evaluate']);
    const evaluate = children.find(({ name }) => name === 'verdict.evaluate')!;
    expect(evaluate.attributes).toEqual({
      'verdict.policy_set': body.policySet,
      'verdict.policy_version': body.policyVersion,
      'verdict.decision': body.decision,
      'verdict.reason': body.reason.code,
      'verdict.via': 'decide',
      ...(body.errors.length > 0 && { 'verdict.errors': body.errors.length }),
    });
    for (const child of children) expect(child.ms).toBeLessThanOrEqual(server.ms);
    expect(receiver.resources[0]).toMatchObject({
      'service.name': 'authz',
      'service.instance.id': 'replica-a',
      'deployment.environment.name': 'test',
    });
    expect(receiver.received[0]!.headers['x-tenant']).toBe('acme');
    // Nobody is named, by whatever request.
    expect(JSON.stringify(receiver.received)).not.toContain('private');
  });
});

describe('traces', () => {
  it('have one span for a part of a batch, and none that names anybody in a path or a query', async () => {
    const url = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_METRICS_EXPORTER: 'none' });
    await ask(url, '/v1/decide/batch', { requests: Array.from({ length: 5 }, () => question) });
    await fetch(`${url}/v1/decisions?subject=alice-private`);
    await fetch(`${url}/nowhere/alice-private`);
    await fetch(`${url}/v1/policy-sets/alice-private`);
    expect((await ask(url, '/v1/decide', { subject: 5 })).status).toBe(400);
    await stop();

    const { spans } = receiver;
    const batch = spans.find(({ name }) => name === 'POST /v1/decide/batch')!;
    const parts = spans.filter(({ parentSpanId }) => parentSpanId === batch.spanId);
    const size = parts.reduce((sum, { attributes }) => sum + Number(attributes['verdict.batch.size'] ?? 0), 0);
    const records = parts.reduce((sum, { attributes }) => sum + Number(attributes['verdict.records'] ?? 0), 0);
    expect([size, records]).toEqual([5, 5]);
    expect(spans.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['GET /v1/decisions', 'GET', 'GET /v1/policy-sets/:set']),
    );
    expect(JSON.stringify(receiver.received)).not.toContain('private');
    const refused = spans.find(({ attributes }) => attributes['http.response.status_code'] === 400)!;
    // The caller's mistake is no error of the service.
    expect(refused).toMatchObject({ name: 'POST /v1/decide', isError: false });
    expect(receiver.received.every(({ path }) => path === '/v1/traces')).toBe(true);
  });

  it('are those that the sampler takes: by its ratio, or as the caller says', async () => {
    const url = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0',
    });
    const unsampled = await ask(url, '/v1/decide');
    const left = await ask(url, '/v1/decide', question, { traceparent: traceparent.replace(/01$/, '00') });
    await ask(url, '/v1/decide', question, { traceparent });
    // A trace that nobody sent leads nowhere; one that the caller named is recorded in any case.
    expect(await recordOf(url, unsampled.body.decisionId)).not.toHaveProperty('traceId');
    expect(await recordOf(url, left.body.decisionId)).toMatchObject({ traceId: parent.traceId });
    await stop();
    const servers = receiver.spans.filter(({ kind }) => kind === 2);
    expect(servers.map(({ name, traceId }) => [name, traceId])).toEqual([['POST /v1/decide', parent.traceId]]);
  });

  it('are those of requests that the gate refuses, too', async () => {
    const url = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      VERDICT_AUTH: 'required',
      VERDICT_API_KEYS_FILE: keysFile(),
    });
    expect((await ask(url, '/v1/decide', question, { authorization: 'Bearer nothing', traceparent })).status).toBe(401);
    await stop();
    expect(receiver.spans.find(({ traceId }) => traceId === parent.traceId)?.attributes).toMatchObject({
      'http.response.status_code': 401,
    });
    // The line of the log leads to the span.
    const line = lines.map(parsed).find(({ msg }) => msg === 'authentication failed');
    expect(line).toMatchObject({ trace_id: parent.traceId, span_id: receiver.spans[0]!.spanId });
  });
});

describe('metrics', () => {
  it('are those of /metrics, with the same names, labels and values', async () => {
    const url = await start({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${receiver.url}/v1/metrics` });
    for (let i = 0; i < 3; i++) await ask(url, '/v1/decide');
    const text = await (await fetch(`${url}/metrics`)).text();
    await stop();

    const { metrics } = receiver;
    const names = [...text.matchAll(/^# TYPE (\S+) \S+\n\1/gm)].map(([, name]) => name);
    // What is under way at the moment has no value at another.
    names.splice(0, names.length, ...names.filter((name) => !name!.startsWith('nodejs_active')));
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => !metrics.has(name!))).toEqual([]);
    const decisions = metrics.get('verdict_decisions_total')!.sum;
    expect(decisions).toMatchObject({ isMonotonic: expect.anything(), aggregationTemporality: 2 });
    expect(decisions.dataPoints).toHaveLength(1);
    expect(decisions.dataPoints[0].asDouble).toBe(3);
    const requests = metrics.get('verdict_http_request_duration_seconds')!.histogram;
    const route = requests.dataPoints.find(({ attributes }: { attributes: unknown }) =>
      JSON.stringify(attributes).includes('"/v1/decide"'),
    );
    expect(Number(route.count)).toBe(3);
    expect(route.bucketCounts).toHaveLength(route.explicitBounds.length + 1);
    expect(route.bucketCounts.reduce((sum: number, count: string) => sum + Number(count), 0)).toBe(3);
    // The signal whose endpoint is not set is not sent.
    expect(receiver.received.every(({ path }) => path === '/v1/metrics')).toBe(true);
  });

  it('are sent at the pace of OTEL_METRIC_EXPORT_INTERVAL', async () => {
    await start({
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${receiver.url}/v1/metrics`,
      OTEL_METRIC_EXPORT_INTERVAL: '200',
    });
    await expect.poll(() => receiver.received.length).toBeGreaterThan(2);
    await stop();
  });
});

describe('an endpoint that does not work', () => {
  it.each(['refuses', 'hangs'])('does not slow answers and does not hold up the stop: it %s', async (how) => {
    const hanging = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(hanging, 'listening');
    const { port } = hanging.address() as AddressInfo;
    if (how === 'refuses') hanging.close();
    const url = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_METRIC_EXPORT_INTERVAL: '100',
    });
    for (let i = 0; i < 200; i++) expect((await ask(url, '/v1/decide')).status).toBe(200);
    const started = performance.now();
    await stop();
    expect(performance.now() - started).toBeLessThan(10_000);
    hanging.closeAllConnections();
    hanging.close();
  });
});

describe('what is not asked for', () => {
  it('is not sent: without an endpoint, with OTEL_SDK_DISABLED, and by a protocol that is not known', async () => {
    const url = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_SDK_DISABLED: 'true' });
    const { body } = await ask(url, '/v1/decide');
    expect(await recordOf(url, body.decisionId)).not.toHaveProperty('traceId');
    await stop();
    expect(receiver.requests).toBe(0);

    const again = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' });
    await ask(again, '/v1/decide');
    await stop();
    expect(receiver.requests).toBe(0);
    const warnings = lines.map(parsed).filter(({ level }) => level === 40);
    expect(warnings.map(({ msg }) => msg)).toContain(
      'OTEL_EXPORTER_OTLP_PROTOCOL is grpc: only http/protobuf and http/json are known, so nothing is sent',
    );
  });
});

// biome-ignore lint/suspicious/noExplicitAny: a line of the log
function parsed(line: string): any {
  return line.startsWith('{') ? JSON.parse(line) : {};
}

function keysFile(): string {
  const path = join(folder, 'keys.yaml');
  writeFileSync(path, `- name: shop\n  sha256: ${digestOf(makeApiKey('test'))}\n  scopes: [decide]\n`);
  return path;
}
