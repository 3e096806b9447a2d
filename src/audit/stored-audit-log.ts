import { isAway } from '../database/database-error.js';
import { invalidParameter } from '../errors.js';
import { readTimeRange } from '../query/time-range.js';
import { namesInEvent } from './about-event.js';
import { anchorText, type ChainEnd } from './audit-chain.js';
import type { AuditEvent, AuditEventType, AuditPage, AuditQuery, NewAuditEvent } from './audit-event.js';
import { AuditLog, type AuditLogOptions } from './audit-log.js';
import type { AuditRow, NewAuditRow } from './audit-row.js';
import { type PendingEvent, PendingEvents } from './pending-events.js';

export interface StoredAuditLogOptions extends AuditLogOptions {
  /** Most statements of one search, each of which looks at 20,000 events (200). */
  readonly searchWindows?: number;
}

/** What a statement of a search looks for: the members that are given. Times in milliseconds since 1970, `to` excluded. */
export interface AuditFilter extends Pick<AuditQuery, 'type' | 'actor' | 'address' | 'policySet' | 'requestId'> {
  /** Only events with this text in one of theirs. */
  readonly text: string | undefined;
  readonly from: number | undefined;
  readonly to: number | undefined;
  /** Only events about one of these sets. */
  readonly policySets: readonly string[] | undefined;
}

/** Events that one statement deletes, so that other writes do not wait for long. */
export const deletedAtOnce = 1_000;
/** Longest text stored from a request, in characters. */
const maxAuditText = 512;

const defaultLimit = 50;
const flushMs = 1_000;
/** Events that one statement examines. It takes some milliseconds, in which no event can be written. */
const rowsPerWindow = 20_000;
/** Events that are read in one turn of the event loop: a millisecond or two. */
const rowsAtOnce = 200;
/** Most statements of one search. After four million events the page ends early and says where. */
const maxWindows = 200;
const pruneEveryMs = 60_000;

/**
 * Audit events in a table whose ids rise in the order in which they were written. Databases differ in their statements
 * alone, which the folders beside this file hold.
 */
export abstract class StoredAuditLog extends AuditLog {
  readonly counts = new Map<AuditEventType, number>();
  private readonly pending = new PendingEvents();
  private timer: NodeJS.Timeout | undefined;
  private pruneTimer: NodeJS.Timeout | undefined;
  private pruning: Promise<void> = Promise.resolve();
  private closing = false;
  private mayPrune = true;
  private sign: ((text: string) => string | undefined) | undefined;

  protected constructor(private readonly options: StoredAuditLogOptions) {
    super();
    if (options.maxAgeMs === undefined) return;
    this.mayPrune = !options.waitsForSigner;
    // Not before the constructor of the class below has ended.
    this.pruneTimer = setInterval(() => this.startPruning(), pruneEveryMs).unref();
    queueMicrotask(() => this.startPruning());
  }

  /**
   * Commits events in their order, each with its place in the chain; one process at a time does so. Where a release without the
   * chain may run beside this one, its events come before them.
   */
  protected abstract insert(rows: readonly NewAuditRow[]): Promise<void>;

  /** The lowest and the highest id; of no events 1 and 0. */
  protected abstract ends(): Promise<{ readonly first: number; readonly last: number }>;

  /** The time of the event with this id, or with the next one that there is; in milliseconds since 1970. */
  protected abstract timeAt(id: number): Promise<number | undefined>;

  /** At most `most` events that match, the newest first, with ids from `low` to below `before`. */
  protected abstract find(filter: AuditFilter, low: number, before: number, most: number): Promise<AuditRow[]>;

  /** The oldest `deletedAtOnce` events, the oldest first. */
  protected abstract oldest(): Promise<readonly Pick<AuditRow, 'id' | 'time'>[]>;

  /** Deletes the events up to this id, and says with `anchorNote` up to where the chain was removed, all at once. */
  protected abstract deleteTo(id: number): Promise<void>;

  protected abstract end(): Promise<void>;

  async close(): Promise<void> {
    this.closing = true;
    clearTimeout(this.timer);
    clearInterval(this.pruneTimer);
    await this.pruning;
    await this.flush();
    await this.end();
  }

  async record(event: NewAuditEvent, now = Date.now()): Promise<void> {
    this.count(event.type);
    await this.write([{ event, time: now, count: 1 }]);
  }

  note(event: NewAuditEvent, now = Date.now()): void {
    this.count(event.type);
    this.pending.add(event, now);
    this.flushSoon();
  }

