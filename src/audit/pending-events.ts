import type { NewAuditEvent } from './audit-event.js';

/** An event that waits to be written, and how many equal ones it stands for. */
export interface PendingEvent {
  readonly event: NewAuditEvent;
  /** Time of the first of them, in milliseconds since 1970. */
  readonly time: number;
  count: number;
}

/** Most different events that wait to be written. Further ones are counted without their details. */
const maxPending = 1_000;

/**
 * Gathers events that anybody can cause at will, for any store of events: those that are equal but for their request become
 * one with a count.
 */
export class PendingEvents {
  private pending = new Map<string, PendingEvent>();

  add(event: NewAuditEvent, time: number, count = 1): void {
    const full = this.pending.size >= maxPending;
    const kept = full ? { type: event.type, detail: 'one of too many to tell apart' } : event;
    const key = JSON.stringify([
      kept.type,
      kept.actor,
      kept.method,
      kept.address,
      kept.policySet,
      kept.detail,
      kept.fromVersion,
      kept.toVersion,
    ]);
    const same = this.pending.get(key);
    if (same !== undefined) same.count += count;
    else this.pending.set(key, { event: kept, time, count });
  }

  /** Removes the events that wait and returns them in the order in which they came. */
  take(): PendingEvent[] {
    const events = [...this.pending.values()];
    this.pending = new Map();
    return events;
  }

  /** Lets events that were taken wait again, before those that came since. */
  putBack(events: readonly PendingEvent[]): void {
    const later = this.take();
    for (const { event, time, count } of [...events, ...later]) this.add(event, time, count);
  }
}
