import { hasCommonLine, type JournalGroup } from '../journal-group.js';
import { hashBytes } from '../proof/merkle-tree.js';
import { addGroupKeys, encodeEntries, type GroupKeys } from '../record-keys.js';
import { utcDayOf } from '../utc-day.js';

/** A row of `decision_group` (1764400000000-shared-log.ts), without its writer. Times in milliseconds since 1970. */
export interface SharedRow {
  /** The UTC day of `until`, in days since 1970. */
  readonly day: number;
  readonly first: number;
  readonly count: number;
  readonly since: number;
  readonly until: number;
  readonly idSince: number;
  readonly idUntil: number;
  /** An entry of `entryBytes` for each key, in no order. */
  readonly keys: Buffer;
  /** The place of the first group in its writer's tree; null for groups that were committed without. */
  readonly entry: number | null;
  /** Of each group, 2 bytes for the number of its records and 32 for the node that it completed. */
  readonly nodes: Buffer | null;
  /** Of each record its leaf and its salt. */
  readonly leaves: Buffer | null;
  readonly salts: Buffer | null;
  /** In UTF-8. */
  readonly records: Buffer;
}

/** Bytes of `nodes` for a group. */
export const groupNodeBytes = 2 + hashBytes;

/** Groups are joined up to this many records: a look-up by key reads a row whole. */
const recordLimit = 128;
/** And up to so much text, in bytes. */
const textLimit = 256 * 1024;
/** Rows that span more, in milliseconds, are looked at by every page that begins behind them (shared-log's second index). */
const spanLimit = 1_000;

/** Groups that become one row. Putting their bytes together takes a tenth of a millisecond, so it is a step of its own (`rowOf`). */
export interface JoinedGroups {
  readonly groups: readonly JournalGroup[];
  readonly bounds: Bounds;
  /** The UTC day of the row, in days since 1970. */
  readonly day: number;
}

/**
 * Says which groups become a row together, of groups that follow on each other: PostgreSQL compresses no row under 2 kB,
 * and each costs 40 bytes beside its text. The records' lines stay as they are.
 */
export function joinGroups(groups: readonly JournalGroup[]): JoinedGroups[] {
  const rows: JoinedGroups[] = [];
  let joined: JournalGroup[] = [];
  let bounds: Bounds | undefined;
  const end = () => {
    if (bounds !== undefined) rows.push({ groups: joined, bounds, day: utcDayOf(bounds.until) });
  };
  for (const group of groups) {
    const next = bounds && joinBounds(bounds, group);
    if (next !== undefined && fits(next, joined.at(-1)!, group)) {
      joined.push(group);
      bounds = next;
    } else {
      end();
      joined = [group];
      bounds = { ...group, length: group.text.length };
    }
  }
  end();
  return rows;
}

interface Bounds extends Pick<SharedRow, 'first' | 'count' | 'since' | 'until' | 'idSince' | 'idUntil'> {
  readonly length: number;
}

function joinBounds(a: Bounds, b: JournalGroup): Bounds {
  return {
    first: a.first,
    count: a.count + b.count,
    since: Math.min(a.since, b.since),
    until: Math.max(a.until, b.until),
    idSince: Math.min(a.idSince, b.idSince),
    idUntil: Math.max(a.idUntil, b.idUntil),
    length: a.length + b.text.length,
  };
}

function fits({ count, since, until, length }: Bounds, last: JournalGroup, next: JournalGroup): boolean {
  return (
    next.first === last.first + last.count &&
    next.proof?.tree === last.proof?.tree &&
    // Between the two in the tree may be the note of a gap.
    (next.proof === undefined || next.proof.entry === last.proof!.entry + 1) &&
    count <= recordLimit &&
    length <= textLimit &&
    until - since <= spanLimit &&
    utcDayOf(last.until) === utcDayOf(next.until) &&
    // A group of whole records has no line of shared members, which would tell where it begins.
    hasCommonLine(next.text)
  );
}

export function rowOf({ groups, bounds, day }: JoinedGroups): SharedRow {
  const [{ entries, text }] = groups as [JournalGroup];
  const { first, count, since, until, idSince, idUntil } = bounds;
  const isOne = groups.length === 1;
  return {
    day,
    first,
    count,
    since,
    until,
    idSince,
    idUntil,
    keys: isOne ? entries : joinedEntries(groups),
    ...joinedProofs(groups),
    records: isOne ? text : joinedTexts(groups),
  };
}

function joinedProofs(groups: readonly JournalGroup[]): Pick<SharedRow, 'entry' | 'nodes' | 'leaves' | 'salts'> {
  const proofs = groups.flatMap(({ proof }) => proof ?? []);
  const [first] = proofs;
  if (first === undefined) return { entry: null, nodes: null, leaves: null, salts: null };
  const nodes = Buffer.allocUnsafe(proofs.length * groupNodeBytes);
  for (const [i, { node }] of proofs.entries()) {
    node.copy(nodes, nodes.writeUInt16BE(groups[i]!.count, i * groupNodeBytes));
  }
  const isOne = proofs.length === 1;
  return {
    entry: first.entry,
    nodes,
    leaves: isOne ? first.leaves : Buffer.concat(proofs.map(({ leaves }) => leaves)),
    salts: isOne ? first.salts : Buffer.concat(proofs.map(({ salts }) => salts)),
  };
}

const lineFeed = Buffer.from('\n');

/** A line feed is between lines alone. */
function joinedTexts(groups: readonly JournalGroup[]): Buffer {
  return Buffer.concat(groups.flatMap(({ text }, i) => (i === 0 ? [text] : [lineFeed, text])));
}

/** The keys of all groups; the masks of each are turned to the places that its records have in the row. */
function joinedEntries(groups: readonly JournalGroup[]): Buffer {
  const joined: GroupKeys = new Map();
  let place = 0;
  for (const { entries, count } of groups) {
    addGroupKeys(joined, entries, place);
    place += count;
  }
  return encodeEntries(joined, place);
}
