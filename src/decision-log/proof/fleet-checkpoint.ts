/**
 * A checkpoint of the fleet says how far the trees of all writers have grown, and the audit events, in one signed note that
 * names the note before it by its hash. It leaves the machine: with a note that was kept
 * elsewhere it is found out later what is missing.
 *
 *     verdict fleet
 *     <number, from 1>
 *     <SHA-256 of the text of the note before, base64; zeros for the first>
 *     time <RFC 3339>
 *     audit <number of chained events> <the last link of their chain, base64>
 *     head <name of the tree> <number of its entries> <root, base64> <sequence of its newest record>
 *
 *     — verdict-fleet <signature>
 *
 * The line `audit` is left out before the first event. There is a line `head` for each tree that a checkpoint was signed of in
 * the last day, in the order of their names.
 */

import type { Checkpoint } from './checkpoint.js';
import { hashBytes, sha256Of, type TreeHash } from './merkle-tree.js';
import { type NoteKey, type NoteSigner, openNote, signNote } from './signed-note.js';

/** How far a tree has grown. */
export type TreeHead = Pick<Checkpoint, 'tree' | 'size' | 'root' | 'sequence'>;

/** How far the chain of audit events has grown. */
export interface AuditHead {
  /** Number of events that were chained so far. */
  readonly events: number;
  /** The last link. */
  readonly link: TreeHash;
}

export interface FleetCheckpoint {
  /** From 1, without holes. */
  readonly number: number;
  /** `hashOfFleetCheckpoint` of the one before; zeros for the first. */
  readonly previous: TreeHash;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly audit?: AuditHead;
  readonly heads: readonly TreeHead[];
}

/** What a store keeps beside one, to find it. */
export type FleetCheckpointName = Pick<FleetCheckpoint, 'number' | 'time'>;

/** What the first one names as the one before. */
export const beforeFirst: TreeHash = Buffer.alloc(hashBytes);

export function signFleetCheckpoint(checkpoint: FleetCheckpoint, signer: NoteSigner): string {
  return signNote(fleetText(checkpoint), [signer]);
}

/** The hash by which the next note names this one: of its text, without its signatures. */
export function hashOfFleetCheckpoint(note: string): TreeHash {
  return sha256Of(Buffer.from(note.slice(0, note.lastIndexOf('\n\n') + 1)));
}

function fleetText({ number, previous, time, audit, heads }: FleetCheckpoint): string {
  const lines = [
    firstLine,
    `${number}`,
    previous.toString('base64'),
    `time ${new Date(time).toISOString()}`,
    ...(audit === undefined ? [] : [`audit ${audit.events} ${audit.link.toString('base64')}`]),
    ...heads.map(({ tree, size, root, sequence }) => `head ${tree} ${size} ${root.toString('base64')} ${sequence}`),
  ];
  return `${lines.join('\n')}\n`;
}

const firstLine = 'verdict fleet';

/** Whether a note is a checkpoint of the fleet, by its first line. */
export function isFleetCheckpoint(note: string): boolean {
  return note.startsWith(`${firstLine}\n`);
}

/** Reads what a note says without looking at its signatures; undefined for a text of another form. */
export function readFleetCheckpoint(text: string): FleetCheckpoint | undefined {
  const match = form.exec(text);
  if (match === null) return undefined;
  const [, number, previous, time, events, link, heads = ''] = match;
  const checkpoint: FleetCheckpoint = {
    number: Number(number),
    previous: Buffer.from(previous!, 'base64'),
    time: Date.parse(time!),
    ...(events !== undefined && { audit: { events: Number(events), link: Buffer.from(link!, 'base64') } }),
    heads: [...heads.matchAll(head)].map(([, tree, size, root, sequence]) => ({
      tree: tree!,
      size: Number(size),
      root: Buffer.from(root!, 'base64'),
      sequence: Number(sequence),
    })),
  };
  if (Number.isNaN(checkpoint.time)) return undefined;
  return fleetText(checkpoint) === text ? checkpoint : undefined;
}

const hashText = '[A-Za-z0-9+/]{43}=';
const numberText = '\\d{1,16}';
const head = new RegExp(`head ([0-9a-f]{32}) (${numberText}) (${hashText}) (${numberText})\\n`, 'g');
const form = new RegExp(
  `^${firstLine}\\n(${numberText})\\n(${hashText})\\ntime (\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z)\\n` +
    `(?:audit (${numberText}) (${hashText})\\n)?((?:${head.source})*)$`,
);

/** Reads a note that one of these keys signed; undefined where none of them did, or for a text of another form. */
export function openFleetCheckpoint(note: string, keys: readonly NoteKey[]): FleetCheckpoint | undefined {
  const open = openNote(note, keys);
  return open === undefined || open.signers.length === 0 ? undefined : readFleetCheckpoint(open.text);
}
