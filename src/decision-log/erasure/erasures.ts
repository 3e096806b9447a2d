import { randomBytes, randomInt } from 'node:crypto';
import { invalidParameter, VerdictError } from '../../errors.js';
import { DecisionIds } from '../decision-ids.js';
import { type Hold, holdOf } from '../holds/hold.js';
import type { HoldGuard } from '../holds/holds.js';
import { checkPerson, checkReason } from '../plain-text.js';
import { ErasureCounts } from './erase-group.js';
import { describeErasure, type Erasure, type ErasurePage } from './erasure-answers.js';
import type { ErasedKind, ErasureOrders, NewErasureOrder } from './erasure-orders.js';
import { digestOfPerson, type ErasureOrder, StandingOrders } from './standing-orders.js';

/** Whom to erase. */
export interface ErasingOrders {
  readonly standing: StandingOrders;
  /** Whether a record is kept from erasure. */
  readonly isHeld?: ((record: { readonly policySet: string; readonly time: number }) => boolean) | undefined;
  /**
   * Puts what was rewritten in its place, while no hold can be added.
   *
   * @throws HoldsChanged where one was, since `isHeld` was made; then nothing is put in place
   */
  readonly place?: (<Result>(work: () => Promise<Result>) => Promise<Result>) | undefined;
}

/** A hold was added while records were rewritten that it may keep. */
export class HoldsChanged extends Error {
  override readonly name = 'HoldsChanged';

  constructor() {
    super('a hold was added meanwhile; the erasure begins anew');
  }
}

/** Takes note of what became of records. */
export type OnErased = (counts: ErasureCounts) => Promise<void>;

/** A log that erases persons. */
export interface ErasableLog {
  /**
   * Whether files came to the log, at its start or later, that can have been away when persons were erased. It stays so over restarts
   * until `forgetReturned`.
   */
  readonly hasReturned: boolean;

  /** For who has seen to it that all orders are carried out again. */
  forgetReturned(): Promise<void>;

  /**
   * Erases persons from all that the log holds now, while records go on being appended. What was looked through for the same object of
   * orders is not looked through again.
   *
   * @param onErased hears of each part when it is done, also where the rest then fails; the sum is returned
   * @throws when something cannot be read or written, and when `signal` ends it
   */
  erase(orders: ErasingOrders, signal: AbortSignal, onErased?: OnErased): Promise<ErasureCounts>;

  /** What `erase` would come to. */
  erasable(orders: ErasingOrders, signal: AbortSignal): Promise<ErasureCounts>;
}

export interface ErasuresOptions {
  readonly orders: ErasureOrders;
  readonly log: ErasableLog;
  /** How long after its time a record may still be appended, in milliseconds. */
  readonly latestMs: number;
  /** Time between two looks for orders, in milliseconds (1,000). */
  readonly lookMs?: number;
  /** What keeps records from erasure. */
  readonly holds: HoldGuard;
  /** Whether this process only takes orders and others carry them out, as a replica that records nothing. */
  readonly isIdle?: boolean;
  /** Called once when carrying out orders begins to fail. */
  readonly onProblem: (what: string, error: unknown) => void;
}

const defaultLookMs = 1_000;
/** Most looks that are left out after one that failed: it may have read all of the log, and needs what is not there. */
const mostLeftOut = 60;

interface CarriedOut {
  readonly ids: string;
  readonly orders: ErasingOrders;
  /** Of all passes of this process. */
  readonly sum: ErasureCounts;
}

/** Takes orders to erase persons, and carries out all that there are, also those of other processes and of before a crash. */
export class Erasures {
  private readonly stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  /** The orders that are being carried out; the same object while they are the same. */
  private current: CarriedOut | undefined;
  private failures = 0;
  /** Looks that are still left out. */
  private leftOut = 0;

  constructor(private readonly options: ErasuresOptions) {}

  start(): void {
    this.timer = setInterval(() => {
      if (this.leftOut > 0) this.leftOut--;
      else this.look();
    }, this.options.lookMs ?? defaultLookMs).unref();
    this.look();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort();
    await this.running;
  }

  /**
   * Makes an order, which `commit` then gives to the log.
   *
   * @param person the id of a subject or a resource
   * @throws VerdictError `invalid_request` for an id or a reason that cannot be kept, and a reason that names the person;
   *   `conflict` where no process carries it out
   */
  async draft(kind: ErasedKind, person: string, reason: string, by: string): Promise<NewErasureOrder> {
    const { orders, isIdle } = this.options;
    if (isIdle === true && !(await orders.isAttended())) {
      const detail = 'No replica that records decisions runs, and this one does not: nobody would carry the order out.';
      throw new VerdictError('conflict', detail);
    }
    return draftErasure(orders, kind, person, reason, by);
  }

  async commit(order: NewErasureOrder): Promise<void> {
    await this.options.orders.add(order);
    this.look();
  }

  /** @throws VerdictError `erasure_not_found` */
  async find(id: string): Promise<Erasure> {
    const order = await this.options.orders.find(id);
    if (order === undefined) throw new VerdictError('erasure_not_found', `There is no erasure "${id}".`);
    return describeErasure(order);
  }

