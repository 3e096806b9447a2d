/** Prints records, counts and replays for people. */
import { spellUnseen } from '../../core/quote.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import type { DecisionStats } from '../../decision-log/decision-stats.js';
import type { LogGap } from '../../decision-log/log-gap.js';
import type { LogWriter } from '../../decision-log/log-writers.js';
import type { Replay } from '../../pdp/replay.js';
import { printDecision } from './decision-report.js';
import { entityText } from './entity-text.js';
import { printExplanation } from './explanation-report.js';
import { count } from './report.js';
import { alignColumns, beginning, columnsOf } from './table.js';
import type { Terminal } from './terminal.js';

const head: readonly string[] = ['ANSWER', 'TIME', 'SUBJECT', 'ACTION', 'RESOURCE', 'SET', 'REASON', 'ID'];
const cellWidth = 36;

/** One line each; `withHead` for the first of several lists. */
export function printRecords(terminal: Terminal, records: readonly DecisionRecord[], withHead = true): void {
  const [names, ...lines] = alignColumns([head, ...records.map((record) => rowOf(printable(record)))]);
  if (withHead) terminal.print(terminal.style('bold', names!));
  for (const line of lines) {
    const word = line.startsWith('allow') ? 'allow' : 'deny';
    terminal.print(`${terminal.style(word === 'allow' ? 'green' : 'red', word)}${line.slice(word.length)}`);
  }
}

function rowOf({ decision, time, request, policySet, reason, search, id }: DecisionRecord): readonly string[] {
  const { subject, action, resource } = request;
  const place = reason.line === undefined ? '' : ` ${reason.file}:${reason.line}`;
  const why = search === undefined ? `${reason.code}${place}` : `search: ${count(search.results.length, search.kind)}`;
  return [decision, time, entityText(subject), action.name, entityText(resource), policySet, why, id].map(shorten);
}

function shorten(text: string): string {
  return columnsOf(text) <= cellWidth ? text : `${beginning(text, cellWidth - 1)}…`;
}

/** `3 records are missing between 12:00 and 12:01 (queue_full)`, on stderr: they belong to no result. */
export function remarkGaps(terminal: Terminal, gaps: readonly LogGap[]): void {
  for (const { lost, from, to, cause } of gaps) {
    const howMany = lost === null ? 'an unknown number of records' : count(lost, 'record');
    terminal.remark(`lost: ${howMany} from ${from} to ${to} (${cause})`);
  }
}

/** `not heard of since 12:00: writer 3 (pdp-2), …`, on stderr: records of theirs may be missing. */
export function remarkIncomplete(terminal: Terminal, writers: readonly LogWriter[]): void {
  for (const { writer, instance, heard, completeTo } of writers) {
    terminal.remark(
      `incomplete: writer ${writer} (${instance}) was not heard of since ${heard}, its records are there up to ${completeTo}`,
    );
  }
}

/** On stderr: records that a condition could say nothing of. */
export function remarkErred(terminal: Terminal, erred: number): void {
  if (erred === 0) return;
  terminal.remark(
    `of ${count(erred, 'record')} --filter could say nothing: an attribute that it reads is missing or masked`,
  );
}

export function printStats(terminal: Terminal, stats: DecisionStats): void {
  const { items, total, uncertain, countedTo, gaps, top } = printable(stats);
  // A column of its own, so that no value can look like the count of all that are not kept apart.
  const names = [...new Set(items.flatMap((item) => Object.keys(item)))].filter((name) => name !== 'count');
  if (names.length > 0) {
    const rows = items.map((item) => [...names.map((name) => cellOf(item[name as 'time'])), String(item.count)]);
    for (const line of alignColumns([[...names, 'count'].map((name) => name.toUpperCase()), ...rows]))
      terminal.print(line);
    terminal.print();
  }
  terminal.print(count(total, 'decision'));
  if (uncertain !== undefined)
    terminal.print(`${uncertain} more may match: their values were too many to be kept apart`);
  if (countedTo !== undefined) terminal.print(`not all are counted yet, but those before ${countedTo} are`);
  remarkGaps(terminal, gaps ?? []);
  if (top === undefined) return;
  const since = top.searchedTo === undefined ? '' : `, since ${top.searchedTo}`;
  terminal.print();
  terminal.print(`Most frequent among the newest ${top.examined}${since}`);
  for (const line of alignColumns(top.ids.map(({ id, count: times }) => [String(times).padStart(8), shorten(id)])))
    terminal.print(line);
}

function cellOf(value: string | readonly string[] | undefined): string {
  return typeof value === 'string' ? value : (value ?? []).join(', ');
}

export function printReplay(terminal: Terminal, given: Replay): void {
  const { decisionId, policySet, clock, recorded, replayed, same } = printable(given);
  terminal.print(`${terminal.style('bold', decisionId)}  ${policySet}  ${clock}`);
  for (const [what, answer] of [
    ['Recorded', recorded],
    ['Replayed', replayed],
  ] as const) {
    terminal.print();
    terminal.print(`${terminal.style('bold', what)}  ${answer.policyVersion}, engine ${answer.engineVersion}`);
    printDecision(terminal, answer);
  }
  const word = same ? terminal.style('green', 'the same') : terminal.style('red', 'not the same');
  terminal.print();
  terminal.print(`The answers are ${word}.`);
  if (replayed.explanation !== undefined) printExplanation(terminal, replayed.explanation);
}

/**
 * Spells out every control and direction character: callers choose ids and attributes, which must not move the cursor,
 * colour or reorder what an auditor reads.
 *
 *     printable({ id: 'a\u001b[2Jb' })   // { id: 'a\\u001b[2Jb' }
 */
export function printable<T>(value: T): T {
  // Sound: strings become strings, and everything else keeps its shape.
  return walk(value) as T;
}

function walk(value: unknown): unknown {
  if (typeof value === 'string') return spellUnseen(value);
  if (Array.isArray(value)) return value.map(walk);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [walk(name), walk(member)]));
}
