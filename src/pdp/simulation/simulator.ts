/**
 * Answers recorded decisions again on a candidate, and says how each differs from what was answered.
 *
 * Most of a log is the same few thousand questions. So a record's line is not parsed at all where its question and answer, as they
 * are written, were met before: the outcome is remembered by that text. A set that reads the clock is asked each time.
 */
import type { Diagnostic, EngineDecision } from '../../core/decision.js';
import { DataError } from '../../core/policy/data-change.js';
import { PolicyError } from '../../core/problem.js';
import type { DecisionRequest } from '../../core/request.js';
import { isSemantics, semanticsBeforeNumbers } from '../../core/semantics.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import type { CommonMembers } from '../../decision-log/group-text.js';
import { commonBeginning, recordsOf, type StoredGroup } from '../../decision-log/group-text.js';
import { isRecordLine, timeOfLine } from '../../decision-log/line-time.js';
import type { LogGap } from '../../decision-log/log-gap.js';
import { type ConditionOutcome, compileCondition, type RecordCondition } from '../../decision-log/record-condition.js';
import { MaskedEntities } from '../../decision-log/recorded-entities.js';
import { type RecordedLine, readCommonLine, readRecordLine } from '../../decision-log/recorded-lines.js';
import { asAnswered } from '../as-answered.js';
import { watchHidden } from './hidden-parts.js';
import type { Assignment, Missing, SetContent } from './messages.js';
import { RememberedOutcomes } from './remembered-outcomes.js';
import { SimulatedSet } from './simulated-set.js';
import {
  type AccessChange,
  type AskedEntity,
  type ChangeKind,
  type Counter,
  type DecidedBy,
  type ErrorName,
  type LeftOutCause,
  type RuleChange,
  SimulationTally,
  type UncheckedCause,
} from './simulation-tally.js';

/** Versions that are kept compiled. A log names them one after the other. */
const keptVersions = 4;

/** What a record must have to be answered again. */
type Question = Pick<
  DecisionRecord,
  'id' | 'policyVersion' | 'semantics' | 'request' | 'decision' | 'reason' | 'errors' | 'obligations'
> &
  Partial<Pick<DecisionRecord, 'masked' | 'erased' | 'search'>> & { readonly clock: number };

type Outcome =
  | { readonly kind: 'same'; readonly isOtherRule: boolean }
  | { readonly kind: 'left'; readonly cause: LeftOutCause }
  | {
      readonly kind: 'changed';
      readonly kinds: readonly ChangeKind[];
      readonly counters: readonly Counter[];
      readonly unchecked: UncheckedCause | undefined;
    };

const same: Outcome = { kind: 'same', isOtherRule: false };
const byOtherRule: Outcome = { kind: 'same', isOtherRule: true };
const left = (cause: LeftOutCause): Outcome => ({ kind: 'left', cause });

/** A version that records name, and the candidate as it would have been then. */
interface AskedVersion {
  readonly version: string;
  readonly semantics: number;
  readonly remembered: RememberedOutcomes<Outcome>;
  /** Fetched and compiled when it is needed: most answers are the same, and nothing is asked of the version that gave them. */
  recorded: SimulatedSet | Missing | undefined;
  /** With the live data of that version; undefined where they are not kept. */
  candidate: SimulatedSet | undefined;
}

/** Where the versions are that records name. */
export type FetchVersion = (version: string) => Promise<SetContent | Missing>;

export class Simulator {
  readonly tally = new SimulationTally();
  private readonly candidate: SimulatedSet;
  private readonly condition: RecordCondition | undefined;
  /** The one that was used last is last. */
  private readonly versions = new Map<string, AskedVersion>();

  /**
   * @throws PolicyError for a candidate that does not compile, VerdictError for a filter that does not compile
   */
  constructor(
    private readonly assignment: Assignment,
    private readonly fetchVersion: FetchVersion,
    private readonly isStopped: () => boolean = () => false,
  ) {
    this.candidate = SimulatedSet.of({ ...assignment.candidate, data: undefined }, true);
    if (assignment.filter !== undefined) this.condition = compileCondition(assignment.filter);
  }

  /** Whether the candidate is asked with the live data of its set. */
  get hasLiveData(): boolean {
    return this.candidate.hasLiveData;
  }

  /** Answers the records of groups, as the log stores them; those that are left when it is told to stop it does not count. */
  async takeGroups(groups: readonly StoredGroup[]): Promise<void> {
    for (const group of groups) {
      if (this.isStopped()) return;
      await this.takeGroup(group);
    }
  }

