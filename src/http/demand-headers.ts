/**
 * `Verdict-At-Least` and `Verdict-Max-Staleness`: how fresh the policy set must be that answers, where the body is a
 * standard's and has no member for it. On our own routes they say it for a body that does not.
 */
import type { FastifyRequest } from 'fastify';
import { isRevision, mostRevisions } from '../core/asked/question-fault.js';
import { durationPattern, parseDuration } from '../core/duration.js';
import { VerdictError } from '../errors.js';
import type { Demand, RevisionsBySet } from '../pdp/demand.js';
import type { Operation } from './operation.js';

const atLeastHeader = 'Verdict-At-Least';
const maxStalenessHeader = 'Verdict-Max-Staleness';
/** One revision, or one for each of several sets. */
const atLeastPattern = '^([1-9][0-9]{0,14}|[^=, \\t]+=[1-9][0-9]{0,14}(, ?[^=, \\t]+=[1-9][0-9]{0,14})*)$';
const pointers = { [atLeastHeader]: '/atLeast', [maxStalenessHeader]: '/maxStaleness' } as const;

/** For the OpenAPI document. */
export const demandHeaders: Operation['headers'] = [
  {
    name: atLeastHeader,
    description:
      'The revision that the policy set must have at the least, such as `42`, or revisions by set: `invoices=42, orders=7`.',
    pattern: atLeastPattern,
  },
  {
    name: maxStalenessHeader,
    description: 'How long ago, such as `30s`, the source of the policy set may have been confirmed last.',
    pattern: durationPattern,
  },
];

const nothing: Demand = Object.freeze({});

/**
 * What the headers of a request demand.
 *
 *     demandOf(request) // { atLeast: 42 } for `Verdict-At-Least: 42`
 *
 * @throws VerdictError `invalid_request` for one that comes twice or cannot be read
 */
export function demandOf(request: FastifyRequest): Demand {
  const { headers } = request;
  // Nearly always.
  if (headers['verdict-at-least'] === undefined && headers['verdict-max-staleness'] === undefined) return nothing;
  const atLeast = oneHeader(request, atLeastHeader);
  const maxStaleness = oneHeader(request, maxStalenessHeader);
  if (maxStaleness !== undefined && (maxStaleness === '0' || parseDuration(maxStaleness) === undefined)) {
    throw wrong(maxStalenessHeader, 'must be a duration such as 30s');
  }
  return {
    ...(atLeast !== undefined && { atLeast: readRevisions(atLeast) }),
    ...(maxStaleness !== undefined && { maxStaleness }),
  };
}

/** Where two parties set a header, one of them may not know of the other. */
function oneHeader({ headers, raw: { rawHeaders } }: FastifyRequest, name: keyof typeof pointers): string | undefined {
  const key = name.toLowerCase();
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index]!.toLowerCase() === key) count++;
  }
  if (count > 1) throw wrong(name, `comes ${count} times`);
  return headers[key] as string | undefined;
}

function readRevisions(text: string): number | RevisionsBySet {
  if (!text.includes('=')) return readRevision(text);
  const members = text.split(',').map((member) => /^[ \t]*([^=,]+)=([^=,]*?)[ \t]*$/.exec(member));
  const bySet = new Map<string, number>();
  for (const member of members) {
    if (member === null) throw wrong(atLeastHeader, 'must be a revision, or a list such as invoices=42, orders=7');
    const [, name, revision] = member as unknown as [string, string, string];
    if (bySet.has(name)) throw wrong(atLeastHeader, `names the policy set "${name}" twice`);
    bySet.set(name, readRevision(revision));
  }
  if (bySet.size > mostRevisions) throw wrong(atLeastHeader, `names more than ${mostRevisions} policy sets`);
  return Object.fromEntries(bySet);
}

function readRevision(text: string): number {
  const revision = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!isRevision(revision)) {
    throw wrong(
      'Verdict-At-Least',
      `must be made of revisions, which are integers from 1 to ${Number.MAX_SAFE_INTEGER}`,
    );
  }
  return revision;
}

/** The pointers are those of the members that say the same in a body of ours. */
function wrong(name: keyof typeof pointers, fault: string): VerdictError {
  const detail = `the header ${name} ${fault}`;
  return new VerdictError('invalid_request', `The request is not valid: ${detail}.`, {
    errors: [{ pointer: pointers[name], detail }],
  });
}
