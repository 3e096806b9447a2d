/** The log as a stream of events for many followers. */
import { VerdictError } from '../errors.js';
import { Turns } from '../turns/turns.js';
import type { DecisionFilters } from './decision-query.js';
import type { DecisionRecord } from './decision-record.js';
import type { Expansion } from './expansion.js';
import { recordForSome } from './partial-view.js';
import { type ConditionOutcome, compileCondition, type RecordCondition } from './record-condition.js';
import type { FedRecord, FedRecords, RecordFeed } from './record-feed.js';
import { matchesFilter, type RecordFilter, readFilter, withImplied } from './record-filter.js';
import { type IndexedField, indexedFields } from './record-keys.js';
import { expandedRecord, type RecordedVersions } from './recorded-entities.js';
import { decodePosition, encodePosition, type StreamPosition } from './stream-position.js';

/** Most followers, in all and of one caller. */
export const mostFollowers = 4_096;
export const mostFollowersOfCaller = 1_024;
/**
 * Text that may wait for a follower, in bytes, before it is dropped, and for all together. It can come back with the id of the
 * last event.
 */
const mostWaiting = 1024 * 1024;
const mostWaitingInAll = 64 * 1024 * 1024;
/** Text that is made ahead of a follower that reads what it has missed, in bytes. */
const aheadOfReader = 256 * 1024;
/** Least time between two reads of the log, in milliseconds: what came in between goes out together. */
const restMs = 20;
/** Pause after a read that failed, in milliseconds. */
const retryMs = 1_000;
const heartbeatMs = 15_000;
/** Time between two looks at whether followers may still follow, in milliseconds. */
const lookMs = 500;

/** Where the events of one follower go. */
export interface FollowerSink {
  write(text: string): void;
  /** Bytes that wait to be taken. */
  readonly waiting: number;
  /** Resolves when none wait, or it is closed. */
  drained(): Promise<void>;
  /** Ends it, with what was written. */
  end(): void;
  /** Ends it at once. */
  drop(): void;
}

export interface Following {
  /** As those of a page. */
  readonly filters: DecisionFilters & { readonly expand?: Expansion };
  /** The sets that the follower may see; undefined for all. */
  readonly policySets: readonly string[] | undefined;
  /** Who follows, for the limit of one caller. */
  readonly caller: string;
  /** The id of the last event that it has seen; without it, it begins with what comes. */
  readonly lastEventId: string | undefined;
  /** Whether it may still follow; a rejection says that nobody knows. */
  readonly isStillAdmitted: () => Promise<boolean>;
}

export interface DecisionStreamOptions {
  readonly feed: RecordFeed;
  readonly versions: RecordedVersions;
  /** Makes ids of events for those who may not see how many records all sets have. */
  readonly seal: (position: string) => string;
  /** @throws for a text that `seal` did not make */
  readonly unseal: (sealed: string) => string;
  readonly onProblem: (what: string, error: unknown) => void;
}

/**
 * Sends each record once it is committed (with PostgreSQL: shipped by any replica) to those whose filters it passes.
 *
 * The log is read once for all followers. A record is serialised once for all that see the same of it, a condition is
 * evaluated once for all that have it, and a record is compared only with the followers whose most selective filter on a
 * field has its value. A follower that comes back with the id of an event first reads on from there by itself.
 */
export class DecisionStream {
  private readonly followers = new Set<Follower>();
  private readonly live = new LiveFollowers();
  private readonly joining: { readonly follower: Follower; readonly resolve: (hasJoined: boolean) => void }[] = [];
  /** Up to where the live followers have got all; undefined while nobody follows. */
  private position: StreamPosition | undefined;
  private running: Promise<void> | undefined;
  private looking: NodeJS.Timeout | undefined;
  private isDelivering = false;
  private isStopped = false;
  private hint: () => void = () => undefined;
  private isHinted = false;

  constructor(private readonly options: DecisionStreamOptions) {}

  /** How many follow. */
  get size(): number {
    return this.followers.size;
  }

