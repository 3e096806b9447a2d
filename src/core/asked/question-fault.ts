/** What the service refuses a question for before it decides: for what decides in its stead, and must take the same. */
import { parseDuration } from '../duration.js';
import { pointerStep } from '../json-pointer.js';
import { faultInName } from '../names.js';
import { parseRfc3339 } from '../rfc3339.js';
import { AttributeCount, defaultRequestLimits, isMembers } from './attribute-count.js';

export interface QuestionFault {
  /** A JSON pointer. */
  readonly pointer: string;
  /** The end of a sentence that begins with the place. */
  readonly detail: string;
}

const levels: ReadonlySet<unknown> = new Set(['none', 'brief', 'full']);
/** Most policy sets that a demand names the revisions of. */
export const mostRevisions = 100;

/** What each member of a question must be. */
const members: Readonly<Record<string, (value: unknown, count: AttributeCount) => QuestionFault | undefined>> = {
  __proto__: null as never,
  subject: (value, count) => faultInPart(value, ['type', 'id'], 'id', count),
  action: (value, count) => faultInPart(value, ['name'], 'name', count),
  resource: (value, count) => faultInPart(value, ['type', 'id'], 'id', count),
  attributes: (value, count) => count.faultIn(value),
  tokens: () => ({ pointer: '', detail: 'are verified by the service alone, which must be asked' }),
  policySet: faultInId,
  explain: (value) => unless(levels.has(value), 'must be one of none, brief, full'),
  at: (value) =>
    unless(
      typeof value === 'string' && parseRfc3339(value) !== undefined,
      'must be a time such as 2026-03-03T10:00:00Z',
    ),
  atLeast: (value) =>
    unless(isRevision(value) || areRevisions(value), 'must be a revision, or revisions by policy set'),
  maxStaleness: (value) =>
    unless(
      typeof value === 'string' && value !== '0' && parseDuration(value) !== undefined,
      'must be a duration such as 30s',
    ),
};

/**
 * The first fault of a question, as the body of `/v1/decide` says it and under the limits that a service has by default.
 *
 *     faultInQuestion({ subject: 'ann', action: 'read' })   // { pointer: '/resource', detail: 'is missing' }
 */
export function faultInQuestion(question: unknown): QuestionFault | undefined {
  if (!isMembers(question)) return { pointer: '', detail: 'must be an object' };
  for (const name of ['subject', 'action', 'resource']) {
    if (question[name] === undefined) return { pointer: `/${name}`, detail: 'is missing' };
  }
  const count = new AttributeCount(defaultRequestLimits);
  for (const name of Object.keys(question)) {
    const value = question[name];
    if (value === undefined) continue;
    const faultIn = members[name];
    const fault =
      faultIn === undefined ? { pointer: '', detail: 'is not a member of a question' } : faultIn(value, count);
    if (fault !== undefined) return below(name, fault);
  }
  return undefined;
}

function faultInPart(
  value: unknown,
  names: readonly string[],
  key: string,
  count: AttributeCount,
): QuestionFault | undefined {
  if (typeof value === 'string') return faultInId(value);
  if (!isMembers(value)) return { pointer: '', detail: `must be a text, or an object with ${key}` };
  if (value[key] === undefined) return { pointer: `/${key}`, detail: 'is missing' };
  for (const name of Object.keys(value)) {
    const member = value[name];
    if (member === undefined) continue;
    const fault = names.includes(name)
      ? faultInId(member)
      : name === 'attributes'
        ? count.faultIn(member)
        : { pointer: '', detail: 'is not a member' };
    if (fault !== undefined) return below(name, fault);
  }
  return undefined;
}

/** What is wrong with what should be an id, a type or a name. */
export function faultInId(value: unknown): QuestionFault | undefined {
  if (typeof value !== 'string') return { pointer: '', detail: 'must be a text' };
  const { idLength } = defaultRequestLimits;
  // A text has no more characters than its length says, and often as many.
  if (value.length > idLength && [...value].length > idLength) {
    return { pointer: '', detail: `must have at most ${idLength} characters` };
  }
  const fault = faultInName(value);
  return fault === undefined ? undefined : { pointer: '', detail: `must not hold ${fault}` };
}

/** A number that a source can have given to a policy set. */
export function isRevision(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** Revisions by policy set. */
export function areRevisions(value: unknown): boolean {
  if (!isMembers(value)) return false;
  const revisions = Object.values(value);
  return revisions.length <= mostRevisions && revisions.every(isRevision);
}

function unless(passes: boolean, detail: string): QuestionFault | undefined {
  return passes ? undefined : { pointer: '', detail };
}

function below(name: string, { pointer, detail }: QuestionFault): QuestionFault {
  return { pointer: `/${pointerStep(name)}${pointer}`, detail };
}
