/** docs/metrics.md is made from the code. Run with `-u` to write it anew. */
import { expect, it } from 'vitest';
import { Metrics } from '../../src/metrics/metrics.js';
import { addWorkerMetrics } from '../../src/metrics/worker-metrics.js';
import { startService } from '../http/service.js';

interface Described {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames?: readonly string[];
}

it('docs/metrics.md lists every metric of the service with its labels', async () => {
  const service = await startService();
  // The registry's own type leaves out what every metric has.
  const { registry } = service.app.get(Metrics);
  // Those of a service of several processes.
  addWorkerMetrics(registry, { wanted: 2, serving: 2, restarts: 0 });
  const metrics = registry.getMetricsAsArray() as unknown as Described[];
  await service.stop();
  const own = metrics.filter(({ name }) => name.startsWith('verdict_')).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, type, help } of own) {
    expect(help, name).toMatch(/\.$/);
    // https://prometheus.io/docs/practices/naming/
    expect(name.endsWith('_total'), name).toBe(type === 'counter');
    expect(name).toMatch(/^verdict_[a-z]+(_[a-z]+)*$/);
  }
  await expect(page(own)).toMatchFileSnapshot('../../docs/metrics.md');
});

function page(metrics: readonly Described[]): string {
  const rows = metrics.map(({ name, type, labelNames = [], help }) =>
    [`\`${name}\``, type, labelNames.map((label) => `\`${label}\``).join(', '), help].join(' | '),
  );
  return `# Metrics

What \`/metrics\` tells Prometheus. This page is generated from the code.

| metric | type | labels | |
| --- | --- | --- | --- |
${rows.map((row) => `| ${row} |`).join('\n')}

Beside these there are the process's own: \`process_…\` (processor time, memory, open files, start time) and \`nodejs_…\` (delay of
the event loop, heap, garbage collection).

\`policy_set\` is the name of a folder, \`route\` a template such as \`/v1/policy-sets/:set\` (\`none\` for paths that there are not), \`reason\`
one of six codes. When a policy set is removed, its series go too. Histograms have \`_bucket\`, \`_sum\` and \`_count\`.
`;
}