  /**
   * Sends events to the sink until it is closed.
   *
   * @returns to be called when the sink is closed
   * @throws VerdictError `invalid_request` for filters or an id that are not valid, `too_many_requests`,
   *   `shutting_down`, `decision_log_unavailable`; then nothing is sent
   */
  async follow(following: Following, open: () => FollowerSink): Promise<() => void> {
    const { filters, policySets, lastEventId } = following;
    const condition = filters.filter === undefined ? undefined : compileCondition(filters.filter);
    const filter = withImplied(readFilter(filters, { policySets }), condition?.implied ?? []);
    this.refuseTooMany(following.caller);
    const { feed, seal, unseal } = this.options;
    const isSealed = policySets !== undefined;
    // Held from now on, so that others are counted while the log is asked.
    const follower = new Follower(following, filter, condition);
    this.followers.add(follower);
    this.looking ??= setInterval(() => this.look(), lookMs).unref();
    try {
      const end = await feed.end();
      const from =
        lastEventId === undefined ? end : decodePosition(isSealed ? unseal(lastEventId) : lastEventId, end.log);
      follower.position = from;
      follower.sink = open();
      follower.sink.write(`retry: 2000\n${idLine(from, isSealed ? seal : undefined)}\n`);
    } catch (error) {
      this.leave(follower);
      throw error;
    }
    void this.serve(follower).catch((error: unknown) => {
      if (this.followers.has(follower)) this.options.onProblem('decisions cannot be streamed', error);
      this.leave(follower);
      follower.sink?.drop();
    });
    return () => this.leave(follower);
  }

  /** Ends every stream; what was written is still sent. */
  async stop(): Promise<void> {
    this.isStopped = true;
    for (const follower of this.followers) {
      this.leave(follower);
      follower.sink?.end();
    }
    this.hint();
    await this.running;
  }

  private refuseTooMany(caller: string): void {
    if (this.isStopped) throw new VerdictError('shutting_down', 'The service is stopping.', { retryAfter: 1 });
    let ofCaller = 0;
    for (const follower of this.followers) if (follower.following.caller === caller) ofCaller++;
    if (this.followers.size < mostFollowers && ofCaller < mostFollowersOfCaller) return;
    const whose =
      ofCaller < mostFollowersOfCaller ? `${mostFollowers} streams` : `${mostFollowersOfCaller} of this caller`;
    throw new VerdictError('too_many_requests', `No more decisions are streamed: ${whose} are open.`, {
      retryAfter: 5,
    });
  }

  private leave(follower: Follower): void {
    this.followers.delete(follower);
    this.live.remove(follower);
    if (this.followers.size > 0) return;
    clearInterval(this.looking);
    this.looking = undefined;
    this.hint();
  }

  /** Ends the streams of those who may not follow any more. */
  private look(): void {
    for (const follower of this.followers) {
      const end = (isAdmitted: boolean): void => {
        if (isAdmitted || !this.followers.has(follower)) return;
        this.leave(follower);
        follower.sink?.end();
      };
      follower.following.isStillAdmitted().then(end, () => undefined);
    }
  }

  /** Sends what the follower has missed, then has it join the live ones. */
  private async serve(follower: Follower): Promise<void> {
    while (this.followers.has(follower)) {
      const sink = follower.sink!;
      if (sink.waiting > aheadOfReader) {
        await sink.drained();
        continue;
      }
      const fed = await this.options.feed.readOn(follower.position);
      const texts: string[] = [];
      const ids = new EventIds(follower.position, this.options.seal);
      const turns = new Turns();
      for (const each of fed.records) {
        if (turns.isOver) await turns.next();
        const event = new StreamEvent(each, ids.next(each), this.options.versions);
        if (await follower.wants(event)) texts.push(await event.textFor(follower));
      }
      if (!this.followers.has(follower)) return;
      follower.position = fed.position;
      if (texts.length > 0) sink.write(texts.join(''));
      else if (!fed.isEnd) sink.write(`${idLine(fed.position, follower.isSealed ? this.options.seal : undefined)}\n`);
      if (fed.isEnd && (await this.join(follower))) return;
    }
  }

  /** Resolves with true when the follower gets what comes from now on; with false if it must read on before. */
  private async join(follower: Follower): Promise<boolean> {
    this.running ??= this.run();
    return new Promise((resolve) => {
      this.joining.push({ follower, resolve });
      if (!this.isDelivering) this.takeJoining();
    });
  }

  private takeJoining(): void {
    for (const { follower, resolve } of this.joining.splice(0)) {
      // The first one says where the live ones begin.
      if (this.live.size === 0) this.position = follower.position;
      const isThere = this.position !== undefined && covers(follower.position, this.position);
      if (isThere && this.followers.has(follower)) this.live.add(follower);
      resolve(isThere);
    }
    if (this.live.size > 0) this.hint();
  }

