/**
 * How the records of a group are written down: a line with what its first record shares with the others, then a line
 * for each record with what is its own.
 *
 *     {"policySet":"invoices","policyVersion":"sha256:9f86…","engineVersion":"0.1.0","semantics":2,…,"writer":7}
 *     {"id":"0199c2f6-…","request":{…},"decision":"allow","reason":{…},"requestId":"r-1","durationUs":12}
 *     {"id":"0199c2f6-…","caller":"crm","request":{…},"decision":"deny",…}
 *
 * Left out of a record's line is what reading puts back: members equal to the common ones; `time` when the id holds the
 * same millisecond; `clock` when it is the time; `errors` and `obligations` when there are none; `sequence`, which the
 * line's place gives. `revision` is null where the common one is not the record's and it has none. Records of 0.1 name no `semantics`: it is 1; and no
 * `instance`: it is not known. That is two fifths of a typical record, on every way that its text goes. JSON text holds
 * no line feed of its own. The lines of records are made in record-texts.ts.
 *
 * A text can hold several groups that follow on each other: each line of shared members begins the next one. It begins
 * with the policy set and a record's line with its id, so the two are told apart without being parsed.
 */
import { semanticsBeforeNumbers } from '../core/semantics.js';
import { idMilliseconds } from './decision-ids.js';
import type { DecisionRecord, NewDecisionRecord } from './decision-record.js';
import { isRecordLine } from './line-time.js';
import { timeText } from './time-text.js';

/** What records of one moment mostly agree in. */
export type CommonMembers = Pick<
  NewDecisionRecord,
  'policySet' | 'policyVersion' | 'revision' | 'engineVersion' | 'semantics' | 'caller' | 'authentication' | 'via'
> &
  Pick<DecisionRecord, 'instance'>;

export function commonMembers(record: NewDecisionRecord, instance?: string): CommonMembers {
  const { policySet, policyVersion, revision, engineVersion, semantics, caller, authentication, via } = record;
  return { policySet, policyVersion, revision, engineVersion, semantics, caller, authentication, via, instance };
}

export function groupText(common: CommonMembers, writer: number, lines: readonly string[]): string {
  return `${JSON.stringify({ ...common, writer })}\n${lines.join('\n')}`;
}

/** A group as the journal keeps it. */
export interface StoredGroup {
  /** The sequence of its first record. */
  readonly first: number;
  /** How many records it has, where that is known: with it a damaged text is read that has lost line feeds. */
  readonly count?: number;
  /** Its text. */
  readonly records: string;
}

/** Whether a text, of a record's own members or of the common ones, has in it what is looked for. */
export type TextTest = (text: string) => boolean;

/**
 * The records of a group, newest first. Only those are parsed whose own members or common ones pass each of the tests.
 * `unreadable` hears the sequences of records whose text is not what was written (a damaged page); without it they throw.
 */
export function recordsOf(
  group: StoredGroup,
  tests: readonly TextTest[] = [],
  unreadable?: (sequence: number) => void,
): Generator<DecisionRecord> {
  return readLines(group, tests, unreadable, wholeRecord);
}

/** What a record is found and counted by. `time` in milliseconds since 1970, undefined where it cannot be read. */
export type BriefRecord = Pick<
  DecisionRecord,
  'id' | 'policySet' | 'policyVersion' | 'request' | 'decision' | 'reason' | 'caller' | 'requestId' | 'sequence'
> & { readonly time: number | undefined };

/** The same of each record, without putting it together: shipping a journal from its files reads every record. */
export function briefRecordsOf(group: StoredGroup, unreadable: (sequence: number) => void): Generator<BriefRecord> {
  return readLines(group, [], unreadable, briefRecord);
}

type Make<Made> = (own: OwnMembers, common: StoredCommon, sequence: number) => Made;

/**
 * A text in which a damaged page has taken line feeds away, so that it has fewer lines than records. Lines before the first
 * one that cannot be read have their place from the beginning, those behind the last one from the end; between them nobody
 * can say which record a line is.
 */
function* readAroundDamage<Made>(
  { first, count }: { readonly first: number; readonly count: number },
  commonLine: string,
  texts: readonly string[],
  tests: readonly TextTest[],
  unreadable: (sequence: number) => void,
  make: Make<Made>,
): Generator<Made> {
  const common = parsed(commonLine, unreadable);
  const all = texts.map((line) => (common === undefined ? undefined : parsed(line, unreadable)));
  // Of several groups nobody can say which one a line is of.
  const isOne = !texts.some((line) => line.startsWith(commonBeginning));
  const isFoundOut = isOne && common !== undefined && all.includes(undefined) && texts.length < count;
  const before = isFoundOut ? all.indexOf(undefined) : 0;
  const behind = isFoundOut ? all.length - 1 - all.lastIndexOf(undefined) : 0;
  const ownTests = tests.filter((test) => !test(commonLine));
  for (let place = count - 1; place >= 0; place--) {
    if (place >= before && place < count - behind) {
      unreadable(first + place);
      continue;
    }
    const at = place < before ? place : all.length - (count - place);
    if (!ownTests.every((test) => test(texts[at]!))) continue;
    const made = madeOf(make, all[at], common, first + place, unreadable);
    if (made !== undefined) yield made;
  }
}