  /** Answers a record of an export. */
  async takeRecord(record: DecisionRecord): Promise<void> {
    const { policySet, from = 0, to = Number.MAX_SAFE_INTEGER } = this.assignment;
    if (record.policySet !== policySet) return;
    const time = Date.parse(record.time);
    if (time < from || time >= to) return;
    const outcome = this.condition === undefined ? 'met' : this.meets(record);
    if (outcome === 'not_met') return;
    this.tally.see(time);
    if (outcome === 'erred') this.tally.leave('filter_erred', record.id);
    else {
      // Records of 0.1 name none.
      const { semantics = semanticsBeforeNumbers } = record;
      await this.answer({ ...record, semantics, clock: Date.parse(record.clock) });
    }
  }

  /** Counts decisions that are missing in the log. */
  takeGap({ lost, from, to }: Pick<LogGap, 'lost' | 'from' | 'to'>): void {
    const { from: since = 0, to: until = Number.MAX_SAFE_INTEGER } = this.assignment;
    if (Date.parse(to) >= since && Date.parse(from) < until) this.tally.lose(lost);
  }

  /** What is stored of entities is in the versions, which an exported file does not have. */
  private meets(record: DecisionRecord): ConditionOutcome {
    return this.condition!.outcome(record, unknownEntities);
  }

  private async takeGroup(group: StoredGroup): Promise<void> {
    const lines = group.records.split('\n');
    if (!isAsWritten(lines, group.count)) return this.takeOddGroup(group);
    const { policySet, from = 0, to = Number.MAX_SAFE_INTEGER } = this.assignment;
    let common: ReturnType<typeof readCommonLine>;
    let asked: AskedVersion | undefined;
    for (const line of lines) {
      if (this.isStopped()) return;
      // A text can hold several groups.
      if (!isRecordLine(line)) {
        common = readCommonLine(line);
        if (typeof common?.members.policySet !== 'string' || typeof common.members.policyVersion !== 'string')
          common = undefined;
        asked = undefined;
        continue;
      }
      if (common === undefined) {
        this.tally.leave('unreadable');
        continue;
      }
      const { members } = common;
      const isPlain = line.startsWith(requestMember, requestAt);
      if (isPlain && members.policySet !== policySet) continue;
      const time = timeOfLine(line);
      if (time === undefined || time < from || time >= to) {
        // A damaged line can seem to be of another time.
        if (questionOf(line, members) === undefined) this.tally.leave('unreadable');
        continue;
      }
      const end = isPlain ? line.lastIndexOf(',"requestId":"') : -1;
      if (end === -1) {
        await this.takeLine(line, members);
        continue;
      }
      asked ??= await this.versionOf(members.policyVersion, members.semantics);
      const text = line.slice(requestAt, end);
      let outcome = asked.remembered.get(text);
      if (outcome === undefined) {
        const question = questionOf(line, members);
        if (question === undefined) {
          this.tally.leave('unreadable');
          continue;
        }
        outcome = this.tryOutcome(question, asked) ?? (await this.outcomeOf(question, asked));
        if (this.isRemembered(outcome, asked)) asked.remembered.note(text, outcome);
      }
      this.tally.see(time);
      this.count(outcome, line.slice(idAt, idAt + idLength));
    }
  }

  /** A line whose version, set or time is its own. */
  private async takeLine(line: string, members: CommonMembers): Promise<void> {
    const question = questionOf(line, members);
    if (question === undefined) return this.tally.leave('unreadable');
    if (question.policySet !== this.assignment.policySet) return;
    this.tally.see(question.time);
    await this.answer(question);
  }

  /** A group of version 0.1, or one whose text is not as it was written. */
  private async takeOddGroup(group: StoredGroup): Promise<void> {
    for (const record of recordsOf(group, [], () => this.tally.leave('unreadable'))) {
      const isRecord = isQuestion(record) && typeof record.policySet === 'string';
      if (isRecord && !Number.isNaN(Date.parse(record.time))) await this.takeRecord(record);
      else this.tally.leave('unreadable');
    }
  }

  private async answer(question: Question): Promise<void> {
    const asked = await this.versionOf(question.policyVersion, question.semantics);
    this.count(await this.outcomeOf(question, asked), question.id);
  }

  private count(outcome: Outcome, id: string): void {
    const { tally } = this;
    switch (outcome.kind) {
      case 'same':
        tally.answered++;
        if (outcome.isOtherRule) tally.otherRule++;
        break;
      case 'left':
        tally.leave(outcome.cause, id);
        break;
      case 'changed':
        tally.change(outcome.kinds, outcome.counters, outcome.unchecked, id);
        break;
      default:
        outcome satisfies never;
    }
  }

