import {
  type ChainAnchor,
  type ChainedRow,
  chainBeginning,
  leafOfEvent,
  linkAfter,
  readAnchorText,
  type StoredAuditChain,
} from '../../audit/audit-chain.js';
import type { AuditHead } from '../../decision-log/proof/fleet-checkpoint.js';
import type { Finding, VerificationDepth } from '../../decision-log/proof/log-verification.js';
import { type NoteKey, openNote } from '../../decision-log/proof/signed-note.js';

/** What a checkpoint of the fleet says of the audit events, and where it is. */
export interface SignedAuditHead extends AuditHead {
  readonly place: string;
}

export interface AuditReport {
  /** Events that are in the chain. */
  readonly events: number;
  /** Events that nothing proves: an earlier release recorded them, or somebody else added them to the table. */
  readonly unproved: number;
  /**
   * Events in the chain that were as those are before they were chained, each of them a finding; 0 at the depth `structure`, which
   * does not tell them.
   */
  readonly adopted: number;
  /** Events that no checkpoint is about yet. */
  readonly unsigned: number;
}

const eventsAtOnce = 500;
/** Most events without a place that are named one by one. */
const mostNamed = 1_000;
const where = 'the audit events';
const cameOtherwise =
  'came into the table without proof: from an earlier release that ran beside this one, or from somebody else';

/**
 * Verifies the chain of audit events where it lies, also while services add to it, in constant memory.
 *
 * @param heads from all checkpoints of the fleet, which were read before
 * @param hear hears of each finding, in the order of the chain
 */
export async function verifyAuditChain(
  chain: StoredAuditChain,
  options: {
    readonly keys: readonly NoteKey[];
    readonly heads: readonly SignedAuditHead[];
    readonly depth: VerificationDepth;
    readonly hear: (finding: Finding) => void;
  },
): Promise<AuditReport> {
  const { keys, depth, hear } = options;
  const heads = options.heads.toSorted((a, b) => a.events - b.events);
  let end = chainBeginning;
  /** Whether the link before is known: behind an event that is missing, the chain is followed from the next one on. */
  let isSure = true;
  let [events, adopted, signedTo, next] = [0, 0, 0, 0];
  const wrong = (what: string) => hear({ kind: 'wrong', place: where, what });
  const missing = (what: string) => hear({ kind: 'missing', place: where, what });

  const first = await chain.anchor();
  if (first === undefined) missing('the row that says how far the retention removed them (audit_chain)');
  let isAnchorWrong = false;

  /** Goes on where the retention ended, where that is what is missing. */
  const skipRemoved = async (to: number) => {
    const anchor = await chain.anchor();
    if (anchor === undefined || anchor.events <= end.events || anchor.events > to) return;
    if (!isSigned(anchor, keys)) {
      isAnchorWrong = true;
      missing(
        `events ${end.events + 1} to ${anchor.events} of the chain; no signed note says that the retention removed them`,
      );
    }
    end = { events: anchor.events, link: anchor.link };
    // Those about events that are gone.
    while (next < heads.length && heads[next]!.events < end.events) next++;
    isSure = true;
  };

  const compareHeads = (id: number | undefined) => {
    for (; next < heads.length && heads[next]!.events <= end.events; next++) {
      const { events: count, link, place } = heads[next]!;
      if (count < end.events || !isSure) continue;
      if (link.equals(end.link)) signedTo = events;
      else
        wrong(
          `the events up to ${id === undefined ? 'the first' : `id ${id}`} are not those that a checkpoint signs (${place})`,
        );
    }
  };

  const take = (row: ChainedRow) => {
    events++;
    if (depth === 'content' && !leafOfEvent(row, row.place, row.salt).equals(row.leaf)) {
      if (leafOfEvent(row, row.place, row.salt, true).equals(row.leaf)) {
        adopted++;
        wrong(`the event with the id ${row.id} ${cameOtherwise}`);
      } else wrong(`the event with the id ${row.id} is not the one that was recorded`);
    }
    const link = linkAfter(end.link, row.leaf);
    if (isSure && !link.equals(row.link)) wrong(`the event with the id ${row.id} does not follow on the one before it`);
    isSure = true;
    end = { events: row.place + 1, link: row.link };
    compareHeads(row.id);
  };

  for (let from = 0; ; ) {
    const rows = await chain.from(from, eventsAtOnce);
    for (const row of rows) {
      if (row.place > end.events) await skipRemoved(row.place);
      if (row.place > end.events) {
        missing(`${row.place - end.events} of the events before the one with the id ${row.id}`);
        isSure = false;
      } else if (row.place < end.events) {
        wrong(`the event with the id ${row.id} has a place in the chain that another one has`);
        isSure = false;
      }
      if (isReadable(row)) take(row);
      else {
        wrong(`what proves the event with the id ${row.id} cannot be read`);
        events++;
        isSure = false;
        end = { events: row.place + 1, link: end.link };
      }
    }
    if (rows.length < eventsAtOnce) break;
    from = rows.at(-1)!.place + 1;
  }
  await skipRemoved(Number.MAX_SAFE_INTEGER);
  compareHeads(undefined);
  if (first !== undefined && !isAnchorWrong && !isBeginning(first) && !isSigned(first, keys))
    wrong('the row that says how far the retention removed them (audit_chain) was changed');
  const newest = heads.at(-1);
  if (newest !== undefined && newest.events > end.events) {
    missing(`the newest ${newest.events - end.events} events, which a checkpoint signs (${newest.place})`);
  }
  for (const id of await chain.unchainedBehind(mostNamed)) wrong(`the event with the id ${id} ${cameOtherwise}`);
  return { events, unproved: await chain.unchained(), adopted, unsigned: events - signedTo };
}

function isReadable({ salt, leaf, link }: ChainedRow): boolean {
  return salt?.length === 16 && leaf?.length === 32 && link?.length === 32;
}

/** Whether nothing was removed. */
function isBeginning({ events, link, note }: ChainAnchor): boolean {
  return events === 0 && note === null && link.equals(chainBeginning.link);
}

function isSigned({ events, link, note }: ChainAnchor, keys: readonly NoteKey[]): boolean {
  const open = note === null ? undefined : openNote(note, keys);
  const said = open === undefined || open.signers.length === 0 ? undefined : readAnchorText(open.text);
  return said !== undefined && said.events === events && said.link.equals(link);
}
