/**
 * Obligations between a decision point and the side that enforces its answers, as AuthZEN's drafts have them: "Obligations
 * Extension" (draft 1, October 2026) says how they are negotiated, "Profile for Obligations" (draft 1) which types there are.
 */
import type { EngineDecision, Reason } from '../decision.js';
import { isObject, ownMember } from '../matcher/values.js';
import { quote } from '../quote.js';
import type { Json, JsonObject } from '../request.js';

/** One thing that must be done before an allow counts, or with a deny. */
export interface Obligation {
  readonly id: string;
  readonly type: ObligationType;
  readonly properties: JsonObject;
}

/** The drafts' types. What else a policy demands is a `custom` obligation, which both sides have agreed on. */
export const obligationTypes = ['step-up', 'notification', 'session_termination', 'custom'] as const;
export type ObligationType = (typeof obligationTypes)[number];

/** What each type's properties must be; another one means that nobody could comply. */
const properties: Readonly<Record<Exclude<ObligationType, 'custom'>, Readonly<Record<string, Property>>>> = {
  'step-up': { acr_value: { isRight: isText, needed: true }, amr_values: { isRight: areTexts } },
  notification: {
    to: { isRight: (value) => isText(value) || areTexts(value), needed: true },
    body: { isRight: isText, needed: true },
    topic: { isRight: isText },
  },
  session_termination: { subject: { isRight: isText, needed: true } },
};

interface Property {
  readonly isRight: (value: Json) => boolean;
  readonly needed?: true;
}

function isText(value: Json): boolean {
  return typeof value === 'string';
}

function areTexts(value: Json): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isText);
}

/**
 * What is wrong with an obligation that a policy gives as one of the drafts' types, as the end of a sentence; undefined for
 * one in its form, and for one that is of no such type.
 */
export function faultInObligation(value: Json): string | undefined {
  if (!isObject(value)) return undefined;
  const type = ownMember(value, 'type');
  if (typeof type !== 'string' || !isObligationType(type)) return undefined;
  const id = ownMember(value, 'id');
  if (typeof id !== 'string' || id === '') return 'needs an id, a text';
  const given = ownMember(value, 'properties');
  if (!isObject(given)) return 'needs properties, an object';
  if (type === 'custom') return undefined;
  const known = properties[type];
  for (const [name, { isRight, needed }] of Object.entries(known)) {
    const property = ownMember(given, name);
    if (property === undefined ? needed === true : !isRight(property)) {
      return property === undefined ? `needs the property ${name}` : `has a wrong ${name}`;
    }
  }
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(known, name));
  return unknown === undefined ? undefined : `has a property ${quote(unknown)}, which ${type} does not know`;
}

/** In the drafts' form; undefined for one of their types that is not in its form. */
function asObligation(value: Json, position: number): Obligation | undefined {
  if (faultInObligation(value) !== undefined) return undefined;
  const [id, type] = isObject(value) ? [ownMember(value, 'id'), ownMember(value, 'type')] : [];
  if (isObject(value) && typeof type === 'string' && isObligationType(type)) {
    // Sound: no fault was found, so both are there.
    return { id: id as string, type, properties: ownMember(value, 'properties') as JsonObject };
  }
  const own = typeof id === 'string' && id !== '' ? id : `obligation-${position + 1}`;
  return { id: own, type: 'custom', properties: { obligation: value } };
}

function isObligationType(type: string): type is ObligationType {
  return (obligationTypes as readonly string[]).includes(type);
}

/**
 * The types that the enforcing side says it executes; undefined where it does not say that it enforces obligations at all.
 *
 *     supportedBy({ supported_mandatory_extensions: ['obligations'], supported_obligations: ['step-up', 'dance'] })   // step-up
 */
export function supportedBy(context: JsonObject | undefined): ReadonlySet<string> | undefined {
  const extensions = context === undefined ? undefined : ownMember(context, 'supported_mandatory_extensions');
  if (context === undefined || !Array.isArray(extensions) || !extensions.includes('obligations')) return undefined;
  const types = ownMember(context, 'supported_obligations');
  return new Set(Array.isArray(types) ? types.filter((type) => typeof type === 'string').filter(isObligationType) : []);
}

export interface Negotiated {
  /** The decision as it is answered, with the obligations as the policy has them. */
  readonly decision: EngineDecision;
  /** What the enforcing side is told. */
  readonly obligations: readonly Obligation[];
}

/**
 * What is answered to a side that enforces obligations, or does not say so: nothing is demanded of one that cannot do it, and
 * an allow that depends on what it cannot do is a deny.
 *
 * @param context that of the request, where the enforcing side says what it supports
 */
export function negotiateObligations(decision: EngineDecision, context: JsonObject | undefined): Negotiated {
  const demanded = decision.obligations;
  if (demanded.length === 0) return { decision, obligations: [] };
  const supported = supportedBy(context);
  const obligations = distinct(demanded.map(asObligation));
  const why = whyNot(obligations, supported);
  if (why === undefined) return { decision, obligations: obligations as readonly Obligation[] };
  if (decision.decision === 'deny') return { decision, obligations: [] };
  const { advice: _, explanation: __, ...rest } = decision;
  const { rule, file, line } = decision.reason;
  const reason: Reason = {
    code: 'obligation_unsupported',
    ...(rule !== undefined && { rule }),
    ...(file !== undefined && { file }),
    ...(line !== undefined && { line }),
  };
  const error = { code: 'obligation_unsupported', message: why };
  return { decision: { ...rest, decision: 'deny', reason, errors: [...decision.errors, error] }, obligations: [] };
}

function whyNot(
  obligations: readonly (Obligation | undefined)[],
  supported: ReadonlySet<string> | undefined,
): string | undefined {
  if (supported === undefined) return 'the request does not say that the caller enforces obligations';
  for (const obligation of obligations) {
    if (obligation === undefined) return 'an obligation of the policy is not in the form of its type';
    if (!supported.has(obligation.type)) return `the request does not say that the caller executes ${obligation.type}`;
  }
  return undefined;
}

/** With ids of which none stands for two obligations. */
function distinct(obligations: readonly (Obligation | undefined)[]): readonly (Obligation | undefined)[] {
  const ids = new ObligationIds();
  return obligations.map((obligation) => obligation && ids.distinct(obligation));
}

/** The ids of one response: equal obligations have one, and different ones different ones. */
export class ObligationIds {
  private readonly texts = new Map<string, string>();

  distinct(obligation: Obligation): Obligation {
    const { id, type, properties } = obligation;
    const text = JSON.stringify([type, properties]);
    for (let number = 1; ; number++) {
      const own = number === 1 ? id : `${id}-${number}`;
      const known = this.texts.get(own);
      if (known === undefined) this.texts.set(own, text);
      if (known === undefined || known === text) return own === id ? obligation : { ...obligation, id: own };
    }
  }
}
