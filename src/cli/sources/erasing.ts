/** Erases a person from a log: by a service, or in its database. It loads database drivers only where it needs them. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  describeErasure,
  type Erasure,
  type ErasurePreview,
  untouched,
} from '../../decision-log/erasure/erasure-answers.js';
import type { ErasedKind } from '../../decision-log/erasure/erasure-orders.js';
import { draftErasure, previewErasure, previewed } from '../../decision-log/erasure/erasures.js';
import { VerdictError } from '../../errors.js';
import { UsageError } from '../exit-code.js';
import type { CarryingOut } from './database.js';
import { askServer, type ServerOptions, ServerRefusal } from './server.js';

/** Whom to erase. */
export interface Person {
  readonly kind: ErasedKind;
  readonly id: string;
}

export interface Eraser {
  preview(person: Person): Promise<ErasurePreview>;
  order(person: Person, reason: string): Promise<Erasure>;
  /** Whether this process carries out what it has ordered, and no service. */
  readonly carriesOut: boolean;
  /** Whether no process carries it out now: the next one that starts does. */
  isLeft(): Promise<boolean>;
  /** An erasure as it is now. */
  find(id: string): Promise<Erasure>;
  close(): Promise<void>;
}

const lookMs = 500;
/** Longest time without an answer of a service, in milliseconds: as long as a restart may take. */
const patienceMs = 60_000;

/** Waits until an erasure is carried out; `waiting` hears once that a service has not done so yet. */
export async function untilFinished(eraser: Eraser, ordered: Erasure, waiting: () => void): Promise<Erasure> {
  let erasure = ordered;
  let isSaid = false;
  while (erasure.state !== 'finished') {
    await delay(lookMs);
    erasure = await eraser.find(erasure.id);
    if (!isSaid && !eraser.carriesOut && erasure.state !== 'finished') waiting();
    isSaid = true;
  }
  return erasure;
}

/**
 * Asks again while a service is busy or away, as long as `patienceMs`.
 *
 * @throws what it says else, or says for so long
 */
async function patiently<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  const end = Date.now() + patienceMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const mayPass =
        error instanceof ServerRefusal ? error.status === 429 || error.status > 500 : error instanceof UsageError;
      const waitMs = 1_000 * ((error instanceof ServerRefusal ? error.retryAfter : undefined) ?? 1);
      if (!mayPass || Date.now() + waitMs > end) throw error;
      await delay(waitMs);
    }
  }
}

/** A service, for callers with the scope `decisions:erase` for all sets. */
export function eraserOfServer(server: ServerOptions): Eraser {
  const bodyOf = ({ kind, id }: Person) => ({ [kind]: id });
  return {
    preview: async (person) =>
      (await askServer(server, 'POST', '/v1/erasures/preview', bodyOf(person))) as ErasurePreview,
    order: async (person, reason) =>
      (await askServer(server, 'POST', '/v1/erasures', { ...bodyOf(person), reason })) as Erasure,
    find: (id) =>
      patiently(async () => (await askServer(server, 'GET', `/v1/erasures/${encodeURIComponent(id)}`)) as Erasure),
    carriesOut: false,
    isLeft: async () => false,
    close: async () => undefined,
  };
}

/**
 * The log in a database, whether its service runs or not. A running one carries orders out; else this process does, with SQLite.
 *
 * @param fleetKeys as `VERDICT_LOG_SIGNING_KEY`
 */
export function eraserInDatabase(database: string, fleetKeys: string | undefined): Eraser {
  const opened: { close(): Promise<void> }[] = [];
  const open = async <Store extends { close(): Promise<void> }>(store: Promise<Store>): Promise<Store> => {
    opened.unshift(await store);
    return store;
  };
  const orders = async () => {
    const { openErasureOrders } = await import('./database.js');
    return open(openErasureOrders(database));
  };
  let known: ReturnType<typeof orders> | undefined;
  let carrying: CarryingOut | undefined;
  const ordersOnce = () => {
    known ??= orders();
    return known;
  };
  return {
    async preview({ kind, id }) {
      const { namingSets, openErasableLog, openHolds } = await import('./database.js');
      const log = await open(openErasableLog(database));
      const holds = await open(openHolds(database));
      const counts = await previewErasure(log, holds, kind, id, new AbortController().signal).catch(asUsage);
      const records = { ...counts.of(previewed), unreadable: counts.unreadable };
      return { records, untouched: untouched(await namingSets(database, id)) };
    },
    async order({ kind, id }, reason) {
      const { carryOutErasures, openAuditLog, openErasableLog } = await import('./database.js');
      const { userInfo } = await import('node:os');
      const { maskCredentials } = await import('../../logging/mask-credentials.js');
      // It says where there is no log.
      await (await openErasableLog(database)).close();
      const store = await ordersOnce();
      const by = userInfo().username;
      const order = await draftErasure(store, kind, id, reason, by).catch(asUsage);
      // Before the order stands, so that a log that cannot be opened leaves none behind.
      carrying = await carryOutErasures(database, store, fleetKeys);
      if (carrying !== undefined) opened.unshift(carrying);
      const audit = await open(
        openAuditLog(database, { mask: maskCredentials, onProblem: (_what, error) => Promise.reject(error) }),
      );
      const detail = `erasure ${order.id} of a ${kind}`;
      await audit.record({ type: 'erasure_ordered', actor: by, method: 'command_line', detail });
      await store.add(order);
      return describeErasure((await store.find(order.id))!);
    },
    async find(id) {
      carrying?.check();
      return describeErasure((await (await ordersOnce()).find(id))!);
    },
    get carriesOut() {
      return carrying !== undefined;
    },
    isLeft: async () => carrying === undefined && !(await (await ordersOnce()).isAttended()),
    async close() {
      for (const each of opened) await each.close();
    },
  };
}

function asUsage(error: unknown): never {
  throw error instanceof VerdictError ? new UsageError(error.detail) : error;
}
