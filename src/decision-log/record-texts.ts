/**
 * How a record is written down, twice at once: its line in its group (group-text.ts), and its text as a whole, which is what
 * is hashed (proof/group-hashes.ts). Both consist of the same values, each serialised once.
 */
import type { Diagnostic, Reason } from '../core/decision.js';
import type { Action, DecisionRequest, Entity } from '../core/request.js';
import type { DecisionRecord, NewDecisionRecord } from './decision-record.js';
import type { CommonMembers } from './group-text.js';
import { canonicalJson, quoted } from './proof/canonical-json.js';
import { timeText } from './time-text.js';

export interface RecordTexts {
  /** The members of its own, in the order in which a person would read them; their values in the form of RFC 8785. */
  readonly line: string;
  /** The record as it is read, without `writer` and `sequence`, in the form of RFC 8785. */
  readonly whole: string;
}

/** The members that a record's line repeats where they differ; the instance is the same for all that a process writes. */
type RepeatedMember = Exclude<keyof CommonMembers, 'instance' | 'revision'>;

/** What records of a group share, and its values as JSON. */
export interface CommonTexts {
  readonly members: CommonMembers;
  readonly values: { readonly [name in RepeatedMember]: string };
  readonly instance: string;
}

export function commonTexts(members: CommonMembers): CommonTexts {
  const { policySet, policyVersion, engineVersion, semantics, caller, authentication, via, instance } = members;
  return {
    members,
    values: {
      policySet: quoted(policySet),
      policyVersion: quoted(policyVersion),
      engineVersion: quoted(engineVersion),
      semantics: `${semantics}`,
      caller: quoted(caller),
      authentication: quoted(authentication),
      via: quoted(via),
    },
    instance: instance === undefined ? '' : `"instance":${quoted(instance)},`,
  };
}

/** A record as it is hashed. Times as texts; `revision` is left out where it has none. */
type WholeRecord = Omit<DecisionRecord, 'writer' | 'sequence'>;

/** Serialised once, never again. `timeInId`: whether its id holds the millisecond of its time. */
export function recordTexts(record: NewDecisionRecord, common: CommonTexts, timeInId: boolean): RecordTexts {
  const { members } = common;
  const time = timeText(record.time);
  const clock = record.clock === record.time ? time : timeText(record.clock);
  const id = quoted(record.id);
  const request = requestText(record.request);
  const reason = reasonText(record.reason);
  const errors = record.errors.length === 0 ? '[]' : `[${record.errors.map(errorText).join()}]`;
  const obligations = record.obligations.length === 0 ? '[]' : canonicalJson(record.obligations);
  const requestId = quoted(record.requestId);
  const masked = record.masked === undefined ? '' : `"masked":${canonicalJson(record.masked)},`;
  const candidate = record.candidate === undefined ? '' : `"candidate":${quoted(record.candidate)},`;
  const search = record.search === undefined ? '' : `"search":${canonicalJson(record.search)},`;
  const erased = record.erased === undefined ? '' : `"erased":${canonicalJson(record.erased)},`;
  const local = record.local === undefined ? '' : `"local":${canonicalJson(record.local)},`;
  const disputed = record.disputed === undefined ? '' : `"disputed":${canonicalJson(record.disputed)},`;
  const traceId = record.traceId === undefined ? '' : `"traceId":${quoted(record.traceId)},`;
  const durationUs = `${record.durationUs}`;
  const own = (name: Exclude<RepeatedMember, 'semantics'>): string =>
    record[name] === members[name] ? common.values[name] : quoted(record[name]);
  const policySet = own('policySet');
  const policyVersion = own('policyVersion');
  const engineVersion = own('engineVersion');
  const semantics = record.semantics === members.semantics ? common.values.semantics : `${record.semantics}`;
  const caller = own('caller');
  const authentication = own('authentication');
  const via = own('via');
  const revision = record.revision === undefined ? '' : `"revision":${record.revision},`;

  let line = `{"id":${id},`;
  if (!timeInId) line += `"time":"${time}",`;
  if (record.policySet !== members.policySet) line += `"policySet":${policySet},`;
  if (record.policyVersion !== members.policyVersion) line += `"policyVersion":${policyVersion},`;
  if (record.revision !== members.revision) line += revision === '' ? '"revision":null,' : revision;
  if (record.engineVersion !== members.engineVersion) line += `"engineVersion":${engineVersion},`;
  if (record.semantics !== members.semantics) line += `"semantics":${semantics},`;
  line += `"request":${request},${masked}${candidate}`;
  if (clock !== time) line += `"clock":"${clock}",`;
  line += `"decision":"${record.decision}","reason":${reason},`;
  if (errors !== '[]') line += `"errors":${errors},`;
  if (obligations !== '[]') line += `"obligations":${obligations},`;
  line += search + erased + local + disputed;
  if (record.caller !== members.caller) line += `"caller":${caller},`;
  if (record.authentication !== members.authentication) line += `"authentication":${authentication},`;
  if (record.via !== members.via) line += `"via":${via},`;
  line += `"requestId":${requestId},${traceId}"durationUs":${durationUs}}`;

  const whole =
    `{"authentication":${authentication},"caller":${caller},${candidate}"clock":"${clock}","decision":"${record.decision}",${disputed}` +
    `"durationUs":${durationUs},"engineVersion":${engineVersion},${erased}"errors":${errors},"id":${id},${common.instance}${local}${masked}` +
    `"obligations":${obligations},"policySet":${policySet},"policyVersion":${policyVersion},"reason":${reason},` +
    `"request":${request},"requestId":${requestId},${revision}${search}"semantics":${semantics},"time":"${time}",` +
    `${traceId}"via":${via}}`;
  return { line, whole };
}

