/**
 * How audit events are chained: in the order in which they were committed, each with a leaf of its own and a link that holds all
 * leaves before it.
 *
 *     text   the event as a list in JSON: id, time, type, actor, method, address, policy set, detail, request, version
 *            before, version after, count; null where it has none
 *     leaf   SHA-256(0x00 ‖ salt ‖ place ‖ text); 0x02 in place of 0x00 where the event was in the table before it was chained
 *     link   SHA-256(0x01 ‖ link before ‖ leaf); before the first one there are 32 zero bytes
 *
 * The salt has 16 random bytes, so that nobody can guess from a leaf what it is of. The place has 8 bytes, big-endian, and counts
 * from 0.
 */
import { hash, randomBytes } from 'node:crypto';
import type { AuditRow } from './audit-row.js';

/** How far events are chained: how many, and the last link. */
export interface ChainEnd {
  readonly events: number;
  readonly link: Buffer;
}

/** What proves an event. */
export interface ChainedRow extends AuditRow {
  readonly place: number;
  readonly salt: Buffer;
  readonly leaf: Buffer;
  readonly link: Buffer;
}

export const chainBeginning: ChainEnd = { events: 0, link: Buffer.alloc(32) };
const saltBytes = 16;

/**
 * Chains events behind an end, in this order.
 *
 * @param isAdopted whether they were in the table before, so that nobody knows who added them
 */
export function chainEvents(end: ChainEnd, rows: readonly AuditRow[], isAdopted = false): ChainedRow[] {
  const salts = randomBytes(rows.length * saltBytes);
  let { link } = end;
  return rows.map((row, i) => {
    const place = end.events + i;
    const salt = salts.subarray(i * saltBytes, (i + 1) * saltBytes);
    const leaf = leafOfEvent(row, place, salt, isAdopted);
    link = linkAfter(link, leaf);
    return { ...row, place, salt, leaf, link };
  });
}

export function leafOfEvent(row: AuditRow, place: number, salt: Buffer, isAdopted = false): Buffer {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(place));
  return sha256(Buffer.from([isAdopted ? 2 : 0]), salt, number, Buffer.from(textOfEvent(row)));
}

export function linkAfter(before: Buffer, leaf: Buffer): Buffer {
  return sha256(Buffer.from([1]), before, leaf);
}

function textOfEvent(row: AuditRow): string {
  const { id, time, type, actor, method, address, policy_set, detail, request_id, from_version, to_version } = row;
  const members = [actor, method, address, policy_set, detail, request_id, from_version, to_version];
  return JSON.stringify([id, time, type, ...members, row.count]);
}

function sha256(...parts: Buffer[]): Buffer {
  return hash('sha256', Buffer.concat(parts), 'buffer');
}

/**
 * What the retention signs when it removes the oldest events: how many are gone, and the link of the last of them.
 *
 *     verdict audit
 *     <number of events>
 *     <link, base64>
 *     time <RFC 3339>
 *     anchor
 */
export function anchorText({ events, link }: ChainEnd, time: number): string {
  return `verdict audit\n${events}\n${link.toString('base64')}\ntime ${new Date(time).toISOString()}\nanchor\n`;
}

/** Reads such a text, without its signature; undefined for another form. */
export function readAnchorText(text: string): ChainEnd | undefined {
  const [, events, link] = /^verdict audit\n(\d{1,15})\n([A-Za-z0-9+/]{43}=)\ntime \S{24}\nanchor\n$/.exec(text) ?? [];
  return events === undefined || link === undefined
    ? undefined
    : { events: Number(events), link: Buffer.from(link, 'base64') };
}

/** Up to where the chain was removed, with the signed note that says so; null without a key. */
export interface ChainAnchor extends ChainEnd {
  readonly note: string | null;
}

/** The chain of events where it lies. */
export interface StoredAuditChain {
  /** Undefined where the row is not there, which the service makes with the table. */
  anchor(): Promise<ChainAnchor | undefined>;

  /** Events from this place on, in their order; at most `most`. */
  from(place: number, most: number): Promise<readonly ChainedRow[]>;

  /** Number of events that nothing proves: those of earlier releases, and those that somebody else added to the table. */
  unchained(): Promise<number>;

  /**
   * The ids of those of them that came after the oldest event of the chain, at most `most`, the lowest first: this release gives each
   * event its place as it adds it.
   */
  unchainedBehind(most: number): Promise<readonly number[]>;
}
