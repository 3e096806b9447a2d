import { expect, it } from 'vitest';
import { worstOf } from '../../src/health/health-of-workers.js';

const report = (status: string, details: Record<string, object>) => ({ status, info: {}, error: {}, details });
const counts = { wanted: 2, serving: 2, restarts: 0 };

it('is the worst of each indicator, with the number of its worker', () => {
  const reports = [
    { worker: 1, value: report('ok', { disk: { status: 'up' }, logQueue: { status: 'up' } }) },
    { worker: 2, value: report('error', { disk: { status: 'up' }, logQueue: { status: 'down', depth: 9 } }) },
  ];
  expect(worstOf(reports, counts)).toEqual({
    status: 'error',
    info: {
      disk: { status: 'up' },
      workers: { status: 'up', wanted: 2, serving: 2, answering: 2, restarts: 0 },
    },
    error: { logQueue: { status: 'down', depth: 9, worker: 2 } },
    details: {
      disk: { status: 'up' },
      logQueue: { status: 'down', depth: 9, worker: 2 },
      workers: { status: 'up', wanted: 2, serving: 2, answering: 2, restarts: 0 },
    },
  });
});

it('is degraded while a worker is missing or does not answer, and none is down', () => {
  const reports = [{ worker: 1, value: report('ok', { disk: { status: 'up' } }) }];
  expect(worstOf(reports, { ...counts, serving: 1 })).toMatchObject({ status: 'degraded', error: {} });
  expect(worstOf(reports, counts)).toMatchObject({
    status: 'degraded',
    details: { workers: { status: 'degraded', answering: 1, serving: 2 } },
  });
});

it('is that of a service that shuts down while any worker does', () => {
  const reports = [1, 2].map((worker) => ({ worker, value: report(worker === 2 ? 'shutting_down' : 'ok', {}) }));
  expect(worstOf(reports, counts).status).toBe('shutting_down');
});
