import { describe, expect, it } from 'vitest';
import { findingsOf } from '../../src/cli/commands/fleet-command.js';
import { type FleetReplica, fleetReportOf, type ReplicaSet } from '../../src/fleet/fleet-report.js';

const base = Date.UTC(2026, 10, 29, 12);
/** The time of so many seconds after the first one. */
const at = (seconds: number) => new Date(base + seconds * 1_000).toISOString();

function replica(instance: string, sets: readonly ReplicaSet[], more: Partial<FleetReplica> = {}): FleetReplica {
  return {
    id: `id of ${instance}`,
    instance,
    build: '1.0.0',
    started: at(0),
    state: 'running',
    heard: at(100),
    health: 'ok',
    healthSince: at(0),
    problems: [],
    unshipped: 0,
    logLagSeconds: 0,
    sets,
    ...more,
  };
}

function serves(version: string, seconds: number, name = 'default'): ReplicaSet {
  return { name, state: 'active', since: at(seconds), version, servedSince: at(seconds), pinned: false };
}

describe('the report of a fleet', () => {
  it('lists replicas in the order of their names, and has nothing to say when all serve the same', () => {
    const report = fleetReportOf([replica('b', [serves('v1', 5)]), replica('a', [serves('v1', 50)])]);
    expect(report.replicas.map(({ instance }) => instance)).toEqual(['a', 'b']);
    expect(report.differences).toEqual([]);
    expect(report.problems).toEqual([]);
  });

  it('says which versions are served where, the most common first, and since when at the least they differ', () => {
    const { differences } = fleetReportOf([
      replica('a', [serves('v2', 60)]),
      replica('b', [serves('v1', 5)]),
      // It was started again later with what it is to serve: they have differed before.
      replica('c', [serves('v2', 90)]),
    ]);
    expect(differences).toEqual([
      {
        policySet: 'default',
        since: at(60),
        versions: [
          { version: 'v2', instances: ['a', 'c'] },
          { version: 'v1', instances: ['b'] },
        ],
      },
    ]);
  });

  it('takes a set that a replica does not have, or does not serve, for a difference', () => {
    const failed: ReplicaSet = { name: 'other', state: 'failed', since: at(70), pinned: false };
    const { differences } = fleetReportOf([
      replica('a', [serves('v1', 5), serves('w1', 6, 'other')]),
      replica('b', [failed], { started: at(40) }),
    ]);
    expect(differences).toMatchObject([
      { policySet: 'default', since: at(40), versions: [{ version: 'v1' }, { instances: ['b'] }] },
      { policySet: 'other', since: at(70) },
    ]);
  });

  it('compares only replicas that run, and names two that run under one name', () => {
    const gone = replica('a', [serves('v0', 1)], { id: 'other', state: 'gone' });
    expect(fleetReportOf([replica('a', [serves('v1', 5)]), gone])).toMatchObject({ differences: [], problems: [] });
    const twin = { ...gone, state: 'running' as const };
    expect(fleetReportOf([replica('a', [serves('v1', 5)]), twin])).toMatchObject({
      differences: [{ policySet: 'default' }],
      problems: [{ code: 'duplicate_instance', message: expect.stringMatching(/^2 replicas are called "a"/) }],
    });
  });
});

describe('the workers of a service', () => {
  const worker = (n: number, more: Partial<FleetReplica> = {}) =>
    replica(`pdp-${n}`, [], { worker: { of: 'pdp', number: n, restarts: 0 }, ...more });

  it('are listed together, in the order of their numbers', () => {
    const { replicas } = fleetReportOf([replica('pdp-1x', []), worker(10), worker(2), worker(1), replica('a', [])]);
    expect(replicas.map(({ instance }) => instance)).toEqual(['a', 'pdp-1', 'pdp-2', 'pdp-10', 'pdp-1x']);
  });

  it.each(['silent', 'gone'] as const)('that were started again are listed once: the one before is %s', (state) => {
    const before = worker(2, { id: 'before', state, started: at(0) });
    const after = worker(2, { id: 'after', started: at(60) });
    expect(fleetReportOf([before, after, worker(1)]).replicas.map(({ id }) => id)).toEqual(['id of pdp-1', 'after']);
    // Nobody has followed it yet.
    expect(fleetReportOf([before, worker(1)]).replicas).toHaveLength(2);
    expect(fleetReportOf([before, { ...after, state: 'gone' }]).replicas).toHaveLength(2);
    // It is the later one that is missing.
    expect(
      fleetReportOf([
        { ...before, state: 'running' },
        { ...after, state },
      ]).replicas,
    ).toHaveLength(2);
  });
});

describe('the findings of verdict fleet', () => {
  const differing = fleetReportOf([replica('a', [serves('v2', 60)]), replica('b', [serves('v1', 5)])]);

  it('hold against the bound how long replicas differ', () => {
    expect(findingsOf(differing, 10_000, base + 70_000)).toEqual([]);
    expect(findingsOf(differing, 10_000, base + 70_001)).toEqual([
      `Replicas differ about default since ${at(60)}: v1 on b; v2 on a.`,
    ]);
  });

  it('hold against the bound how long one is degraded, or was not heard of', () => {
    const report = fleetReportOf([
      replica('a', [], { health: 'degraded', healthSince: at(60), problems: ['the disk is full'] }),
      replica('b', [], { state: 'silent', heard: at(60) }),
    ]);
    expect(findingsOf(report, 10_000, base + 70_000)).toEqual([]);
    expect(findingsOf(report, 10_000, base + 70_001)).toEqual([
      `b is silent: it was heard of last at ${at(60)}.`,
      `a is degraded since ${at(60)}: the disk is full.`,
    ]);
  });
});
