/** The options by which commands choose records of the decision log. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import type { StatsQuery } from '../../decision-log/stats-query.js';
import { dayOf, TimeZone } from '../../query/time-zone.js';
import { UsageError } from '../exit-code.js';

const filterNames = [
  'subject',
  'subjectType',
  'action',
  'resource',
  'resourceType',
  'obligation',
  'via',
  'requestId',
  'traceId',
  'instance',
  'disputed',
  'q',
  'filter',
] as const;
const tallyNames = ['policySet', 'policyVersion', 'decision', 'reason', 'caller'] as const;
/** The filters by time. `tail` has none of them, since it starts now. */
const timeNames = ['from', 'to', 'tz'] as const;
const tallyList: readonly string[] = tallyNames;

type FilterName = (typeof filterNames)[number] | (typeof tallyNames)[number] | (typeof timeNames)[number];

const about: Readonly<Record<FilterName, string>> = {
  subject: 'id of the subject',
  subjectType: 'type of the subject',
  action: 'name of the action',
  resource: 'id of the resource',
  resourceType: 'type of the resource',
  obligation: 'an obligation: its text, its id or type, or the name of a member',
  via: 'the door it came through: decide, batch, authzen, local',
  decision: 'the answer',
  reason: "the reason's code",
  policySet: 'name of the policy set',
  policyVersion: 'version that answered',
  caller: 'who asked',
  requestId: 'id of the request',
  traceId: 'id of the trace that the request belonged to',
  instance: 'name of the instance that answered',
  disputed: 'only where a client says that it answered otherwise than the service does',
  from: 'from this time on (RFC 3339), or from this day on: 2026-03-03',
  to: 'before this time, or up to the end of this day',
  tz: 'time zone of days: Europe/Zurich; without it UTC',
  filter: "a condition over the record: subject.department == 'finance' && resource.amount > 10000",
  q: 'a text within an id, the reason or an attribute',
};

const placeholders: { readonly [name in FilterName]?: string } = {
  from: 'time',
  to: 'time',
  tz: 'zone',
  filter: 'condition',
};

function filter(name: FilterName): Option {
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  if (name === 'disputed') return new Option(`--${flag}`, about[name]);
  const option = new Option(`--${flag} <${placeholders[name] ?? 'text'}>`, about[name]);
  return name === 'decision' ? option.choices(['allow', 'deny']) : option;
}

/** The names of all options that `addRecordFilters` adds. */
export const recordFilterNames: readonly string[] = [...filterNames, ...tallyNames, ...timeNames];

/** Adds the options of filters; `times` is false for a command that starts now. */
export function addRecordFilters(command: Command, { times }: { readonly times: boolean }): void {
  for (const field of [...filterNames, ...tallyNames]) command.addOption(filter(field));
  if (times) for (const field of timeNames) command.addOption(filter(field));
}

/** Adds the options of counting and grouping. */
export function addStatsOptions(command: Command): void {
  for (const name of [...tallyNames, ...timeNames]) command.addOption(filter(name));
  const buckets = ['minute', 'hour', 'day'];
  command
    .addOption(new Option('--bucket <length>', 'counts for each of these, in the time zone of --tz').choices(buckets))
    .option('--by <fields>', `counts by ${tallyNames.join(', ')}; several with commas`, fieldList)
    .addOption(new Option('--top <field>', 'the most frequent ids as well').choices(['subject', 'resource']));
}

/** The filters that were given. */
export function filtersOf(options: DecisionFilters): DecisionFilters {
  checkZone(options, '');
  const { disputed, ...texts } = pick(options, [...filterNames, ...tallyNames, ...timeNames]);
  return { ...texts, ...(disputed !== undefined && { disputed: 'true' }) };
}

/** The question that `verdict log stats` asks. */
export function statsQueryOf(options: StatsQuery): StatsQuery {
  if (options.bucket === undefined) checkZone(options, ', or with --bucket');
  return pick(options, ['bucket', 'by', 'top', ...tallyNames, ...timeNames]);
}

/** A zone matters for days only: times have their own offset. The reader refuses an unknown zone. */
function checkZone({ tz, from, to }: DecisionFilters | StatsQuery, also: string): void {
  const namesDay = [from, to].some((text) => text !== undefined && dayOf(text) !== undefined);
  if (tz !== undefined && TimeZone.named(tz) !== undefined && !namesDay)
    throw new UsageError(`--tz goes with a day in --from or --to${also}`);
}

/** The options of these names that were given. */
function pick<T, K extends keyof T>(options: T, names: readonly K[]): Pick<T, K> {
  const given = names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]);
  // Sound: what was not given is optional in every query.
  return Object.fromEntries(given) as Pick<T, K>;
}

function fieldList(text: string): readonly string[] {
  const fields = text.split(',');
  const unknown = fields.find((field) => !tallyList.includes(field));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no "${unknown}": ${tallyNames.join(', ')}.`);
  return fields;
}
