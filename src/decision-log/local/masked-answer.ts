import type { DecisionRequest, Json, JsonObject } from '../../core/request.js';
import type { DisputedAnswer } from '../decision-record.js';
import { compileMask, maskedValue } from '../mask.js';

/** Attributes whose names say that they are secret. */
const maskSecrets = compileMask({ mask: [], drop: [] });
/** A hidden text that is shorter is replaced where it is the whole of a value, not within others. */
const shortest = 3;
/** Where comparing takes longer, in characters of an answer times hidden values, all is hidden: a few milliseconds. */
const mostCompared = 2_000_000;

/**
 * The answer of a client as it may be stored: it can repeat anything of the request. What the mask hid there is replaced
 * wherever it is, and so are secrets by their names.
 *
 *     asked:  {subject: {id: 'ann', attributes: {ssn: '078-05-1120'}}, …}     masked there: /subject/attributes/ssn
 *     answer: {obligations: [{tell: '078-05-1120', token: 'x'}], …}   →  {obligations: [{tell: '[masked]', token: '[masked]'}], …}
 */
export function maskedAnswer(answer: DisputedAnswer, asked: DecisionRequest, stored: DecisionRequest): DisputedAnswer {
  const hidden = new Set<string>();
  if (stored !== asked) addHidden(asked as unknown as Json, stored as unknown as Json, hidden);
  if (hidden.size > 0 && JSON.stringify(answer).length * hidden.size > mostCompared) {
    const { decision } = answer;
    return {
      decision,
      reason: { code: maskedValue },
      errors: [],
      obligations: [maskedValue],
      engineVersion: maskedValue,
    };
  }
  const text = (value: string): string => (isHidden(value, hidden) ? maskedValue : value);
  const { decision, reason, errors, obligations, engineVersion } = answer;
  return {
    decision,
    reason: { code: text(reason.code), ...(reason.rule !== undefined && { rule: reason.rule.map(text) }) },
    errors: errors.map(text),
    obligations: withoutSecrets(obligations).map((each) => masked(each, hidden)),
    engineVersion: text(engineVersion),
  };
}

function withoutSecrets(obligations: readonly Json[]): readonly Json[] {
  const request = {
    subject: { id: '' },
    action: { name: '' },
    resource: { id: '' },
    attributes: { obligations: obligations as Json },
  };
  return maskSecrets(request).attributes!.obligations as readonly Json[];
}

/** Adds the texts and numbers of a value that another one does not have in the same place. */
function addHidden(value: Json | undefined, stored: Json | undefined, hidden: Set<string>): void {
  if (value === stored || value === null || value === undefined || typeof value === 'boolean') return;
  if (typeof value !== 'object') {
    hidden.add(String(value));
    return;
  }
  const kept = (typeof stored === 'object' && stored !== null ? stored : {}) as JsonObject;
  for (const name of Object.keys(value)) {
    addHidden((value as JsonObject)[name], Object.hasOwn(kept, name) ? kept[name] : undefined, hidden);
  }
}

function isHidden(value: string, hidden: ReadonlySet<string>): boolean {
  if (hidden.has(value)) return true;
  for (const each of hidden) if (each.length >= shortest && value.includes(each)) return true;
  return false;
}

function masked(value: Json, hidden: ReadonlySet<string>): Json {
  if (typeof value === 'string') return isHidden(value, hidden) ? maskedValue : value;
  if (typeof value === 'number') return hidden.has(String(value)) ? maskedValue : value;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((each) => masked(each, hidden));
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      isHidden(name, hidden) ? maskedValue : name,
      masked(member, hidden),
    ]),
  );
}