  private async run(): Promise<void> {
    const subscription = this.options.feed.subscribe(() => this.hint());
    let beatAt = performance.now() + heartbeatMs;
    let isFailing = false;
    try {
      while (this.followers.size > 0 && !this.isStopped) {
        await this.untilHinted(beatAt - performance.now());
        if (performance.now() >= beatAt) {
          beatAt = performance.now() + heartbeatMs;
          this.beat();
        }
        let pause = restMs;
        try {
          if (this.live.size > 0) await this.readOn();
          isFailing = false;
        } catch (error) {
          if (!isFailing) this.options.onProblem('new decisions cannot be read for streams', error);
          isFailing = true;
          pause = retryMs;
          this.hint();
        }
        await rest(pause);
      }
    } finally {
      subscription.end();
      // At once, so that a follower which joins from here on begins another run.
      this.running = undefined;
    }
  }

  /** Sends what was committed since. */
  private async readOn(): Promise<void> {
    this.isDelivering = true;
    try {
      for (let isEnd = false; !isEnd && this.live.size > 0 && !this.isStopped; ) {
        const fed = await this.options.feed.readOn(this.position!);
        await this.deliver(fed);
        isEnd = fed.isEnd;
        this.takeJoining();
      }
    } finally {
      this.isDelivering = false;
      this.takeJoining();
    }
  }

  private async deliver({ records, position }: FedRecords): Promise<void> {
    const texts = new Map<Follower, string[]>();
    const ids = new EventIds(this.position!, this.options.seal);
    const turns = new Turns();
    for (const each of records) {
      if (turns.isOver) await turns.next();
      const event = new StreamEvent(each, ids.next(each), this.options.versions);
      for (const follower of this.live.candidates(event)) {
        if (follower.hasSeen(each, position.log)) continue;
        const wants = follower.wants(event);
        if (!(typeof wants === 'boolean' ? wants : await wants)) continue;
        const made = event.textFor(follower);
        const text = typeof made === 'string' ? made : await made;
        const own = texts.get(follower);
        if (own === undefined) texts.set(follower, [text]);
        else own.push(text);
        if (turns.isOver) await turns.next();
      }
    }
    this.position = position;
    const most = Math.min(mostWaiting, mostWaitingInAll / this.live.size);
    for (const [follower, own] of texts) {
      if (!this.live.has(follower)) continue;
      const sink = follower.sink!;
      if (turns.isOver) await turns.next();
      if (sink.waiting > most) {
        this.leave(follower);
        sink.drop();
      } else sink.write(own.length === 1 ? own[0]! : own.join(''));
    }
  }

  /** So that connections are seen to live, and those with few events do not read far back when they return. */
  private beat(): void {
    if (this.position === undefined) return;
    const lines = [idLine(this.position, undefined), idLine(this.position, this.options.seal)];
    for (const follower of this.live.all) {
      if (covers(this.position, follower.position)) follower.sink!.write(`:\n${lines[follower.isSealed ? 1 : 0]}\n`);
    }
  }

  private async untilHinted(ms: number): Promise<void> {
    if (!this.isHinted && ms > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms).unref();
        this.hint = () => {
          this.isHinted = true;
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.isHinted = false;
    this.hint = () => {
      this.isHinted = true;
    };
  }
}

/** Somebody who follows, and what of. */
class Follower {
  /** Up to where it has got all by itself. */
  position: StreamPosition = { log: '', writers: new Map() };
  sink: FollowerSink | undefined;

  constructor(
    readonly following: Following,
    readonly filter: RecordFilter,
    readonly condition: RecordCondition | undefined,
  ) {}

  /** Whether it may not see how many records all sets have. */
  get isSealed(): boolean {
    return this.following.policySets !== undefined;
  }

  get query(): { readonly expand?: Expansion } {
    return this.following.filters;
  }

  /** Whether it has got the record by itself, before it joined. */
  hasSeen({ writer, record }: FedRecord, log: string): boolean {
    return this.position.log === log && record.sequence <= (this.position.writers.get(writer) ?? 0);
  }

  wants(event: StreamEvent): boolean | Promise<boolean> {
    if (!matchesFilter(event.record, this.filter)) return false;
    if (this.condition === undefined) return true;
    const outcome = event.outcomeOf(this.condition);
    return typeof outcome === 'string' ? outcome === 'met' : outcome.then((known) => known === 'met');
  }
}

/** The followers that get what comes, by their most selective filter on a field. */
class LiveFollowers {
  readonly all = new Set<Follower>();
  private readonly byValue = new Map<IndexedField, Map<string, Set<Follower>>>();
  /** Those without a filter on a field. */
  private readonly others = new Set<Follower>();