  /**
   * A page of erasures, the newest first.
   *
   * @param cursor `nextCursor` of the page before
   * @throws VerdictError `invalid_request` for a cursor that is none
   */
  async page(limit: number, cursor?: string): Promise<ErasurePage> {
    if (cursor !== undefined && !/^[0-9a-f-]{36}$/.test(cursor))
      throw invalidParameter('cursor', 'is not a cursor of this list');
    const found = await this.options.orders.list(limit + 1, cursor);
    const items = found.slice(0, limit).map(describeErasure);
    return { items, ...(found.length > limit && { nextCursor: items.at(-1)!.id }) };
  }

  /** What an erasure would come to now. */
  async preview(kind: ErasedKind, person: string): Promise<ErasureCounts> {
    return previewErasure(this.options.log, this.options.holds, kind, person, this.stopping.signal);
  }

  /** Carries out what there is; a look that is under way will see what came meanwhile at the next one. */
  private look(): void {
    if (this.running !== undefined || this.stopping.signal.aborted) return;
    this.running = this.carryOut()
      .then(
        () => {
          this.failures = 0;
        },
        (error: unknown) => {
          // The next look knows of it.
          if (error instanceof HoldsChanged) return;
          if (this.failures === 0 && !this.stopping.signal.aborted)
            this.options.onProblem('an erasure could not be carried out; it is tried again', error);
          this.leftOut = Math.min(2 ** this.failures - 1, mostLeftOut);
          this.failures++;
        },
      )
      .finally(() => {
        this.running = undefined;
      });
  }

  private async carryOut(): Promise<void> {
    const { orders, log, latestMs } = this.options;
    if (log.hasReturned && (await orders.reopen())) {
      await log.forgetReturned();
      this.current = undefined;
    }
    const open = await orders.open();
    if (open.length === 0) {
      this.current = undefined;
      return;
    }
    const began = Date.now();
    const current = await this.ordersOf(open);
    await log.erase(current.orders, this.stopping.signal, (counts) => this.count(open, current, counts));
    // Also where there was nothing to look through.
    await this.count(open, current, new ErasureCounts());
    for (const { id, time } of open) {
      // Until then a decision of before the order may come.
      if (began > time + latestMs) await orders.finish(id, Date.now());
    }
  }

  private async count(open: readonly ErasureOrder[], current: CarriedOut, counts: ErasureCounts): Promise<void> {
    current.sum.add(counts);
    for (const { id } of open) {
      // What stays is met again by the next process, what was rewritten is not.
      const { about, named } = counts.of(id);
      await this.options.orders.count(
        id,
        { about, named, held: current.sum.of(id).held },
        Math.max(0, current.sum.unreadable),
      );
    }
  }

  private async ordersOf(open: readonly ErasureOrder[]): Promise<CarriedOut> {
    const { orders, holds } = this.options;
    const inForce = await holds.inForce();
    const ids = [...open, ...inForce].map(({ id }) => id).join();
    if (this.current?.ids !== ids) {
      const standing = new StandingOrders(await orders.key(), open);
      this.current = { ids, orders: { standing, ...keptFrom(holds, inForce) }, sum: new ErasureCounts() };
    }
    return this.current;
  }
}

function keptFrom(holds: HoldGuard, inForce: readonly Hold[]): Pick<ErasingOrders, 'isHeld' | 'place'> {
  const known = new Set(inForce.map(({ id }) => id));
  return {
    isHeld: (record) => holdOf(inForce, record) !== undefined,
    place: (work) =>
      holds.guard(async (now) => {
        if (!now.every(({ id }) => known.has(id))) throw new HoldsChanged();
        return work();
      }),
  };
}

/** As `Erasures.draft`, for a command. */
export async function draftErasure(
  orders: ErasureOrders,
  kind: ErasedKind,
  person: string,
  reason: string,
  by: string,
): Promise<NewErasureOrder> {
  checkPerson(kind, person);
  checkReason(reason);
  if (reason.includes(person)) {
    const detail = 'names the person; it is kept and shown';
    throw new VerdictError('invalid_request', `The reason ${detail}.`, { errors: [{ pointer: '/reason', detail }] });
  }
  const time = Date.now();
  const id = new DecisionIds(randomInt(1, 2 ** 30), 0).next(time);
  return { id, time, kind, reason, by, digest: digestOfPerson(await orders.key(), person) };
}

/** As `Erasures.preview`. */
export async function previewErasure(
  log: Pick<ErasableLog, 'erasable'>,
  holds: Pick<HoldGuard, 'inForce'>,
  kind: ErasedKind,
  person: string,
  signal: AbortSignal,
): Promise<ErasureCounts> {
  checkPerson(kind, person);
  // Nothing is written, so the key of the log may not be there yet.
  const key = randomBytes(32);
  const order = { id: previewed, time: Date.now(), digest: digestOfPerson(key, person) };
  const inForce = await holds.inForce();
  const isHeld: ErasingOrders['isHeld'] = (record) => holdOf(inForce, record) !== undefined;
  return log.erasable({ standing: new StandingOrders(key, [order]), isHeld }, signal);
}

/** The id of the order in a preview. */
export const previewed = 'preview';
