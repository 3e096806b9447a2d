/** What Envoy changes in the headers of a request that is allowed, so that the server behind it is told who asks, and by which decision. */
import type { Json } from '../../core/request.js';
import type { AllowedRequest } from '../gateway-check.js';
import { type ForwardedHeaders, forwardedHeaders } from '../gateway-request.js';
import { decisionIdHeader, headerText, subjectHeader } from '../header-text.js';

/** Most characters of all values. Envoy takes 60 KiB of headers by default, and the client's count too. */
const mostCharacters = 16 * 1024;

/**
 * The headers to set, over what the client sent, and those to remove. A header of ours without a value is removed, and so
 * is the header that names the user to Verdict, if the user was named otherwise: the client may have sent them, and the server may
 * trust them. Undefined if they would be too long.
 */
export function upstreamHeaders(allowed: AllowedRequest): ForwardedHeaders | undefined {
  const { decision, question, identity, request, mapping, isNamedByHeader } = allowed;
  const byMapping = forwardedHeaders(mapping, request, identity);
  const set: (readonly [string, string])[] = [
    [decisionIdHeader, decision.decisionId],
    [subjectHeader, headerText(question.subject.id)],
    ['x-verdict-policy-version', decision.policyVersion],
    ...byMapping.set.map(([name, value]) => [name, headerText(value)] as const),
  ];
  const remove = [...byMapping.remove];
  const identityHeader = mapping.identity?.header;
  const isSet = identityHeader !== undefined && mapping.forward.set.has(identityHeader);
  if (identityHeader !== undefined && !isNamedByHeader && !isSet && !remove.includes(identityHeader)) {
    remove.push(identityHeader);
  }
  if (decision.obligations.length === 0) remove.push(obligationsHeader);
  else set.push([obligationsHeader, asciiJson(decision.obligations)]);
  const characters = set.reduce((sum, [, value]) => sum + value.length, 0);
  return characters > mostCharacters ? undefined : { set, remove };
}

const obligationsHeader = 'x-verdict-obligations';

/** JSON in printable ASCII. */
function asciiJson(value: Json | readonly Json[]): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
