import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PolicyStore } from '../../src/policy-store/policy-store.js';
import { onePolicySet, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';

const question = { subject: 'ann', action: 'read', resource: 'doc' };

describe('/metrics', () => {
  let service: Service;
  beforeEach(async () => {
    service = await startService({
      ...onePolicySet,
      'other/model.conf': idModel,
      'other/rules.csv': onePolicySet['default/rules.csv']!,
    });
  });
  afterEach(() => service.stop());

  /** The value of a series, written `name{label="value"}`; undefined if it does not exist. */
  async function value(series: string): Promise<number | undefined> {
    const lines = String((await service.get('/metrics')).body).split('\n');
    const line = lines.find((candidate) => candidate.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }

  it('answers in the text format of Prometheus', async () => {
    const { status, headers } = await service.get('/metrics');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(headers['cache-control']).toBe('no-store');
  });

  it('counts decisions by set, outcome and reason, those of batches too', async () => {
    await service.post('/v1/decide', { ...question, policySet: 'default' });
    await service.post('/v1/decide/batch', {
      defaults: { ...question, policySet: 'default' },
      requests: [{}, { subject: 'bob' }, { subject: 7 }],
    });
    const series = (decision: string, reason: string) =>
      `verdict_decisions_total{policy_set="default",decision="${decision}",reason="${reason}"}`;
    expect(await value(series('allow', 'rule_allowed'))).toBe(2);
    expect(await value(series('deny', 'no_matching_rule'))).toBe(1);
    expect(await value('verdict_evaluation_duration_seconds_count{policy_set="default"}')).toBe(3);
    expect(await value('verdict_batch_size_count')).toBe(1);
    expect(await value('verdict_batch_size_sum')).toBe(3);
  });

  it('counts requests by route template, and what no route takes under one name', async () => {
    await service.get('/v1/policy-sets/default');
    await service.get('/v1/policy-sets/nothing');
    for (const path of ['/a', '/b', '/%C3%A4']) await service.get(path);
    const series = (route: string, status: number) =>
      `verdict_http_requests_total{method="GET",route="${route}",status="${status}"}`;
    expect(await value(series('/v1/policy-sets/:set', 200))).toBe(1);
    expect(await value(series('/v1/policy-sets/:set', 404))).toBe(1);
    expect(await value(series('none', 404))).toBe(3);
    expect(await value('verdict_http_request_duration_seconds_count{route="/v1/policy-sets/:set"}')).toBe(2);
  });

  it('never has a subject, a resource or a path as a label', async () => {
    await service.post('/v1/decide', {
      subject: 'mallory-1',
      action: 'probe-2',
      resource: 'vault-3',
      policySet: 'default',
    });
    await service.get('/v1/decisions?subject=mallory-1');
    await service.get('/v1/policy-sets/vault-3');
    expect((await service.get('/metrics')).body).not.toMatch(/mallory-1|probe-2|vault-3/);
  });

  it('tells loads by result, and the state, version and age of each set', async () => {
    const { version, servedSince } = (await service.get('/v1/policy-sets/default')).body;
    const info = `verdict_policy_set_info{policy_set="default",version="${version}",engine="verdict"}`;
    expect(await value(info)).toBe(1);
    expect(await value('verdict_policy_loads_total{policy_set="default",result="served"}')).toBe(1);
    expect(await value('verdict_policy_loads_total{policy_set="default",result="failed"}')).toBe(0);
    writeFileSync(join(service.directory, 'policies/default/rules.csv'), 'p, too, few\n');
    await service.post('/v1/policy-sets/default/reload', {});
    // The watch may have seen it before it was told to look.
    const failures = await value('verdict_policy_loads_total{policy_set="default",result="failed"}');
    expect(failures).toBeGreaterThanOrEqual(1);
    expect(await value('verdict_policy_load_duration_seconds_count{result="failed"}')).toBeGreaterThanOrEqual(
      failures!,
    );
    expect(await value('verdict_policy_set_state{policy_set="default",state="stale"}')).toBe(1);
    expect(await value('verdict_policy_set_state{policy_set="default",state="active"}')).toBe(0);
    expect(await value(info)).toBe(1);
    // The version serves as long as it did before; only the state is new.
    const since = 'verdict_policy_set_served_since_timestamp_seconds{policy_set="default"}';
    expect(await value(since)).toBe(Date.parse(servedSince) / 1000);
    const stateSince = await value('verdict_policy_set_state_since_timestamp_seconds{policy_set="default"}');
    expect(stateSince).toBeGreaterThan(Date.parse(servedSince) / 1000);
  });

  it('keeps nothing of a set that is gone', async () => {
    await service.post('/v1/decide', { ...question, policySet: 'other' });
    expect((await service.get('/metrics')).body).toContain('policy_set="other"');
    rmSync(join(service.directory, 'policies/other'), { recursive: true });
    await service.app.get(PolicyStore).reload();
    expect((await service.get('/metrics')).body).not.toContain('policy_set="other"');
  });

  it('tells commits of the decision log, and how old what waits is', async () => {
    const before = Date.now() / 1000;
    await service.post('/v1/decide', { ...question, policySet: 'default' });
    expect(await value('verdict_decision_log_commit_records_sum')).toBe(1);
    expect(await value('verdict_decision_log_commit_duration_seconds_count')).toBe(1);
    expect(await value('verdict_decision_log_queue_records')).toBe(0);
    expect(await value('verdict_decision_log_oldest_waiting_age_seconds')).toBe(0);
    expect(await value('verdict_decision_log_writable')).toBe(1);
    expect(await value('verdict_decision_log_last_record_timestamp_seconds')).toBeGreaterThanOrEqual(before - 0.001);
    expect(await value('verdict_database_size_bytes{database="decisions"}')).toBeGreaterThan(0);
  });
});

it('/metrics wants the scope metrics:read', async () => {
  const service = await startService(onePolicySet, { auth: 'required' });
  expect((await service.get('/metrics')).status).toBe(401);
  const { declaredRoutes } = service.app.getHttpAdapter().getInstance() as unknown as {
    declaredRoutes: { method: string; url: string; access: string }[];
  };
  expect(declaredRoutes).toContainEqual(
    expect.objectContaining({ method: 'GET', url: '/metrics', access: 'metrics:read' }),
  );
  await service.stop();
});
