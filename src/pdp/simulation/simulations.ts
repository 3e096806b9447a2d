import { randomUUID } from 'node:crypto';
import { Flag, Integer, OneOf, Part, Parts, Text, Time } from '../../answers/members.js';
import { formatProblem } from '../../core/problem.js';
import type { DecisionLog } from '../../decision-log/decision-log.js';
import type { ErasureOrders } from '../../decision-log/erasure/erasure-orders.js';
import { untilShipped } from '../../decision-log/log-writers.js';
import { compileCondition } from '../../decision-log/record-condition.js';
import type { RecordedVersions } from '../../decision-log/recorded-entities.js';
import { invalidParameter, VerdictError, versionNotFound } from '../../errors.js';
import type { PolicyArchive } from '../../policy-store/archive/policy-archive.js';
import type { LiveDataStore } from '../../policy-store/data/live-data-store.js';
import { type PolicySetFiles, versionOf } from '../../policy-store/policy-set-files.js';
import { readTimeRange } from '../../query/time-range.js';
import { ArchivedContents } from './archived-contents.js';
import { portionsOfGroups, portionsOfLines } from './portions.js';
import { resultOf, SimulationResult } from './simulation-result.js';
import { CandidateRefused, runSimulation, SimulationFailed, type SimulationSource } from './simulation-run.js';

/** Simulations that run at a time in one process: each has a thread. */
export const mostRunning = 2;
/** Simulations that are kept when they have ended. */
export const mostEnded = 50;
/** How long one is kept when it has ended, in milliseconds. */
export const keptMs = 3_600_000;
/** Most memory of a thread, in MiB. */
const memoryMb = 512;
/** Between two reads of the log, in milliseconds: decisions have the time. */
const pauseMs = 3;
/** How often what ended is looked at, in milliseconds: it goes then, also where nobody asks for it. */
const upkeepMs = 60_000;
/** Most problems of a candidate that are named. */
const mostProblems = 20;

const states = ['running', 'done', 'cancelled', 'failed'] as const;

export class SimulationStatus {
  @Text()
  readonly id!: string;

  @Text()
  readonly policySet!: string;

  @Text({ description: 'The version of the candidate, by its files.' })
  readonly candidate!: string;

  @OneOf(states)
  readonly state!: (typeof states)[number];

  @Text({ description: 'The replica that runs it and keeps its result. No other one knows it.' })
  readonly replica!: string;

  @Text({ description: 'Who began it.' })
  readonly by!: string;

  @Time()
  readonly startedAt!: string;

  @Time({ optional: true })
  readonly endedAt?: string;

  @Time({ optional: true, description: 'Until then it is kept, unless many others end before.' })
  readonly keptUntil?: string;

  @Time({ optional: true })
  readonly from?: string;

  @Time({ optional: true, description: 'Decisions before this time: without one in the request, when it was begun.' })
  readonly to?: string;

  @Text({ optional: true })
  readonly filter?: string;

  @Integer({ description: 'Decisions that have been answered so far.' })
  readonly answered!: number;

  @Integer({ description: 'Those of them that differ.' })
  readonly changed!: number;

  @Text({ optional: true, description: 'Why it failed.' })
  readonly failure?: string;
}

/** One simulation, with its result when it has ended. */
export class Simulation extends SimulationStatus {
  @Part(() => SimulationResult, { optional: true })
  readonly result?: SimulationResult;
}

export class SimulationList {
  @Parts(() => SimulationStatus, { description: 'The newest first.' })
  readonly items!: readonly SimulationStatus[];

  @Flag({ description: 'Whether another one can be begun on this replica now.' })
  readonly hasRoom!: boolean;
}

export interface SimulationRequest {
  readonly policySet: string;
  /** A version that has served, or files. */
  readonly candidate: { readonly version: string } | { readonly files: PolicySetFiles };
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly filter?: string | undefined;
  /** Who begins it. */
  readonly by: string;
  /** Throws for a caller who may not read the live data of the set: it is called where the candidate is asked with some. */
  readonly requireData: () => void;
}

interface Held {
  status: Simulation;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Resolves when its thread has ended. */
  ending: Promise<void>;
  readonly stop: AbortController;
  /** By the monotonic clock; undefined while it runs. */
  until: number | undefined;
  /** Whether its candidate has been compiled: nothing of the log is read before. */
  isBegun: boolean;
  /** A person was erased from the log since it was begun. */
  isErased: boolean;
}

export interface SimulationsOptions {
  readonly log: Pick<DecisionLog, 'groups' | 'export' | 'writers'>;
  readonly erasures: Pick<ErasureOrders, 'newest'>;
  readonly archive: PolicyArchive;
  readonly data: LiveDataStore;
  /** For conditions over what was stored. */
  readonly versions: RecordedVersions;
  readonly replica: string;
}

