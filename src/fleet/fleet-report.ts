import { Flag, Integer, OneOf, Part, Parts, Text, Texts, Time } from '../answers/members.js';

/** A policy set on one replica. */
export class ReplicaSet {
  @Text()
  readonly name!: string;

  @OneOf(['active', 'stale', 'failed'])
  readonly state!: 'active' | 'stale' | 'failed';

  @Time({ description: 'When it came into this state, or to this version if that was later.' })
  readonly since!: string;

  @Text({ optional: true, description: 'The version that is served, if one is.' })
  readonly version?: string | undefined;

  @Integer({ optional: true, description: 'The revision of what is served at its source, where that gives revisions.' })
  readonly revision?: number | undefined;

  @Time({ optional: true, description: 'Since when the replica serves that version.' })
  readonly servedSince?: string | undefined;

  @Flag({ description: 'Whether a rollback holds the version.' })
  readonly pinned!: boolean;
}

/** Which of the workers of one service a replica is. */
export class FleetWorker {
  @Text({ description: 'The name of the service, which its workers have in common.' })
  readonly of!: string;

  @Integer({ description: 'Its number, from 1.' })
  readonly number!: number;

  @Integer({
    description: 'How often a process in its place ended by itself and was started again, since the service started.',
  })
  readonly restarts!: number;
}

/** A process that answers, with a journal of its own. */
export class FleetReplica {
  @Text({ description: 'The name of this process, by chance: another start has another.' })
  readonly id!: string;

  @Text({ description: 'What it is called (`VERDICT_INSTANCE`).' })
  readonly instance!: string;

  @Part(() => FleetWorker, { optional: true, description: 'Left out where the service is one process.' })
  readonly worker?: FleetWorker | undefined;

  @Text({ description: 'The release that it runs.' })
  readonly build!: string;

  @Time()
  readonly started!: string;

  @OneOf(['running', 'silent', 'gone'], {
    description:
      '`silent`: not heard of for three seconds, so it is cut off or has ended; `gone`: not for thirty. It is listed for an ' +
      'hour. One that stops in order is listed no more.',
  })
  readonly state!: 'running' | 'silent' | 'gone';

  @Time({ description: 'When it was last heard of.' })
  readonly heard!: string;

  @OneOf(['ok', 'degraded'], { description: 'As it last said of itself.' })
  readonly health!: 'ok' | 'degraded';

  @Time({ description: 'Since when.' })
  readonly healthSince!: string;

  @Texts({ description: 'Why it is degraded.' })
  readonly problems!: readonly string[];

  @Time({ optional: true, description: 'When the source of its policy sets was read last, as a whole.' })
  readonly sourceConfirmed?: string | undefined;

  @Integer({ description: 'Decision records that it has committed and not shipped into the shared log yet.' })
  readonly unshipped!: number;

  @Integer({ description: 'Age of the oldest of them in whole seconds, about; 0 when there are none.' })
  readonly logLagSeconds!: number;

  @Parts(() => ReplicaSet)
  readonly sets!: readonly ReplicaSet[];
}

/** What some replicas serve of a set. */
export class ServedByReplicas {
  @Text({ optional: true, description: 'Left out: they serve nothing of it.' })
  readonly version?: string | undefined;

  @Texts({ description: 'The names of the replicas.' })
  readonly instances!: readonly string[];
}

/** A policy set of which replicas serve different versions. */
export class FleetDifference {
  @Text()
  readonly policySet!: string;

  @Time({ description: 'Replicas differ since then, at the least.' })
  readonly since!: string;

  @Parts(() => ServedByReplicas, { description: 'What most serve comes first.' })
  readonly versions!: readonly ServedByReplicas[];
}

export class FleetProblem {
  @OneOf(['duplicate_instance'], { description: '`duplicate_instance`: two replicas that run have the same name.' })
  readonly code!: 'duplicate_instance';

  @Text()
  readonly message!: string;
}

/** Who serves what. */
export class FleetReport {
  @Parts(() => FleetReplica, {
    description: 'In the order of their names, workers of one service together, then of their starts.',
  })
  readonly replicas!: readonly FleetReplica[];

  @Parts(() => FleetDifference)
  readonly differences!: readonly FleetDifference[];

  @Parts(() => FleetProblem)
  readonly problems!: readonly FleetProblem[];
}

/** What replicas say of themselves, and what is to be said of them all. One that another has followed is left out. */
export function fleetReportOf(replicas: readonly FleetReplica[]): FleetReport {
  const sorted = replicas
    .filter((replica) => !isFollowed(replica, replicas))
    .sort(
      (a, b) =>
        order(serviceOf(a), serviceOf(b)) ||
        (a.worker?.number ?? 0) - (b.worker?.number ?? 0) ||
        order(a.instance, b.instance) ||
        order(a.started, b.started) ||
        order(a.id, b.id),
    );
  // One that was killed says nothing any more, and one that is cut off is named by its state.
  const running = sorted.filter(({ state }) => state === 'running');
  return { replicas: sorted, differences: differencesOf(running), problems: duplicatesOf(running) };
}

/** The name that the workers of one service have in common. */
function serviceOf({ instance, worker }: FleetReplica): string {
  return worker?.of ?? instance;
}

/**
 * Whether a replica that is not heard of any more was started again under its name: the process in its place has its journal,
 * and nothing is missing.
 */
function isFollowed({ state, instance, started }: FleetReplica, replicas: readonly FleetReplica[]): boolean {
  return (
    state !== 'running' &&
    replicas.some((other) => other.state === 'running' && other.instance === instance && other.started > started)
  );
}

function differencesOf(replicas: readonly FleetReplica[]): FleetDifference[] {
  const names = [...new Set(replicas.flatMap(({ sets }) => sets.map(({ name }) => name)))].sort(order);
  return names.flatMap((name) => differenceOf(name, replicas) ?? []);
}

interface Held {
  readonly instances: string[];
  /** The earliest time since which one of the replicas holds it. */
  since: string;
}

/**
 * Two replicas differ at least since the later one of the times at which each came to what it serves. Of all pairs of
 * replicas with different versions the earliest of these times counts: that is the second of the versions' first times.
 */
function differenceOf(policySet: string, replicas: readonly FleetReplica[]): FleetDifference | undefined {
  const held = new Map<string | undefined, Held>();
  for (const { instance, started, sets } of replicas) {
    const set = sets.find(({ name }) => name === policySet);
    const since = set === undefined ? started : (set.servedSince ?? set.since);
    const before = held.get(set?.version);
    if (before === undefined) held.set(set?.version, { instances: [instance], since });
    else {
      before.instances.push(instance);
      if (since < before.since) before.since = since;
    }
  }
  if (held.size < 2) return undefined;
  const [, since] = [...held.values()].map((each) => each.since).sort(order);
  const versions = [...held]
    .sort(([, a], [, b]) => b.instances.length - a.instances.length || order(a.since, b.since))
    .map(([version, { instances }]) => ({ version, instances }));
  return { policySet, since: since!, versions };
}

function duplicatesOf(replicas: readonly FleetReplica[]): FleetProblem[] {
  const counts = new Map<string, number>();
  for (const { instance } of replicas) counts.set(instance, (counts.get(instance) ?? 0) + 1);
  return [...counts]
    .filter(([, count]) => count > 1)
    .map(([instance, count]) => ({
      code: 'duplicate_instance',
      message: `${count} replicas are called "${instance}": give each a VERDICT_INSTANCE of its own.`,
    }));
}

/** RFC 3339 times of one form sort as texts. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
