import { faultInName } from '../core/names.js';
import { VerdictError } from '../errors.js';

/** Longest reason that is kept, in characters. */
export const mostReason = 512;

/**
 * Checks a reason that is kept and shown, whichever way it came.
 *
 * @throws VerdictError `invalid_request` for one that is empty, longer than 512 characters, or has control characters
 */
export function checkReason(reason: string): void {
  if (reason.length > mostReason) refuse('reason', `must have at most ${mostReason} characters`);
  checkText('reason', reason);
}

/**
 * Checks the id of a subject or a resource.
 *
 * @param kind what it is the id of, as a request names it
 * @throws VerdictError `invalid_request` for one that no request can have
 */
export function checkPerson(kind: string, id: string): void {
  checkText(kind, id);
}

function checkText(name: string, text: string): void {
  const fault = faultInName(text);
  if (text === '') refuse(name, 'must not be empty');
  if (fault !== undefined) refuse(name, `must not hold ${fault}`);
}

function refuse(name: string, detail: string): never {
  throw new VerdictError('invalid_request', `The ${name} ${detail}.`, { errors: [{ pointer: `/${name}`, detail }] });
}
