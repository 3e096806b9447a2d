import { invalidParameter, policySetNotFound, VerdictError } from '../../errors.js';
import { readTimeRange, type TimeRangeQuery } from '../../query/time-range.js';
import { checkReason } from '../plain-text.js';
import { describeHold, type Hold, type HoldPage } from './hold.js';
import { type Holds, holdNotFound } from './holds.js';

/** Who makes and releases holds. */
export interface HoldAdministrator {
  readonly name: string;
  readonly method: string;
  /** The policy sets that it may hold records of; undefined: all. */
  readonly policySets: readonly string[] | undefined;
  readonly address?: string;
  readonly requestId?: string;
}

/** What is written down of a hold that is added or released. */
export interface HoldEvent {
  readonly type: 'hold_added' | 'hold_released';
  readonly actor: string;
  readonly method: string;
  readonly address?: string;
  readonly requestId?: string;
  readonly policySet?: string;
  readonly detail: string;
}

/** A hold as it is asked for; times and days as `TimeRangeQuery` has them. */
export interface WantedHold extends TimeRangeQuery {
  readonly policySets?: readonly string[];
  readonly reason: string;
}

/**
 * Holds, for callers that may make them (P7). A caller that is limited to policy sets makes, sees and releases only holds
 * of those sets.
 */
export class HoldAdministration {
  /** @param isKnown whether a policy set of this name ever served */
  constructor(
    private readonly holds: Holds,
    private readonly audit: { record(event: HoldEvent): Promise<void> },
    private readonly isKnown: (policySet: string) => Promise<boolean>,
    private readonly now: () => number = Date.now,
  ) {}

  async list(by: HoldAdministrator): Promise<readonly Hold[]> {
    return (await this.holds.list()).filter((hold) => isWithin(hold, by));
  }

  /**
   * A page of them. One that is released meanwhile is on a later page again; none is left out.
   *
   * @param cursor `nextCursor` of the page before
   * @throws VerdictError `invalid_request` for a cursor that is none
   */
  async page(by: HoldAdministrator, limit: number, cursor?: string): Promise<HoldPage> {
    const all = await this.list(by);
    const start = cursor === undefined ? 0 : placeBehind(all, cursor);
    const items = all.slice(start, start + limit);
    return {
      items: items.map(describeHold),
      ...(start + limit < all.length && { nextCursor: cursorAt(items.at(-1)!) }),
    };
  }

  /** @throws VerdictError `hold_not_found` */
  async find(id: string, by: HoldAdministrator): Promise<Hold> {
    const hold = await this.holds.find(id);
    if (!isWithin(hold, by)) throw holdNotFound(id);
    return hold;
  }

  /**
   * Adds a hold; when this resolves, it is in force on every replica.
   *
   * @throws VerdictError `invalid_request` for a range in which no record can be or that ends after the year 9999, and for a reason
   *   that cannot be kept, `policy_set_not_found`, `forbidden` for
   *   one that reaches beyond the caller's sets, `conflict` when there are too many
   */
  async add(wanted: WantedHold, by: HoldAdministrator): Promise<Hold> {
    checkReason(wanted.reason);
    const { from, to } = readTimeRange(wanted);
    for (const [name, time] of Object.entries({ from, to })) {
      if (time !== undefined && (time < firstTime || time > lastTime))
        refuseTime(name, 'is not within the years 0000 to 9999');
    }
    if (from !== undefined && to !== undefined && from >= to) {
      refuseTime('to', 'is not after `from`');
    }
    const policySets = wanted.policySets && [...new Set(wanted.policySets)];
    if (by.policySets !== undefined && policySets === undefined) {
      throw new VerdictError('forbidden', 'A credential for some policy sets must name the sets that it holds.');
    }
    for (const set of policySets ?? []) {
      const isTheirs = by.policySets === undefined || by.policySets.includes(set);
      if (!isTheirs || !(await this.isKnown(set))) throw policySetNotFound(set);
    }
    const hold = await this.holds.add({ policySets, from, to, reason: wanted.reason, by: by.name }, this.now());
    await this.done('hold_added', hold, by);
    return hold;
  }

  /** @throws VerdictError `hold_not_found`, also for one that was released already */
  async release(id: string, by: HoldAdministrator): Promise<Hold> {
    await this.find(id, by);
    const hold = await this.holds.release(id, by.name, this.now());
    await this.done('hold_released', hold, by);
    return hold;
  }

  private async done(
    type: HoldEvent['type'],
    hold: Hold,
    { name: actor, method, address, requestId }: HoldAdministrator,
  ): Promise<void> {
    const { policySets = [] } = hold;
    await this.audit.record({
      type,
      actor,
      method,
      ...(address !== undefined && { address }),
      ...(requestId !== undefined && { requestId }),
      ...(policySets.length === 1 && { policySet: policySets[0]! }),
      detail: `${hold.id}: ${rangeText(hold)}: ${hold.reason}`,
    });
  }
}

/**
 * What a hold keeps, for people:
 *
 *     {}                                       →  all decisions
 *     { policySets: ['invoices'], from, to }   →  decisions of invoices from 2026-03-01T00:00:00.000Z to 2026-04-01T00:00:00.000Z
 */
export function rangeText(hold: Hold): string {
  const { policySets, from, to } = describeHold(hold);
  const sets = policySets === undefined ? 'all decisions' : `decisions of ${policySets.join(', ')}`;
  return [sets, from && `from ${from}`, to && `to ${to}`].filter((part) => part !== undefined).join(' ');
}

/** Names a hold, when it was made, and whether it was released by then: those in force come first. */
function cursorAt({ id, created, released }: Hold): string {
  return Buffer.from(`${released === undefined ? 'f' : 'r'}:${created}:${id}`).toString('base64url');
}

function placeBehind(all: readonly Hold[], cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const [, phase, created, id] = /^([fr]):(\d{1,15}):([0-9a-f-]{36})$/.exec(text) ?? [];
  if (id === undefined) throw invalidParameter('cursor', 'is not a cursor of this list');
  const isReleased = phase === 'r';
  const isThere = (hold: Hold) => (hold.released !== undefined) === isReleased;
  const known = all.findIndex((hold) => hold.id === id && isThere(hold));
  if (known !== -1) return known + 1;
  // It was released, or is not listed any more: those of its time come again.
  const next = all.findIndex((hold) =>
    isThere(hold) ? hold.created <= Number(created) : !isReleased && hold.released !== undefined,
  );
  return next === -1 ? all.length : next;
}

/** RFC 3339 can say no times beyond. */
const firstTime = Date.parse('0000-01-01T00:00:00.000Z');
const lastTime = Date.parse('9999-12-31T23:59:59.999Z');

function refuseTime(name: string, detail: string): never {
  const sentence = `The hold is not valid: ${name} ${detail.replaceAll('`', '')}.`;
  throw new VerdictError('invalid_request', sentence, { errors: [{ pointer: `/${name}`, detail }] });
}

function isWithin({ policySets }: Hold, by: HoldAdministrator): boolean {
  if (by.policySets === undefined) return true;
  return policySets?.every((set) => by.policySets!.includes(set)) ?? false;
}