  get size(): number {
    return this.all.size;
  }

  has(follower: Follower): boolean {
    return this.all.has(follower);
  }

  add(follower: Follower): void {
    this.all.add(follower);
    const [first] = follower.filter.equal;
    if (first === undefined) {
      this.others.add(follower);
      return;
    }
    const values = this.byValue.get(first.field) ?? new Map<string, Set<Follower>>();
    this.byValue.set(first.field, values);
    const same = values.get(first.value) ?? new Set();
    values.set(first.value, same);
    same.add(follower);
  }

  remove(follower: Follower): void {
    if (!this.all.delete(follower)) return;
    this.others.delete(follower);
    const [first] = follower.filter.equal;
    if (first === undefined) return;
    const values = this.byValue.get(first.field);
    const same = values?.get(first.value);
    same?.delete(follower);
    if (same?.size === 0) values!.delete(first.value);
    if (values?.size === 0) this.byValue.delete(first.field);
  }

  /** Those that a record may be for. */
  *candidates({ record }: StreamEvent): Generator<Follower> {
    yield* this.others;
    for (const [field, values] of this.byValue) {
      const same = values.get(indexedFields[field](record));
      if (same !== undefined) yield* same;
    }
  }
}

/** A record on its way: what is made of it is made once for all. */
class StreamEvent {
  readonly record: DecisionRecord;
  private readonly outcomes = new Map<string, ConditionOutcome | Promise<ConditionOutcome>>();
  private readonly texts = new Map<string, string | Promise<string>>();

  constructor(
    fed: FedRecord,
    private readonly id: (isSealed: boolean) => string,
    private readonly versions: RecordedVersions,
  ) {
    this.record = fed.record;
  }

  outcomeOf(condition: RecordCondition): ConditionOutcome | Promise<ConditionOutcome> {
    let outcome = this.outcomes.get(condition.text);
    if (outcome === undefined) {
      const entities = this.versions.entitiesFor(this.record);
      outcome =
        entities instanceof Promise
          ? entities.then((loaded) => condition.outcome(this.record, loaded))
          : condition.outcome(this.record, entities);
      this.outcomes.set(condition.text, outcome);
    }
    return outcome;
  }

  textFor({ isSealed, query }: Follower): string | Promise<string> {
    const kind = `${isSealed} ${query.expand}`;
    let text = this.texts.get(kind);
    if (text === undefined) {
      const id = this.id(isSealed);
      text =
        query.expand === undefined
          ? textOf(id, this.record, isSealed)
          : expandedRecord(this.record, query, this.versions).then((record) => textOf(id, record, isSealed));
      this.texts.set(kind, text);
    }
    return text;
  }
}

function textOf(id: string, record: DecisionRecord, isSealed: boolean): string {
  return `${id}data: ${JSON.stringify(isSealed ? recordForSome(record) : record)}\n\n`;
}

/** The ids of events that follow on each other. */
class EventIds {
  private readonly writers: Map<number, number>;
  private readonly log: string;

  constructor(
    { log, writers }: StreamPosition,
    private readonly seal: (position: string) => string,
  ) {
    this.log = log;
    this.writers = new Map(writers);
  }

  /** The id of the next event, which says that it and all before it were seen. It must be asked for before the one after. */
  next({ writer, record }: FedRecord): (isSealed: boolean) => string {
    const { log, writers } = this;
    writers.set(writer, record.sequence);
    const made = new Map<boolean, string>();
    return (isSealed) => {
      const known = made.get(isSealed);
      if (known !== undefined) return known;
      const line = idLine({ log, writers }, isSealed ? this.seal : undefined);
      made.set(isSealed, line);
      return line;
    };
  }
}

function idLine(position: StreamPosition, seal: ((position: string) => string) | undefined): string {
  const text = encodePosition(position);
  return `id: ${seal === undefined ? text : seal(text)}\n`;
}

/** Whether somebody at the one position has seen all up to the other. */
function covers(seen: StreamPosition, other: StreamPosition): boolean {
  if (seen.log !== other.log) return false;
  for (const [writer, sequence] of other.writers) if ((seen.writers.get(writer) ?? 0) < sequence) return false;
  return true;
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
