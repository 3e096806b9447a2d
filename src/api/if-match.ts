import type { FastifyRequest } from 'fastify';
import { VerdictError } from '../errors.js';
import type { OperationHeader } from '../http/operation.js';

export const ifMatchHeader: OperationHeader = {
  name: 'If-Match',
  description: 'The revision that is replaced, such as `"7"`, or `*` for any.',
  pattern: '^([*]|"[1-9][0-9]{0,14}"|[1-9][0-9]{0,14})$',
};

/**
 * What `If-Match` expects; undefined when it was not sent. Revisions are in quotes, as RFC 9110 writes entity tags; those
 * who type them leave the quotes out.
 *
 * @throws VerdictError `invalid_request`
 */
export function expectedOf({ headers }: FastifyRequest): number | 'any' | undefined {
  const text = headers['if-match'];
  if (text === undefined) return undefined;
  if (text === '*') return 'any';
  const revision = Number(/^("?)([1-9]\d{0,15})\1$/.exec(text)?.[2]);
  if (Number.isSafeInteger(revision)) return revision;
  const detail = 'If-Match must be one revision, such as "7", or *';
  throw new VerdictError('invalid_request', `The request is not valid: ${detail}.`, {
    errors: [{ pointer: '', detail }],
  });
}
