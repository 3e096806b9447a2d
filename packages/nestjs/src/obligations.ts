import { HttpException } from '@nestjs/common';
import type { Decision } from '@verdict/client';
import type { Awaitable } from './awaitable.js';
import type { Call } from './call.js';

/** What must be done before an allow counts, or with a deny. */
export interface Obligation {
  readonly id: string;
  readonly type: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

/** Where an obligation comes from. */
export interface Obliged {
  readonly decision: Decision;
  /** The call that is decided; undefined in `VerdictService.filter` and `can`, which are for no call. */
  readonly call?: Call | undefined;
}

/** Fulfils an obligation. It is not fulfilled where this is false, or throws. */
export type ObligationHandler = (obligation: Obligation, obliged: Obliged) => Awaitable<unknown>;

/** By type: `{ 'step-up': …, notification: … }`. What a policy gives in another form has the type `custom`. */
export type ObligationHandlers = Readonly<Record<string, ObligationHandler>>;

/** An `HttpException` that a handler threw: what is answered in place of a deny. */
export class ObligationAnswer extends Error {
  constructor(readonly exception: HttpException) {
    super(exception.message);
  }
}

/** What is not fulfilled, one text each. */
export type Unfulfilled = readonly string[];

const nothing: Unfulfilled = [];

/**
 * Fulfils the obligations of a decision, one after the other: each that can be, also where another one cannot.
 *
 * @throws ObligationAnswer where a handler threw an `HttpException`, after all of them were tried
 */
export function fulfil(handlers: ObligationHandlers | undefined, obliged: Obliged): Awaitable<Unfulfilled> {
  // Without handlers they are for the application, which sees them in the decision.
  if (handlers === undefined) return nothing;
  const obligations: readonly unknown[] = obliged.decision.obligations;
  return obligations.length === 0 ? nothing : fulfilEach(handlers, obligations, obliged);
}

async function fulfilEach(
  handlers: ObligationHandlers,
  obligations: readonly unknown[],
  obliged: Obliged,
): Promise<Unfulfilled> {
  const unfulfilled: string[] = [];
  let answer: HttpException | undefined;
  for (const [index, given] of obligations.entries()) {
    const obligation = obligationOf(given, index);
    const handler = obligation && Object.hasOwn(handlers, obligation.type) ? handlers[obligation.type] : undefined;
    if (obligation === undefined) unfulfilled.push('an obligation is not in the form of its type');
    else if (typeof handler !== 'function') unfulfilled.push(`nothing handles ${obligation.type} (${obligation.id})`);
    else {
      try {
        if ((await handler(obligation, obliged)) === false)
          unfulfilled.push(`${obligation.type} (${obligation.id}) failed`);
      } catch (error) {
        if (error instanceof HttpException) answer ??= error;
        unfulfilled.push(`${obligation.type} (${obligation.id}) failed: ${messageOf(error)}`);
      }
    }
  }
  if (answer !== undefined) throw new ObligationAnswer(answer);
  return unfulfilled;
}

/** In the form of AuthZEN's draft; undefined for what has the type of one and no id or properties. */
export function obligationOf(given: unknown, index: number): Obligation | undefined {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) {
    const { id, type, properties } = given as Record<string, unknown>;
    if (typeof type === 'string') {
      const isWhole = typeof id === 'string' && typeof properties === 'object' && properties !== null;
      return isWhole && !Array.isArray(properties) ? (given as Obligation) : undefined;
    }
    if (typeof id === 'string') return { id, type: 'custom', properties: { obligation: given } };
  }
  return { id: `obligation-${index + 1}`, type: 'custom', properties: { obligation: given } };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? String(error.message) : 'something was thrown that is no error';
}