function* readLines<Made>(
  { first, count, records }: StoredGroup,
  tests: readonly TextTest[],
  unreadable: ((sequence: number) => void) | undefined,
  make: Make<Made>,
): Generator<Made> {
  const lines = records.split('\n');
  // Groups were once written with whole records in their lines, and nothing before the first.
  const hasCommon = !isRecordLine(lines[0]!);
  const starts = lines.flatMap((line, i) => (i > 0 && line.startsWith(commonBeginning) ? [i] : []));
  const written = lines.length - starts.length - (hasCommon ? 1 : 0);
  if (count !== undefined && written !== count && unreadable !== undefined) {
    const [commonLine, texts] = hasCommon ? [lines[0]!, lines.slice(1)] : ['{}', lines];
    yield* readAroundDamage({ first, count }, commonLine, texts, tests, unreadable, make);
    return;
  }
  let sequence = first + written;
  starts.unshift(hasCommon ? 0 : -1);
  for (let end = lines.length; end > 0; ) {
    const start = starts.pop()!;
    const commonLine = lines[start] ?? '{}';
    const common = parsed(commonLine, unreadable);
    const ownTests = tests.filter((test) => !test(commonLine));
    for (let i = end - 1; i > start; i--) {
      sequence--;
      const line = lines[i]!;
      if (common !== undefined && !ownTests.every((test) => test(line))) continue;
      const own = common === undefined ? undefined : parsed(line, unreadable);
      const made = own === undefined ? undefined : madeOf(make, own, common, sequence, unreadable);
      if (made !== undefined) yield made;
      else if (own === undefined) unreadable?.(sequence);
    }
    end = start;
  }
}

/** Undefined, and told of, for JSON that cannot be a record: its id was damaged, say, and holds no time. */
function madeOf<Made>(
  make: Make<Made>,
  own: OwnMembers,
  common: StoredCommon,
  sequence: number,
  unreadable: ((sequence: number) => void) | undefined,
): Made | undefined {
  try {
    return make(own, common, sequence);
  } catch (error) {
    if (unreadable === undefined) throw error;
    unreadable(sequence);
    return undefined;
  }
}

/** How a line of shared members begins. */
export const commonBeginning = '{"policySet":';

// biome-ignore lint/suspicious/noExplicitAny: what a line of a group is, its writer knows
function parsed(line: string, unreadable: unknown): any {
  try {
    const value = JSON.parse(line);
    if (value === null || typeof value !== 'object') throw new SyntaxError('a line of a group is no object');
    return value;
  } catch (error) {
    if (unreadable === undefined) throw error;
    return undefined;
  }
}

/** A record's line as it was parsed. */
type OwnMembers = Partial<Omit<DecisionRecord, 'revision'>> & { readonly revision?: number | null } & Pick<
    DecisionRecord,
    'id' | 'request' | 'decision' | 'reason' | 'requestId' | 'durationUs'
  >;

type StoredCommon = CommonMembers & Pick<DecisionRecord, 'writer'>;

/** Puts back what was left out. The members are in the order in which a person would read them. */
function wholeRecord(own: OwnMembers, common: StoredCommon, sequence: number): DecisionRecord {
  const time = own.time ?? timeOf(own.id);
  const revision = own.revision === undefined ? common.revision : (own.revision ?? undefined);
  // Written out, since spreading one object over another takes as long as parsing both.
  return {
    id: own.id,
    time,
    policySet: own.policySet ?? common.policySet,
    policyVersion: own.policyVersion ?? common.policyVersion,
    ...(revision !== undefined && { revision }),
    engineVersion: own.engineVersion ?? common.engineVersion,
    semantics: own.semantics ?? common.semantics ?? semanticsBeforeNumbers,
    request: own.request,
    ...(own.masked !== undefined && { masked: own.masked }),
    ...(own.candidate !== undefined && { candidate: own.candidate }),
    clock: own.clock ?? time,
    decision: own.decision,
    reason: own.reason,
    errors: own.errors ?? [],
    obligations: own.obligations ?? [],
    ...(own.search !== undefined && { search: own.search }),
    ...(own.erased !== undefined && { erased: own.erased }),
    ...(own.local !== undefined && { local: own.local }),
    ...(own.disputed !== undefined && { disputed: own.disputed }),
    caller: own.caller ?? common.caller,
    authentication: own.authentication ?? common.authentication,
    via: own.via ?? common.via,
    requestId: own.requestId,
    ...(own.traceId !== undefined && { traceId: own.traceId }),
    durationUs: own.durationUs,
    ...(common.instance !== undefined && { instance: common.instance }),
    writer: own.writer ?? common.writer,
    sequence,
  };
}

function briefRecord(own: OwnMembers, common: StoredCommon, sequence: number): BriefRecord {
  return {
    id: own.id,
    time: own.time === undefined ? idMilliseconds(own.id) : Date.parse(own.time),
    policySet: own.policySet ?? common.policySet,
    policyVersion: own.policyVersion ?? common.policyVersion,
    request: own.request,
    decision: own.decision,
    reason: own.reason,
    caller: own.caller ?? common.caller,
    requestId: own.requestId,
    sequence,
  };
}

function timeOf(id: string): string {
  return timeText(idMilliseconds(id)!);
}
