/** What the OpenAPI document says about callers: how they authenticate, what each route asks, and how it refuses. */
import { sessionCookieName } from '../auth/sessions.js';
import type { Access } from '../http/access.js';

export const securitySchemes = {
  bearer: { type: 'http', scheme: 'bearer', description: 'An API key (vd_…) or an OAuth 2.0 access token.' },
  basic: { type: 'http', scheme: 'basic', description: 'The name of an API key, and the key.' },
  header: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
  session: {
    type: 'apiKey',
    in: 'cookie',
    name: sessionCookieName(true),
    description: 'Of POST /v1/session; what changes something needs its token in X-CSRF-Token as well.',
  },
  certificate: { type: 'mutualTLS' },
};

/** Alternatives: one is enough. */
const anyScheme = Object.keys(securitySchemes).map((name) => ({ [name]: [] }));

export interface DescribedAccess {
  /** Describes in words the scopes that a caller needs. */
  readonly description?: string;
  readonly security: readonly object[];
  /** The descriptions of the refusals that this brings, by status. */
  readonly refusals: Readonly<Record<number, string>>;
}

export function accessOf(access: Access): DescribedAccess {
  if (access === 'public') return { security: [], refusals: {} };
  const refusals = { 401: 'No valid credential', 429: 'Too many requests; Retry-After says when to come back' };
  if (access === 'authenticated') return { description: 'Any credential.', security: anyScheme, refusals };
  return {
    description: `Scope \`${access}\`.`,
    security: anyScheme,
    refusals: { ...refusals, 403: `The credential does not have the scope ${access}` },
  };
}
