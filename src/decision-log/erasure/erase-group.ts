import { idMilliseconds } from '../decision-ids.js';
import type { NewDecisionRecord } from '../decision-record.js';
import { type CommonMembers, groupText } from '../group-text.js';
import { isRecordLine } from '../line-time.js';
import { saltBytes } from '../proof/group-hashes.js';
import { type CommonTexts, commonTexts } from '../record-texts.js';
import { type RecordedLine, readCommonLine, readRecordLine, writeRecordLine } from '../recorded-lines.js';
import { type ErasableMembers, type ErasedMembers, eraseFromRecord } from './erase-record.js';
import type { RecordErasure } from './record-erasure.js';
import type { ErasureOrder, StandingOrders } from './standing-orders.js';

export interface GroupEraser {
  readonly standing: Pick<StandingOrders, 'covering'>;
  /** Whether a record is kept from erasure. Without it none is. */
  readonly isHeld?: ((record: Pick<NewDecisionRecord, 'policySet' | 'time'>) => boolean) | undefined;
  /**
   * Signs a record as it is after the erasure (`signErasure`); undefined where nothing proves the group.
   *
   * @param whole its text as a whole, whose `erased` has no signature
   */
  readonly sign?: ((sequence: number, whole: string) => string) | undefined;
}

/** What became of a text. */
export interface ErasedGroup {
  readonly text: string;
  /** The places, from 0, of the records that were rewritten. */
  readonly places: readonly number[];
  /** How many records the text has. */
  readonly records: number;
  readonly counts: ErasureCounts;
}

/** Numbers of records. */
export interface OrderCounts {
  /** Rewritten: about the person. */
  readonly about: number;
  /** Rewritten: named the person. */
  readonly named: number;
  /** Left as they are, since they are held. */
  readonly held: number;
}

/** What became of records. */
export class ErasureCounts {
  private readonly orders = new Map<string, OrderCounts>();

  /** Records of which nobody can say whom they name: their text or their file is damaged, or its key is not there. */
  unreadable = 0;

  get isEmpty(): boolean {
    return this.orders.size === 0 && this.unreadable === 0;
  }

  /** Of an order, by its id. */
  of(order: string): OrderCounts {
    return this.orders.get(order) ?? nothing;
  }

  add({ orders, unreadable }: ErasureCounts): void {
    this.unreadable += unreadable;
    for (const [id, more] of orders) this.addTo(id, more);
  }

  /** Takes note of a record. */
  count({ orders, about }: ErasedMembers, isHeld: boolean): void {
    for (const order of orders) {
      const isAbout = about.includes(order);
      this.addTo(order.id, {
        about: isAbout && !isHeld ? 1 : 0,
        named: isAbout || isHeld ? 0 : 1,
        held: isHeld ? 1 : 0,
      });
    }
  }

  private addTo(id: string, more: OrderCounts): void {
    const { about, named, held } = this.of(id);
    this.orders.set(id, { about: about + more.about, named: named + more.named, held: held + more.held });
  }
}

const nothing: OrderCounts = { about: 0, named: 0, held: 0 };

/**
 * Erases persons from the text of a group, or of several that follow on each other (group-text.ts). Lines of records that name
 * nobody stay as they are, unless what they shared with others changes.
 *
 * @param first the sequence of the first record
 */
export function eraseFromGroup(first: number, text: string, eraser: GroupEraser): ErasedGroup {
  const counts = new ErasureCounts();
  const places: number[] = [];
  const written: string[] = [];
  const lines = text.split('\n');
  let place = 0;
  for (let at = 0; at < lines.length; ) {
    const hasCommon = !isRecordLine(lines[at]!);
    let end = at + 1;
    while (end < lines.length && isRecordLine(lines[end]!)) end++;
    const part = { lines: lines.slice(hasCommon ? at + 1 : at, end), first: first + place, counts };
    const erased = hasCommon ? eraseShared(lines[at]!, part, eraser) : eraseWhole(part, eraser);
    written.push(...erased.lines);
    places.push(...erased.places.map((each) => place + each));
    place += part.lines.length;
    at = end;
  }
  return { text: places.length === 0 ? text : written.join('\n'), places, records: place, counts };
}

/** The salts of a group without those of the records at these places. */
export function withoutSalts(salts: Buffer, places: readonly number[]): Buffer {
  const rest = Buffer.from(salts);
  for (const place of places) rest.fill(0, place * saltBytes, (place + 1) * saltBytes);
  return rest;
}

interface Part {
  readonly lines: readonly string[];
  /** Sequence of its first record. */
  readonly first: number;
  readonly counts: ErasureCounts;
}

interface ErasedLines {
  readonly lines: readonly string[];
  readonly places: readonly number[];
}