/**
 * The simulations of this process. They run beside decisions: the log is read in short steps with pauses, and a thread answers at
 * low priority. What they found is in the memory of the process that ran them.
 */
export class Simulations {
  /** The newest last. */
  private readonly held = new Map<string, Held>();
  private upkeep: NodeJS.Timeout | undefined;

  constructor(private readonly options: SimulationsOptions) {}

  /**
   * Begins a simulation. Resolves when its candidate has been compiled.
   *
   * @throws VerdictError and what `requireData` throws: `simulations_in_progress`, `policy_version_not_found`, `policy_set_invalid`, `invalid_request`
   */
  async start(request: SimulationRequest): Promise<SimulationStatus> {
    const { policySet, filter, by } = request;
    const { from, to = Date.now() } = readTimeRange(optional(request));
    if (from !== undefined && from >= to) throw invalidParameter('to', 'is not after from');
    if (filter !== undefined) compileCondition(filter);
    if (!this.hasRoom) {
      const detail = `${mostRunning} simulations run on this replica already.`;
      throw new VerdictError('simulations_in_progress', detail, { retryAfter: 10 });
    }
    const id = `${randomUUID()}.${Buffer.from(this.options.replica).toString('base64url')}`;
    const stop = new AbortController();
    const startedAt = Date.now();
    const held: Held = {
      status: {
        id,
        policySet,
        candidate: '',
        state: 'running',
        replica: this.options.replica,
        by,
        startedAt: new Date(startedAt).toISOString(),
        ...(from !== undefined && { from: new Date(from).toISOString() }),
        to: new Date(to).toISOString(),
        ...(filter !== undefined && { filter }),
        answered: 0,
        changed: 0,
      },
      startedAt,
      stop,
      isBegun: false,
      isErased: false,
      ending: Promise.resolve(),
      until: undefined,
    };
    this.held.set(id, held);
    this.keepUp();
    try {
      await this.begin(held, request, { from, to });
    } catch (error) {
      this.held.delete(id);
      throw error;
    }
    return statusOf(held.status);
  }

  /** @throws VerdictError `simulation_not_found` */
  async find(policySet: string, id: string): Promise<Simulation> {
    await this.dropErased();
    return this.heldOf(policySet, id).status;
  }

  async list(policySet: string): Promise<SimulationList> {
    await this.dropErased();
    this.forget();
    const items = [...this.held.values()].filter(({ status }) => status.policySet === policySet);
    return { items: items.map(({ status }) => statusOf(status)).reverse(), hasRoom: this.hasRoom };
  }

  /**
   * Ends a simulation that runs, which keeps what it has counted; forgets one that has ended.
   *
   * @throws VerdictError `simulation_not_found`
   */
  cancel(policySet: string, id: string): void {
    const held = this.heldOf(policySet, id);
    if (held.until === undefined) held.stop.abort();
    else this.held.delete(id);
  }

  /** Ends all. Resolves when no thread runs any more. */
  async stop(): Promise<void> {
    clearInterval(this.upkeep);
    for (const { stop } of this.held.values()) stop.abort();
    await Promise.all([...this.held.values()].map(({ ending }) => ending));
  }

  private get hasRoom(): boolean {
    return [...this.held.values()].filter(({ until }) => until === undefined).length < mostRunning;
  }

  private heldOf(policySet: string, id: string): Held {
    this.forget();
    const held = this.held.get(id);
    if (held?.status.policySet === policySet) return held;
    const replica = Buffer.from(id.slice(id.indexOf('.') + 1), 'base64url').toString();
    const isOther = /^[0-9a-f-]{36}\.[\w-]+$/.test(id) && replica !== this.options.replica;
    const elsewhere = ` Its id is one of another replica, which alone can know it; this is "${this.options.replica}".`;
    throw new VerdictError('simulation_not_found', `There is no such simulation here.${isOther ? elsewhere : ''}`);
  }