  private async outcomeOf(question: Question, asked: AskedVersion): Promise<Outcome> {
    const outcome = this.tryOutcome(question, asked);
    if (outcome !== undefined) return outcome;
    await this.load(asked);
    return this.tryOutcome(question, asked)!;
  }

  /** Undefined where the version that answered has to be loaded first. */
  private tryOutcome(question: Question, { recorded, candidate }: AskedVersion): Outcome | undefined {
    const { request, clock, masked, semantics } = question;
    if (question.erased !== undefined) return left('erased');
    if (question.search !== undefined) return left('search');
    if (!isSemantics(semantics)) return left('not_replayable');
    // Without the data of then, or with some that it could not have served with.
    if (candidate === undefined) return left(typeof recorded === 'string' ? 'live_data_not_kept' : 'drifted');
    if (candidate.isStock) return left('stock_engine');
    let asked: DecisionRequest = request;
    let wasRead = () => false;
    if (masked === true) {
      if (recorded === undefined) return undefined;
      // What was left out is known by the rules of the version alone.
      if (typeof recorded === 'string') return left('masked');
      ({ request: asked, wasRead } = watchHidden(request, recorded.dropped));
    }
    const answer = asAnswered(question, asked, candidate.decide(asked, clock));
    if (wasRead()) return left('masked');
    const kinds = kindsOf(question, answer);
    if (kinds.length === 0) return isBySame(question, answer) ? same : byOtherRule;
    if (recorded === undefined) return undefined;
    const unchecked = check(question, recorded);
    if (unchecked === 'drifted' || unchecked === 'not_replayable') return left(unchecked);
    const { rules, access } = changesOf(kinds, question, answer);
    return { kind: 'changed', kinds, counters: this.tally.countersOf(rules, access), unchecked };
  }

  private isRemembered(outcome: Outcome, { recorded, candidate }: AskedVersion): boolean {
    if (candidate?.readsClock === true) return false;
    // What is changed, or left out as drifted, depends on both.
    const isByBoth = outcome.kind !== 'same' && typeof recorded === 'object';
    return !(isByBoth && recorded.readsClock);
  }

  private async versionOf(version: string, semantics: number = semanticsBeforeNumbers): Promise<AskedVersion> {
    const key = `${version} ${semantics}`;
    const known = this.versions.get(key) ?? (await this.begin(version, semantics));
    this.versions.delete(key);
    this.versions.set(key, known);
    for (const oldest of this.versions.keys()) {
      if (this.versions.size <= keptVersions) break;
      this.versions.delete(oldest);
    }
    return known;
  }

  private async begin(version: string, semantics: number): Promise<AskedVersion> {
    const remembered = new RememberedOutcomes<Outcome>();
    const asked: AskedVersion = { version, semantics, remembered, recorded: undefined, candidate: this.candidate };
    if (this.candidate.hasLiveData) await this.load(asked);
    return asked;
  }

  private async load(asked: AskedVersion): Promise<void> {
    const content = await this.fetchVersion(asked.version);
    const isThere = typeof content !== 'string';
    asked.recorded = isThere ? compiled({ ...content, semantics: asked.semantics }) : content;
    if (!this.candidate.hasLiveData) return;
    asked.candidate = isThere ? withData(this.candidate, content) : undefined;
  }
}

const unknownEntities = new MaskedEntities('policy_version_not_found', []);

const requestMember = '"request":';
const idAt = '{"id":"'.length;
const idLength = 36;
const requestAt = idAt + idLength + '",'.length;

/**
 * Whether lines are those of whole groups: lines of records, each behind a line of shared members, and `count` of them. What is
 * not is read by those who know what damage does to a text.
 */
function isAsWritten(lines: readonly string[], count: number | undefined): boolean {
  if (isRecordLine(lines[0]!)) return false;
  let records = 0;
  for (const line of lines) {
    if (isRecordLine(line)) records++;
    else if (!line.startsWith(commonBeginning)) return false;
  }
  return count === undefined || records === count;
}

/** Undefined for a line that no record has. */
function questionOf(line: string, members: CommonMembers): (Question & RecordedLine) | undefined {
  const record = readRecordLine(line, members);
  // An id that is none has no time.
  if (record === undefined || !isQuestion(record) || !Number.isFinite(record.time)) return undefined;
  return { ...record, semantics: record.semantics ?? semanticsBeforeNumbers };
}

/** Whether damage has left what is asked and answered. */
function isQuestion({ request, decision }: Partial<Pick<Question, 'request' | 'decision'>>): boolean {
  return typeof request?.subject?.id === 'string' && (decision === 'allow' || decision === 'deny');
}

