/**
 * The orders to erase persons, without their names: an order has the HMAC of the id under a key of the log, so that neither the order nor a
 * copy of the database says whom it was about, and a replica that comes back after days can carry it out all the same.
 */
import { createHmac } from 'node:crypto';

export interface ErasureOrder {
  /** UUIDv7. */
  readonly id: string;
  /** It covers the records of decisions up to this time, in milliseconds since 1970. */
  readonly time: number;
  /** HMAC-SHA-256 of the id of the subject or the resource, in hexadecimal. */
  readonly digest: string;
}

/** All orders, and how many they are. */
export interface AllOrders {
  readonly standing: StandingOrders;
  readonly count: number;
}

/** Values that are remembered: most stand in many records. */
const mostRemembered = 16_384;

export function digestOfPerson(key: Buffer, id: string): string {
  return createHmac('sha256', key).update(id).digest('hex');
}

/** Finds the orders that a value of a record falls under. */
export class StandingOrders {
  private readonly orders = new Map<string, ErasureOrder[]>();
  private remembered = new Map<string, readonly ErasureOrder[]>();

  /** @param key that of the log */
  constructor(
    private readonly key: Buffer,
    orders: readonly ErasureOrder[],
  ) {
    this.ids = orders.map(({ id }) => id);
    this.latest = orders.reduce((latest, { time }) => Math.max(latest, time), 0);
    for (const order of orders) {
      const known = this.orders.get(order.digest);
      if (known === undefined) this.orders.set(order.digest, [order]);
      else known.push(order);
    }
  }

  /** The highest time of an order, in milliseconds since 1970; 0 where there is none. */
  readonly latest: number;
  private readonly ids: readonly string[];

  /** The first order that covers a record of this time (milliseconds since 1970) and is about this value. */
  covering(value: string, time: number): ErasureOrder | undefined {
    for (const order of this.about(value)) if (time <= order.time) return order;
    return undefined;
  }

  /** The order about this value that covers the most; undefined where there is none. */
  latestAbout(value: string): ErasureOrder | undefined {
    return this.about(value).reduce<ErasureOrder | undefined>(
      (latest, order) => (latest === undefined || order.time > latest.time ? order : latest),
      undefined,
    );
  }

  /** Whether a text of records says that one of the orders was carried out in it. */
  isCarriedOutIn(text: string): boolean {
    return this.ids.some((id) => text.includes(id));
  }

  private about(value: string): readonly ErasureOrder[] {
    const known = this.remembered.get(value);
    if (known !== undefined) return known;
    const orders = this.orders.get(digestOfPerson(this.key, value)) ?? none;
    if (this.remembered.size >= mostRemembered) this.remembered = new Map();
    this.remembered.set(value, orders);
    return orders;
  }
}

const none: readonly ErasureOrder[] = [];
