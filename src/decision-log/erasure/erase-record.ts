import type { Diagnostic, Reason } from '../../core/decision.js';
import { nameOfStep } from '../../core/json-pointer.js';
import { quotedIn } from '../../core/quote.js';
import type { Action, DecisionRequest, Entity, Json, JsonObject, TokenClaims } from '../../core/request.js';
import type { DisputedAnswer, NewDecisionRecord } from '../decision-record.js';
import type { ErasureOrder, StandingOrders } from './standing-orders.js';

/** Stands where an erased value was. */
export const erasedValue = '[erased]';

/** What of a record an erasure can change. */
export type ErasableMembers = Pick<
  NewDecisionRecord,
  'request' | 'reason' | 'errors' | 'obligations' | 'search' | 'disputed' | 'caller' | 'requestId' | 'traceId'
>;

export interface ErasedMembers {
  readonly members: ErasableMembers;
  /** The orders that changed it. */
  readonly orders: readonly ErasureOrder[];
  /** Those of them whose person it is about; of the others it only names the person. */
  readonly about: readonly ErasureOrder[];
}

/**
 * Erases persons from a record.
 *
 * - A record about a person (subject or resource have the id) loses that id, all attributes, the values of rules, messages,
 *   pointers and obligations, also those of an answer that is disputed.
 * - In any other one each value that is equal to the id is replaced, wherever it is: ids, types, attributes at any depth and
 *   their names, results of a search, the caller, rules, messages. The message of an error goes, if it quotes such a value, or if the
 *   request or its rule or pointer had one: it may quote a part of it. Of a token whose `sub` is the id, no other claim is left.
 *
 * What the service itself writes stays: times, policy set and version, answer, reason code, file and line.
 *
 *     dana: {subject: {id: 'dana', attributes: {…}}, …, reason: {code, rule: ['p', 'dana', …]}}   → {subject: {id: '[erased]'}, …, reason: {code}}
 *     ann:  {subject: {id: 'ann', attributes: {manager: 'dana'}}, …}                              → {subject: {id: 'ann', attributes: {manager: '[erased]'}}, …}
 *
 * @param time that of the record, in milliseconds since 1970
 * @returns undefined for a record that names nobody who is erased
 */
export function eraseFromRecord(
  record: ErasableMembers,
  time: number,
  standing: Pick<StandingOrders, 'covering'>,
): ErasedMembers | undefined {
  const { subject, resource } = record.request;
  const about = [subject.id, resource.id].flatMap((id) => standing.covering(id, time) ?? []);
  const eraser = new Eraser(standing, time);
  const members = eraser.members(about.length > 0 ? withoutDetails(record) : record);
  if (eraser.orders.size === 0) return undefined;
  return { members, orders: [...eraser.orders], about };
}

function withoutDetails(record: ErasableMembers): ErasableMembers {
  const { subject, action, resource } = record.request;
  const { code, file, line } = record.reason;
  return {
    ...record,
    request: {
      subject: withoutAttributes(subject),
      action: { name: action.name },
      resource: withoutAttributes(resource),
    },
    reason: { code, ...(file !== undefined && { file }), ...(line !== undefined && { line }) },
    errors: record.errors.map((error) => ({
      code: error.code,
      message: erasedValue,
      ...(error.file !== undefined && { file: error.file }),
      ...(error.line !== undefined && { line: error.line }),
    })),
    obligations: [],
    ...(record.disputed !== undefined && {
      disputed: { ...record.disputed, reason: { code: record.disputed.reason.code }, obligations: [] },
    }),
  };
}

function withoutAttributes({ type, id }: Entity): Entity {
  return type === undefined ? { id } : { type, id };
}

/** Replaces values in the parts of a record. A part without any is given back as it is. */
class Eraser {
  readonly orders = new Set<ErasureOrder>();
  /** Whether the request had one: errors may quote what they met there. */
  private isInRequest = false;

  constructor(
    private readonly standing: Pick<StandingOrders, 'covering'>,
    private readonly time: number,
  ) {}

