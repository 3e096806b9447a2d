import type { PolicyProblem } from '../../core/problem.js';
import {
  type ChangeByRule,
  type ChangedEntity,
  type DecidingRule,
  type GateKind,
  gateCount,
  gateKinds,
  kindOfGate,
  type LeftOutDecisions,
  type NamedChanges,
  ofEachKind,
  type SimulationResult,
  type UncheckedChanges,
} from '../../pdp/simulation/simulation-result.js';
import { type CheckedSet, count } from './report.js';
import type { Terminal } from './terminal.js';

/** Most lines of each part of the text; JSON has a thousand. */
const mostLines = 20;

const leftOutTexts: Readonly<Record<LeftOutDecisions['cause'], string>> = {
  masked: 'masked: the candidate could read what their masks hide',
  erased: 'erased: parts of them are gone',
  drifted: 'drifted: the version that answered no longer gives that answer',
  live_data_not_kept:
    'without their live data, which are not kept, or which a service and a file do not give: ask the database (--database)',
  search: "searches, which are no decisions (--filter '!has(search)' leaves them out)",
  not_replayable: 'not replayable: this engine does not know what they were decided by',
  stock_engine: 'not answered: the candidate runs on stock Casbin',
  filter_erred: 'of which --filter could say nothing: an attribute that it reads is missing or masked',
  unreadable: 'unreadable: damaged in the log',
};

const uncheckedTexts: Readonly<Record<UncheckedChanges['cause'], string>> = {
  policy_version_not_found: 'their version is not there',
  live_data_not_kept: 'the live data of their version are not there',
  masked: 'their version reads what is masked',
  stock_engine: 'their version ran on stock Casbin',
};

const kindTexts: Readonly<Record<ChangeByRule['kind'], string>> = {
  gain: 'gained',
  loss: 'lost',
  error_appeared: 'error',
  error_gone: 'error gone',
  obligations: 'obligations',
};

export function printSimulation(terminal: Terminal, result: SimulationResult): void {
  const { policySet, candidate, answered, changed, since, until } = result;
  terminal.print(`${terminal.style('bold', policySet)}  on ${candidate.slice(0, 'sha256:'.length + 12)}`);
  const times = since === undefined ? '' : `, from ${since} to ${until}`;
  terminal.print(`  ${count(answered, 'decision')} answered again${times}`);
  terminal.print(`  ${changed} changed: ${totals(result)}`);
  if (result.otherRule > 0) terminal.print(`  ${result.otherRule} more are the same by another rule`);
  printRules(terminal, result.rules);
  printNames(terminal, 'Subjects', result.subjects);
  printNames(terminal, 'Actions', result.actions);
  printNames(terminal, 'Resources', result.resources);
  printAccess(terminal, result);
  printLeftOut(terminal, result);
}

function totals(result: SimulationResult): string {
  const { gained, lost, errorsAppeared, errorsGone, obligationsChanged } = result;
  const more = [
    ...(errorsAppeared > 0 ? [`${errorsAppeared} with a new error`] : []),
    ...(errorsGone > 0 ? [`${errorsGone} with an error less`] : []),
    ...(obligationsChanged > 0 ? [`${obligationsChanged} with other obligations`] : []),
  ];
  return [`${gained} gained`, `${lost} lost`, ...more].join(', ');
}

function printRules(terminal: Terminal, rules: readonly ChangeByRule[]): void {
  if (rules.length === 0) return;
  heading(terminal, 'By rule');
  for (const { kind, before, after, error, count: times, examples } of ofEachKind(
    rules,
    mostLines,
    ({ kind }) => kind,
  )) {
    const style = kind === 'gain' ? 'green' : kind === 'loss' || kind === 'error_appeared' ? 'red' : 'yellow';
    const what = error === undefined ? '' : `: ${error.code}${placeOf(error)}`;
    terminal.print(`  ${terminal.style(style, `${times} ${kindTexts[kind]}`)}${what}`);
    terminal.print(`    before ${ruleText(before)}`);
    terminal.print(`    after  ${ruleText(after)}`);
    terminal.print(terminal.style('dim', `    ${examples.join(', ')}`));
  }
  rest(terminal, rules.length);
}

export function ruleText({ decision, code, rule, ...place }: DecidingRule): string {
  return rule === undefined ? `${decision} (${code})` : `${decision} by ${rule.join(', ')}${placeOf(place)}`;
}

function placeOf({ file, line }: { readonly file?: string; readonly line?: number }): string {
  return file === undefined ? '' : `  (${file}:${line})`;
}

function printNames(terminal: Terminal, title: string, names: readonly NamedChanges[]): void {
  if (names.length === 0) return;
  heading(terminal, title);
  for (const { type, name, gained, lost } of names.slice(0, mostLines)) {
    const changes = [...(gained > 0 ? [`+${gained}`] : []), ...(lost > 0 ? [`-${lost}`] : [])].join(' ');
    terminal.print(`  ${entityText({ ...(type !== undefined && { type }), id: name })}  ${changes}`);
  }
  rest(terminal, names.length);
}

