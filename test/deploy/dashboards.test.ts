/** The dashboard and the alerts speak of metrics, labels and values that a running service has. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { onePolicySet, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { parsePromql, type Selector } from './promql.js';

const fileOf = (path: string) => readFileSync(new URL(`../../deploy/${path}`, import.meta.url), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
}
const alerts = (parse(fileOf('prometheus/alerts.yaml')).groups as { rules: Rule[] }[]).flatMap(({ rules }) => rules);
const dashboard = JSON.parse(fileOf('grafana/verdict.json'));

const dashboardQueries: { name: string; expr: string }[] = [
  ...dashboard.panels.flatMap((panel: { title: string; targets?: { expr: string }[] }) =>
    (panel.targets ?? []).map(({ expr }) => ({ name: panel.title, expr })),
  ),
  ...dashboard.annotations.list,
].map(({ name, expr }) => ({ name, expr: withoutVariables(expr) }));
const queries = [...alerts.map(({ alert, expr }) => ({ name: alert, expr })), ...dashboardQueries];

/** What Grafana puts in before it asks Prometheus. */
function withoutVariables(text: string): string {
  return text.replaceAll('$__rate_interval', '5m').replaceAll(/"\$(policy_set|instance)"/g, '".*"');
}

type Labels = Readonly<Record<string, string>>;
/** Metrics of a running service in which every event has happened at least once. */
let series: Map<string, Labels[]>;

/** What Prometheus adds to every series that it scrapes. */
const targetLabels: Labels = { job: 'verdict', instance: '127.0.0.1:3000' };

beforeAll(async () => {
  const errsWithoutAge = onePolicySet['default/model.conf']!.replace('m = ', 'm = r.sub.age > 18 && ');
  const service = await startService(
    {
      ...onePolicySet,
      'broken/model.conf': 'not a model',
      'adults/model.conf': errsWithoutAge,
      'adults/rules.csv': onePolicySet['default/rules.csv']!,
    },
    { logSinks: 'kafka://127.0.0.1:9/decisions' },
  );
  const question = { subject: 'ann', action: 'read', resource: 'doc' };
  const candidate = { mode: 'shadow', files: { 'model.conf': idModel, 'rules.csv': 'p, bob, doc, read\n' } };
  await service.app.inject({ method: 'PUT', url: '/v1/policy-sets/default/candidate', payload: candidate });
  for (const policySet of ['default', 'adults', 'broken']) await service.post('/v1/decide', { ...question, policySet });
  await service.post('/v1/decide/batch', { requests: [{ ...question, policySet: 'default' }] });
  writeFileSync(join(service.directory, 'policies/default/rules.csv'), 'p, too, few\n');
  await service.post('/v1/policy-sets/default/reload', {});
  series = seriesIn(String((await service.get('/metrics')).body));
  // What Prometheus makes itself for each target.
  series.set('up', [targetLabels]);
  await service.stop();
});

/** `name{a="b"} 1` → name and labels */
function seriesIn(text: string): Map<string, Labels[]> {
  const found = new Map<string, Labels[]>();
  for (const [, name, labels = ''] of text.matchAll(/^([a-z_:]\w*)(?:\{(.*)\})? /gm)) {
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, value]) => [label!, value!]);
    found.set(name!, [...(found.get(name!) ?? []), { ...targetLabels, ...Object.fromEntries(pairs) }]);
  }
  return found;
}

function selects({ matchers }: Selector, labels: Labels): boolean {
  return matchers.every(({ label, operator, value }) => {
    const own = labels[label] ?? '';
    const matches = operator.endsWith('~') ? new RegExp(`^(?:${value})$`).test(own) : own === value;
    return operator.startsWith('!') ? !matches : matches;
  });
}

describe.each(queries)('$name', ({ expr }) => {
  const { selectors, groupedBy } = parsePromql(expr);

  it('reads metrics', () => expect(selectors.length).toBeGreaterThan(0));

  it.each(selectors)('finds $metric with the labels that it asks for', (selector) => {
    const candidates = series.get(selector.metric) ?? [];
    expect(candidates.length, `there is no ${selector.metric}`).toBeGreaterThan(0);
    const labels = new Set(candidates.flatMap((candidate) => Object.keys(candidate)));
    expect(selector.matchers.filter(({ label }) => !labels.has(label))).toEqual([]);
    expect(candidates.some((candidate) => selects(selector, candidate))).toBe(true);
  });

  it('groups by labels that there are', () => {
    const labels = new Set(selectors.flatMap(({ metric }) => (series.get(metric) ?? []).flatMap(Object.keys)));
    expect(groupedBy.filter((label) => !labels.has(label))).toEqual([]);
  });

  it('compares each value of an alternative with one that occurs, or that the code lists', () => {
    const listed = new Set(['stale', 'failed', 'authentication_failed', 'scope_refused', 'limit_hit', '/decide']);
    for (const { metric, matchers } of selectors) {
      for (const { label, operator, value } of matchers) {
        if (operator !== '=~' || !/^[\w/|]+$/.test(value)) continue;
        const occurring = new Set((series.get(metric) ?? []).map((labels) => labels[label]));
        expect(value.split('|').filter((each) => !occurring.has(each) && !listed.has(each))).toEqual([]);
      }
    }
  });
});

describe('deploy/prometheus/alerts.yaml', () => {
  it('names each alert once, and says how bad it is and what to do', () => {
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
    for (const { alert, labels, annotations } of alerts) {
      expect(['critical', 'warning', 'info'], alert).toContain(labels.severity);
      expect(annotations.summary, alert).toMatch(/\.$/);
      expect(annotations.description, alert).toMatch(/\.$/);
    }
  });

  it('puts labels into its texts that its expression leaves', () => {
    for (const { expr, annotations } of alerts) {
      const { selectors, groupedBy } = parsePromql(expr);
      const aggregates = /\b(sum|count|min|max|avg) by\b/.test(expr);
      const left = aggregates
        ? groupedBy
        : selectors.flatMap(({ metric }) => (series.get(metric) ?? []).flatMap(Object.keys));
      const used = [
        ...Object.values(annotations)
          .join(' ')
          .matchAll(/\$labels\.(\w+)/g),
      ].map(([, label]) => label!);
      expect(used.filter((label) => !left.includes(label))).toEqual([]);
    }
  });
});

describe('deploy/grafana/verdict.json', () => {
  it('has a place of its own for each panel', () => {
    const ids = dashboard.panels.map(({ id }: { id: number }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x} ${y}`), title).toBe(false);
          taken.add(`${x} ${y}`);
        }
      }
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
  });

  it('fills its variables from metrics that there are', () => {
    for (const { definition } of dashboard.templating.list) {
      if (definition === undefined) continue;
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(definition)!;
      expect(Object.keys(series.get(metric!)?.[0] ?? {})).toContain(label);
    }
  });

  it('shows, or has an alert for, every metric of the service but a few that explain others', () => {
    const base = (name: string) => name.replace(/_(bucket|sum|count)$/, '');
    const read = new Set(queries.flatMap(({ expr }) => parsePromql(expr).selectors.map(({ metric }) => base(metric))));
    const own = new Set([...series.keys()].filter((name) => name.startsWith('verdict_')).map(base));
    expect([...own].filter((name) => !read.has(name)).sort()).toEqual([
      'verdict_build_info',
      'verdict_decision_log_last_record_timestamp_seconds',
      'verdict_policy_set_state_since_timestamp_seconds',
    ]);
  });
});