function compiled(content: SetContent): SimulatedSet | Missing {
  try {
    if (content.semantics !== undefined && !isSemantics(content.semantics)) return 'policy_version_not_found';
    return SimulatedSet.of(content);
  } catch (error) {
    // It can no longer be loaded as it was read then.
    if (error instanceof PolicyError || error instanceof DataError) return 'policy_version_not_found';
    throw error;
  }
}

/** Undefined where the live data of then do not fit the candidate: it could not have served. */
function withData(candidate: SimulatedSet, { data }: SetContent): SimulatedSet | undefined {
  try {
    return candidate.with(data);
  } catch (error) {
    if (error instanceof DataError || error instanceof PolicyError) return undefined;
    throw error;
  }
}

/** Whether the version that answered still gives that answer; undefined when it does. */
function check(
  question: Question,
  recorded: SimulatedSet | Missing,
): UncheckedCause | 'drifted' | 'not_replayable' | undefined {
  if (typeof recorded === 'string') return recorded;
  if (recorded.isStock) return 'stock_engine';
  const { request, clock, masked } = question;
  const watched = masked === true ? watchHidden(request, recorded.dropped) : { request, wasRead: () => false };
  const again = asAnswered(question, watched.request, recorded.decide(watched.request, clock));
  if (watched.wasRead()) return 'masked';
  // Version 0.1 did not count the steps of functions and roles.
  if (question.semantics === semanticsBeforeNumbers && (isEnded(question) || isEnded(again))) return 'not_replayable';
  const isAsRecorded = isBySame(question, again) && kindsOf(question, again).length === 0;
  return isAsRecorded ? undefined : 'drifted';
}

type Answered = Pick<EngineDecision, 'decision' | 'reason' | 'errors' | 'obligations'>;

function isEnded({ errors }: Pick<EngineDecision, 'errors'>): boolean {
  return errors.some(({ code }) => code === 'step_budget_exceeded');
}

function kindsOf(before: Answered, after: Answered): ChangeKind[] {
  const kinds: ChangeKind[] = [];
  if (before.decision !== after.decision) kinds.push(after.decision === 'allow' ? 'gain' : 'loss');
  else if (!isSameJson(before.obligations, after.obligations)) kinds.push('obligations');
  if (before.errors.length === 0 && after.errors.length === 0) return kinds;
  const [old, current] = [before.errors, after.errors].map((errors) => new Set(errors.map(errorKey)));
  if ([...current!].some((key) => !old!.has(key))) kinds.push('error_appeared');
  if ([...old!].some((key) => !current!.has(key))) kinds.push('error_gone');
  return kinds;
}

/** An error is the same in another line of the file. */
function errorKey({ code, rule }: Diagnostic): string {
  return JSON.stringify([code, rule]);
}

function isSameJson(before: readonly unknown[], after: readonly unknown[]): boolean {
  if (before.length === 0 && after.length === 0) return true;
  // Records have their members in an order of their own (RFC 8785).
  return JSON.stringify(before, sorted) === JSON.stringify(after, sorted);
}

function sorted(_: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether the same rule decided, in whatever line it stands. */
function isBySame({ reason: before }: Answered, { reason: after }: Answered): boolean {
  return before.code === after.code && JSON.stringify(before.rule) === JSON.stringify(after.rule);
}

function changesOf(
  kinds: readonly ChangeKind[],
  question: Question,
  answer: EngineDecision,
): { readonly rules: readonly RuleChange[]; readonly access: readonly AccessChange[] } {
  const before = decidedBy(question);
  const after = decidedBy(answer);
  const { subject, action, resource } = question.request;
  const who = { subject: named(subject), action: action.name, resource: named(resource) };
  const rules = kinds.flatMap((kind): readonly RuleChange[] => {
    if (kind !== 'error_appeared' && kind !== 'error_gone') return [{ kind, before, after }];
    const [some, others] = kind === 'error_appeared' ? [answer, question] : [question, answer];
    const known = new Set(others.errors.map(errorKey));
    return some.errors
      .filter((error) => !known.has(errorKey(error)))
      .map((error) => ({ kind, before, after, error: errorName(error) }));
  });
  return { rules, access: kinds.map((kind) => ({ kind, ...who })) };
}

function decidedBy({ decision, reason: { code, rule, file, line } }: Answered): DecidedBy {
  return {
    decision,
    code,
    ...(rule !== undefined && { rule }),
    ...(file !== undefined && { file }),
    ...(line !== undefined && { line }),
  };
}

function named({ type, id }: AskedEntity): AskedEntity {
  return type === undefined ? { id } : { type, id };
}

function errorName({ code, rule, file, line }: Diagnostic): ErrorName {
  return {
    code,
    ...(rule !== undefined && { rule }),
    ...(file !== undefined && { file }),
    ...(line !== undefined && { line }),
  };
}