function printAccess(terminal: Terminal, { access }: SimulationResult): void {
  if (access.length === 0) return;
  heading(terminal, 'Who and what');
  for (const { kind, subject, action, resource, count: times, examples } of ofEachKind(
    access,
    mostLines,
    ({ kind }) => kind,
  )) {
    const sign = kind === 'gain' ? '+' : kind === 'loss' ? '-' : `${kindTexts[kind]}:`;
    const who = `${entityText(subject)} ${action} ${entityText(resource)}`;
    terminal.print(`  ${sign} ${who}  ${times}${terminal.style('dim', `  ${examples[0] ?? ''}`)}`);
  }
  rest(terminal, access.length);
}

function printLeftOut(terminal: Terminal, result: SimulationResult): void {
  const { leftOut, gaps, writers = [], cancelled, unchecked, complete, answered } = result;
  heading(terminal, `Complete: ${complete ? 'yes' : 'no'}`);
  if (answered === 0) terminal.print('  no decision was answered again');
  if (cancelled) terminal.print('  it was ended before all were answered');
  for (const line of leftOutLines(leftOut)) terminal.print(`  ${line}`);
  if (gaps !== undefined) {
    const uncounted = gaps.uncounted > 0 ? `, and in ${count(gaps.uncounted, 'gap')} nobody could count` : '';
    terminal.print(`  the log is missing ${count(gaps.lost, 'decision')} in ${count(gaps.gaps, 'gap')}${uncounted}`);
  }
  for (const writer of writers) terminal.print(`  writer ${writer} has not shipped all that it decided`);
  for (const { cause, count: times } of unchecked)
    terminal.print(`  ${times} of the changes could not be checked for drift: ${uncheckedTexts[cause]}`);
}

function leftOutLines(leftOut: readonly LeftOutDecisions[]): readonly string[] {
  return leftOut.map(({ cause, count: times, examples }) => {
    const example = examples[0] === undefined ? '' : `  (${examples[0]})`;
    return `${times} ${leftOutTexts[cause]}${example}`;
  });
}

function heading(terminal: Terminal, title: string): void {
  terminal.print();
  terminal.print(`  ${terminal.style('bold', title)}`);
}

function rest(terminal: Terminal, length: number): void {
  if (length > mostLines) terminal.print(`  … and ${length - mostLines} more: --output json has a thousand`);
}

function entityText({ type, id }: ChangedEntity): string {
  return type === undefined ? id : `${type}:${id}`;
}

/**
 * Changes as findings at the rules of the candidate; those that no rule makes are at its model. They come kind by kind, gains first, since
 * build servers show the first of many, and of each kind the most frequent first.
 */
export function changesAsProblems(result: SimulationResult, path: string, kinds: readonly GateKind[]): CheckedSet {
  const problems = gateKinds
    .filter((gate) => kinds.includes(gate))
    .flatMap((gate) => [...listedProblems(result, kindOfGate[gate]), ...unlistedProblems(result, gate)]);
  return { name: result.policySet, path, problems: [...problems, ...incompleteProblem(result)] };
}

function listedProblems(result: SimulationResult, wanted: ChangeByRule['kind']): readonly PolicyProblem[] {
  return result.rules
    .filter(({ kind }) => kind === wanted)
    .map(({ kind, before, after, error, count: times, examples }): PolicyProblem => {
      const { file = 'model.conf', line = 1 } = error ?? after;
      const what = error === undefined ? '' : ` (${error.code})`;
      const message = `${count(times, 'logged decision')} ${kindTexts[kind]}${what}: ${ruleText(before)}, now ${ruleText(after)}`;
      const hint = `for example ${examples.join(', ')}`;
      return { severity: 'error', code: `simulated_${kind}`, message, file, line, column: 1, hint };
    });
}

/** What a gate counts and no rule is listed for: a gate that is red always has a finding of its kind. */
function unlistedProblems(result: SimulationResult, gate: GateKind): readonly PolicyProblem[] {
  const kind = kindOfGate[gate];
  const listed = result.rules.reduce((sum, change) => sum + (change.kind === kind ? change.count : 0), 0);
  const total = gateCount(result, [gate]);
  if (listed >= total) return [];
  const message = `${count(total, 'logged decision')} ${kindTexts[kind]} in all, ${total - listed} of them by rules that are not listed`;
  return [{ severity: 'error', code: `simulated_${kind}`, message, file: 'model.conf', line: 1, column: 1 }];
}

function incompleteProblem(result: SimulationResult): readonly PolicyProblem[] {
  if (result.complete) return [];
  const { leftOut, gaps, writers = [], cancelled, answered } = result;
  const causes = [
    ...(answered === 0 ? ['no decision was answered again'] : []),
    ...(cancelled ? ['it was ended before all were answered'] : []),
    ...leftOutLines(leftOut),
    ...(gaps === undefined ? [] : [`the log has ${count(gaps.gaps, 'gap')}`]),
    ...writers.map((writer) => `writer ${writer} has not shipped all`),
  ];
  const message = `not all decisions were answered again: ${causes.join('; ')}`;
  return [{ severity: 'warning', code: 'simulation_incomplete', message, file: 'model.conf', line: 1, column: 1 }];
}