  members(record: ErasableMembers): ErasableMembers {
    const { reason, errors, obligations, search, disputed, caller, requestId, traceId } = record;
    const request = this.request(record.request);
    this.isInRequest = this.orders.size > 0;
    return {
      request,
      reason: this.reason(reason),
      errors: errors.map((error) => this.error(error)),
      obligations: obligations.map((obligation) => this.json(obligation)),
      ...(search !== undefined && { search: { ...search, results: search.results.map((each) => this.text(each)) } }),
      ...(disputed !== undefined && { disputed: this.disputed(disputed) }),
      caller: this.text(caller),
      requestId: this.text(requestId),
      ...(traceId !== undefined && { traceId: this.text(traceId) }),
    };
  }

  private text(value: string): string {
    const order = this.standing.covering(value, this.time);
    if (order === undefined) return value;
    this.orders.add(order);
    return erasedValue;
  }

  private json(value: Json): Json {
    if (typeof value === 'string') return this.text(value);
    if (value === null || typeof value !== 'object') return value;
    if (Array.isArray(value)) return value.map((each) => this.json(each));
    return this.object(value);
  }

  private object(object: JsonObject): JsonObject {
    // Without a prototype, so that `__proto__` is a member like any other.
    const erased: JsonObject = Object.create(null);
    for (const [name, value] of Object.entries(object)) erased[this.text(name)] = this.json(value);
    return erased;
  }

  private request({ subject, action, resource, attributes, tokens }: DecisionRequest): DecisionRequest {
    return {
      subject: this.entity(subject),
      action: this.action(action),
      resource: this.entity(resource),
      ...(attributes !== undefined && { attributes: this.object(attributes) }),
      ...(tokens !== undefined && { tokens: this.tokens(tokens) }),
    };
  }

  /** All that an issuer says of a person goes with the name by which it says it. */
  private tokens(tokens: TokenClaims): TokenClaims {
    return Object.fromEntries(
      Object.entries(tokens).map(([name, claims]) => {
        const isPerson = typeof claims.sub === 'string' && this.text(claims.sub) !== claims.sub;
        return [name, isPerson ? { sub: erasedValue } : this.object(claims)];
      }),
    );
  }

  private entity({ type, id, attributes }: Entity): Entity {
    return {
      ...(type !== undefined && { type: this.text(type) }),
      id: this.text(id),
      ...(attributes !== undefined && { attributes: this.object(attributes) }),
    };
  }

  private action({ name, attributes }: Action): Action {
    return { name: this.text(name), ...(attributes !== undefined && { attributes: this.object(attributes) }) };
  }

  private reason(reason: Reason): Reason {
    const { rule, message } = reason;
    return {
      ...reason,
      ...(rule !== undefined && { rule: rule.map((each) => this.text(each)) }),
      ...(message !== undefined && { message: this.json(message) }),
    };
  }

  /** A client can have written anything there, also where the service writes codes. */
  private disputed(answer: DisputedAnswer): DisputedAnswer {
    const { code, rule } = answer.reason;
    return {
      ...answer,
      reason: { code: this.text(code), ...(rule !== undefined && { rule: rule.map((each) => this.text(each)) }) },
      errors: answer.errors.map((each) => this.text(each)),
      obligations: answer.obligations.map((each) => this.json(each)),
      engineVersion: this.text(answer.engineVersion),
    };
  }

  /** A step of a JSON pointer. */
  private step(step: string): string {
    const name = nameOfStep(step);
    return this.text(name) === name ? step : erasedValue;
  }

  private error(error: Diagnostic): Diagnostic {
    const steps = error.pointer?.split('/');
    const pointer = steps?.map((step) => this.step(step)).join('/');
    const rule = error.rule?.map((each) => this.text(each));
    const isNamed = pointer !== error.pointer || rule?.some((each, place) => each !== error.rule![place]) === true;
    // Each quoted value is asked for, so that all orders are found.
    const isQuoted = quotedIn(error.message).filter((value) => this.text(value) !== value).length > 0;
    return {
      ...error,
      message: this.isInRequest || isNamed || isQuoted ? erasedValue : this.text(error.message),
      ...(pointer !== undefined && { pointer }),
      ...(rule !== undefined && { rule }),
    };
  }
}