  async search(query: AuditQuery, policySets?: readonly string[]): Promise<AuditPage> {
    const { type, actor, address, policySet, requestId, about: text } = query;
    const filter = {
      type,
      actor,
      address,
      policySet,
      requestId,
      text,
      policySets,
      ...readTimeRange(query),
    } as AuditFilter;
    await this.flush();
    const limit = query.limit ?? defaultLimit;
    const cursor = cursorOf(query.cursor);
    const { first, last } = await this.ends();
    const items: AuditEvent[] = [];
    let before = Math.min(cursor ?? Number.MAX_SAFE_INTEGER, last + 1);
    for (let windows = 0; before > first; ) {
      if (windows === (this.options.searchWindows ?? maxWindows)) {
        const searchedTo = new Date((await this.timeAt(before)) ?? 0).toISOString();
        return { items, nextCursor: String(before), searchedTo };
      }
      const low = Math.max(first, before - rowsPerWindow);
      const most = Math.min(rowsAtOnce, limit + 1 - items.length);
      const rows = await this.find(filter, low, before, most);
      const events = rows.map(toEvent);
      items.push(...(text === undefined ? events : events.filter((event) => namesInEvent(event, text))));
      // One event more than asked for shows that there is a next page.
      if (items.length > limit) return { items: items.slice(0, limit), nextCursor: String(items[limit - 1]!.id) };
      if (rows.length === most) before = rows.at(-1)!.id;
      else {
        before = low;
        windows++;
      }
    }
    return { items };
  }

  async prune(now: number): Promise<void> {
    const before = now - (this.options.maxAgeMs ?? Number.POSITIVE_INFINITY);
    while (!this.closing) {
      // The order of ids is nearly the order of times, so no index of times is needed.
      const oldest = await this.oldest();
      const kept = oldest.findIndex(({ time }) => time >= before);
      const last = oldest.at(kept < 0 ? -1 : kept - 1);
      if (kept === 0 || last === undefined) return;
      await this.deleteTo(last.id);
      if (kept > 0) return;
    }
  }

  signWith(sign: (text: string) => string | undefined): void {
    this.sign = sign;
    if (this.mayPrune || this.options.maxAgeMs === undefined) return;
    this.mayPrune = true;
    this.startPruning();
  }

  /** The signed note that the chain was removed up to there; null without a key. */
  protected anchorNote(end: ChainEnd): string | null {
    return this.sign?.(anchorText(end, Date.now())) ?? null;
  }

  private write(events: readonly PendingEvent[]): Promise<void> {
    const rows = events.map(({ event, time, count }) => ({ ...event, time, count }));
    // What is masked is the text of all of them, where a credential may stand anywhere.
    const masked = JSON.parse(this.options.mask(JSON.stringify(rows))) as typeof rows;
    return this.insert(masked.map(toRow));
  }

  private startPruning(): void {
    if (!this.mayPrune) return;
    this.pruning = this.pruning
      .then(() => this.prune(Date.now()))
      .catch((error: unknown) => this.options.onProblem('audit events could not be deleted', error));
  }

  private count(type: AuditEventType): void {
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
  }

  private flushSoon(): void {
    this.timer ??= setTimeout(() => void this.flush(), flushMs).unref();
  }

  private async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const events = this.pending.take();
    if (events.length === 0) return;
    try {
      await this.write(events);
    } catch (error) {
      if (isAway(error) && !this.closing) {
        this.pending.putBack(events);
        this.flushSoon();
        return;
      }
      // The operator's log tells what the table lacks.
      this.options.onProblem(
        `${events.length} audit events could not be written: ${this.options.mask(JSON.stringify(events))}`,
        error,
      );
    }
  }
}

function toEvent(row: AuditRow): AuditEvent {
  return {
    id: row.id,
    time: new Date(row.time).toISOString(),
    type: row.type,
    ...(row.actor !== null && { actor: row.actor }),
    ...(row.method !== null && { method: row.method }),
    ...(row.address !== null && { address: row.address }),
    ...(row.policy_set !== null && { policySet: row.policy_set }),
    ...(row.from_version !== null && { fromVersion: row.from_version }),
    ...(row.to_version !== null && { toVersion: row.to_version }),
    ...(row.detail !== null && { detail: row.detail }),
    ...(row.request_id !== null && { requestId: row.request_id }),
    count: row.count,
  };
}

function toRow(event: NewAuditEvent & { readonly time: number; readonly count: number }): NewAuditRow {
  return {
    time: event.time,
    type: event.type,
    actor: storedText(event.actor),
    method: storedText(event.method),
    address: storedText(event.address),
    policy_set: storedText(event.policySet),
    detail: storedText(event.detail),
    request_id: storedText(event.requestId),
    from_version: storedText(event.fromVersion),
    to_version: storedText(event.toVersion),
    count: event.count,
  };
}

/** A text as every database keeps it, and reads it again: neither NUL nor half of a surrogate pair. */
function storedText(text: string | undefined): string | null {
  if (text === undefined || text === null) return null;
  const whole = text.replace(/\p{Surrogate}|\0/gu, '\ufffd');
  return whole.length <= maxAuditText ? whole : [...whole].slice(0, maxAuditText).join('');
}

function cursorOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw invalidParameter('cursor', 'is not the nextCursor of a page');
}