  private async begin(
    held: Held,
    request: SimulationRequest,
    times: { from: number | undefined; to: number },
  ): Promise<void> {
    const { policySet } = request;
    const { archive, data } = this.options;
    const contents = new ArchivedContents(policySet, archive, data);
    const files = await this.candidateOf(request, contents);
    const version = versionOf(files);
    held.status = { ...held.status, candidate: version };
    // What it had counts, too: each decision is answered with the data of its time.
    const hadData = (await data.revisions(policySet)).data > 0;
    const ready = new Promise<void>((resolve, reject) => {
      held.ending = runSimulation(this.source(request, contents, times), {
        policySet,
        candidate: { files },
        ...times,
        // The log applies the condition: it knows what was stored.
        filter: undefined,
        threads: 1,
        memoryMb,
        isBackground: true,
        signal: held.stop.signal,
        onReady: ({ hasLiveData }) => {
          if (hasLiveData && hadData) request.requireData();
          held.isBegun = true;
          resolve();
        },
        onProgress: (answered, changed) => {
          held.status = { ...held.status, answered, changed };
        },
      })
        .then((run) => {
          if (!held.isBegun)
            throw new VerdictError('shutting_down', 'The simulation was ended before its candidate was compiled.');
          const result = resultOf(run, { policySet, candidate: version });
          const { answered, changed } = result;
          this.end(held, { state: run.isCancelled ? 'cancelled' : 'done', answered, changed, result });
        })
        .catch((error) => {
          reject(error);
          const failure =
            error instanceof SimulationFailed || error instanceof VerdictError ? error.message : 'It failed.';
          this.end(held, { state: 'failed', failure });
        });
    });
    await ready.catch((error: unknown) => {
      throw error instanceof CandidateRefused ? invalidCandidate(error) : error;
    });
  }

  private async candidateOf(
    { policySet, candidate }: SimulationRequest,
    contents: ArchivedContents,
  ): Promise<PolicySetFiles['files']> {
    if ('files' in candidate) return candidate.files.files;
    const files = await contents.filesOf(candidate.version);
    if (files === undefined) throw versionNotFound(policySet, candidate.version);
    return files;
  }

  private source(
    { policySet, filter }: SimulationRequest,
    contents: ArchivedContents,
    times: { readonly from: number | undefined; readonly to: number },
  ): SimulationSource {
    const { log, versions } = this.options;
    const query = {
      format: 'ndjson' as const,
      policySet,
      ...(times.from !== undefined && { from: new Date(times.from).toISOString() }),
      to: new Date(times.to).toISOString(),
    };
    return {
      portions: () =>
        filter === undefined
          ? portionsOfGroups(log.groups({ policySet, ...times }, pauseMs))
          : this.shippedLines(times.to, () => log.export({ ...query, filter }, { policySets: [policySet], versions })),
      version: (version) => contents.get(version),
    };
  }

  /** Lines of an export that is begun when replicas have shipped what they decided before its end, as far as they do. */
  private async *shippedLines(
    to: number,
    lines: () => AsyncIterable<string>,
  ): ReturnType<SimulationSource['portions']> {
    const { late } = await untilShipped(Math.min(to, Date.now()), () => this.options.log.writers());
    yield { unshipped: late };
    yield* portionsOfLines(lines());
  }

  private end(held: Held, more: Partial<Simulation>): void {
    const now = Date.now();
    held.until = performance.now() + keptMs;
    const times = { endedAt: new Date(now).toISOString(), keptUntil: new Date(now + keptMs).toISOString() };
    held.status = { ...held.status, ...times, ...more };
    if (held.isErased) held.status = withoutNames(held.status);
    this.forget();
  }

  /**
   * Drops what simulations have of the log that were begun before a person was erased from it: their results, and the conditions
   * that they were begun with, can name whom. One that runs is ended.
   */
  private async dropErased(): Promise<void> {
    const held = [...this.held.values()].filter(({ isBegun, isErased }) => isBegun && !isErased);
    if (held.length === 0) return;
    const newest = await this.options.erasures.newest();
    for (const one of held) {
      if (newest === undefined || newest < one.startedAt) continue;
      one.isErased = true;
      one.stop.abort();
      one.status = withoutNames(one.status);
    }
  }

  private keepUp(): void {
    this.upkeep ??= setInterval(() => {
      this.forget();
      // Tried again a minute later.
      this.dropErased().catch(() => undefined);
      if (this.held.size > 0) return;
      clearInterval(this.upkeep);
      this.upkeep = undefined;
    }, upkeepMs).unref();
  }

  private forget(): void {
    const ended = [...this.held].filter(([, { until }]) => until !== undefined);
    for (const [n, [id, { until }]] of ended.entries()) {
      if (until! < performance.now() || n < ended.length - mostEnded) this.held.delete(id);
    }
  }
}

/** One that was dropped. */
function withoutNames({ result: _, filter: __, ...status }: Simulation): Simulation {
  const failure =
    'Its result was dropped: somebody was erased from the decision log since it was begun. Begin it again.';
  return { ...status, state: 'failed', failure };
}

function statusOf({ result: _, ...status }: Simulation): SimulationStatus {
  return status;
}

function optional({ from, to }: SimulationRequest): { from?: string; to?: string } {
  return { ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
}

function invalidCandidate({ problems }: CandidateRefused): VerdictError {
  const errors = problems
    .slice(0, mostProblems)
    .map((problem) => ({ pointer: '/candidate', detail: formatProblem(problem) }));
  return new VerdictError('policy_set_invalid', `The candidate has ${problems.length} problems.`, { errors });
}