/** A line of shared members, and the records that share them. */
function eraseShared(commonLine: string, { lines, first, counts }: Part, eraser: GroupEraser): ErasedLines {
  const common = readCommonLine(commonLine);
  const records = lines.map((line) => (common === undefined ? undefined : readRecordLine(line, common.members)));
  counts.unreadable += records.filter((record) => record === undefined).length;
  const before = common && commonTexts(common.members);
  const erased = records.map((record) => record && erasedRecord(record, before!, eraser, counts));
  const places = [...erased.keys()].filter((place) => erased[place] !== undefined);
  if (common === undefined || places.length === 0) return { lines: [commonLine, ...lines], places: [] };
  const members = withoutPersons(common.members, records, erased);
  const texts = commonTexts(members);
  const isAsBefore = members.caller === common.members.caller;
  const made = lines.map((line, place) => {
    const record = erased[place];
    if (record !== undefined) return lineOf(signed(record, first + place, texts, eraser), texts, line);
    // What it shared is another one now, so its line has to say what it did not say before.
    const own = records[place];
    return isAsBefore || own === undefined ? line : lineOf(own, texts, line);
  });
  return { lines: [groupText(members, common.writer, []).slice(0, -1), ...made], places };
}

/** What they share, without a caller who was erased from one of them. */
function withoutPersons(
  members: CommonMembers,
  records: readonly (RecordedLine | undefined)[],
  erased: readonly (RecordedLine | undefined)[],
): CommonMembers {
  const place = records.findIndex((record, at) => {
    return record?.caller === members.caller && erased[at] !== undefined && erased[at].caller !== members.caller;
  });
  return place === -1 ? members : { ...members, caller: erased[place]!.caller };
}

function lineOf(record: RecordedLine, texts: CommonTexts, before: string): string {
  return writeRecordLine(record, texts)?.line ?? before;
}

function signed(record: RecordedLine, sequence: number, texts: CommonTexts, { sign }: GroupEraser): RecordedLine {
  const made = sign && writeRecordLine(record, texts);
  if (made === undefined) return record;
  return { ...record, erased: { ...record.erased!, signature: sign!(sequence, made.whole) } };
}

function erasedRecord(
  record: RecordedLine,
  common: CommonTexts,
  eraser: GroupEraser,
  counts: ErasureCounts,
): RecordedLine | undefined {
  const erased = tryErasing(record, record.time, eraser, counts);
  if (erased === undefined) return undefined;
  const made = { ...record, ...erased.members, erased: markOf(record.erased, erased.orders) };
  if (writeRecordLine(made, common) === undefined) {
    counts.unreadable++;
    return undefined;
  }
  return mayBeErased(record, erased, eraser, counts) ? made : undefined;
}

/** Records of 0.1, each whole in its line. */
function eraseWhole({ lines, counts }: Part, eraser: GroupEraser): ErasedLines {
  const places: number[] = [];
  const made = lines.map((line, place) => {
    const own = parsed(line);
    const time = own && (own.time === undefined ? idMilliseconds(own.id) : Date.parse(own.time));
    if (own === undefined || time === undefined || Number.isNaN(time)) {
      counts.unreadable++;
      return line;
    }
    const whole = { errors: [], obligations: [], caller: '', ...own };
    const erased = tryErasing(whole, time, eraser, counts);
    if (erased === undefined || !mayBeErased({ policySet: own.policySet, time }, erased, eraser, counts)) return line;
    places.push(place);
    return JSON.stringify({ ...own, ...erased.members, erased: markOf(own.erased, erased.orders) });
  });
  return { lines: made, places };
}

// biome-ignore lint/suspicious/noExplicitAny: what a line of 0.1 is, its writer knew
function parsed(line: string): any {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** A record without the members that every record has counts as unreadable. */
function tryErasing(
  record: ErasableMembers,
  time: number,
  { standing }: GroupEraser,
  counts: ErasureCounts,
): ErasedMembers | undefined {
  try {
    return eraseFromRecord(record, time, standing);
  } catch {
    counts.unreadable++;
    return undefined;
  }
}

function mayBeErased(
  record: Pick<NewDecisionRecord, 'policySet' | 'time'>,
  erased: ErasedMembers,
  { isHeld }: GroupEraser,
  counts: ErasureCounts,
): boolean {
  const stays = isHeld?.(record) === true;
  counts.count(erased, stays);
  return !stays;
}

/** The marks of earlier erasures and of these; a signature from before is not right any more. */
function markOf(before: RecordErasure | undefined, orders: readonly ErasureOrder[]): RecordErasure {
  const known = before?.erasures ?? [];
  const added = orders.filter(({ id }) => known.every((mark) => mark.id !== id));
  return { erasures: [...known, ...added.map(({ id, time }) => ({ id, time: new Date(time).toISOString() }))] };
}