/** The text as a whole of a record that was read; empty for what is none. */
export function wholeText(record: DecisionRecord): string {
  const whole: { [name: string]: unknown } = {};
  // All that it has, in the order of RFC 8785: what nobody knows would make another text.
  for (const name of Object.keys(record).sort()) {
    // To set it would set the prototype, and no record has it.
    if (name === '__proto__') return '';
    if (name !== 'writer' && name !== 'sequence') whole[name] = record[name as keyof WholeRecord];
  }
  return ordered(whole);
}

// Each of these puts the members in their order itself, and says so to the compiler: one that is added to the type stops it.
// JSON.stringify then takes half the time that canonicalJson does.

function requestText({ subject, action, resource, attributes, tokens }: DecisionRequest): string {
  return ordered({
    action: { attributes: action.attributes, name: action.name } satisfies AllOf<Action>,
    attributes,
    resource: entityOf(resource),
    subject: entityOf(subject),
    tokens,
  } satisfies { readonly [name in keyof Required<DecisionRequest>]: unknown });
}

function entityOf({ type, id, attributes }: Entity): AllOf<Entity> {
  return { attributes, id, type };
}

function reasonText({ code, file, line, message, rule }: Reason): string {
  return ordered({ code, file, line, message, rule } satisfies AllOf<Reason>);
}

function errorText({ code, file, line, message, pointer, rule }: Diagnostic): string {
  return ordered({ code, file, line, message, pointer, rule } satisfies AllOf<Diagnostic>);
}

type AllOf<Shape> = { readonly [name in keyof Required<Shape>]: Shape[name] | undefined };

function ordered(value: object): string {
  return isOrdered(value) ? JSON.stringify(value) : canonicalJson(value);
}

/** Whether JSON.stringify writes the members of all objects in it in the order of RFC 8785. */
function isOrdered(value: unknown): boolean {
  if (value === null || typeof value !== 'object') return true;
  if (Array.isArray(value)) return value.every(isOrdered);
  let before = '';
  for (const name of Object.keys(value)) {
    if (name < before || !isOrdered((value as Record<string, unknown>)[name])) return false;
    before = name;
  }
  return true;
}
