/** What the OpenAPI document says about callers: how they authenticate, what each route asks, and how it refuses. */
import type { OpenAPIObject } from '@nestjs/swagger';
import { sessionCookieName } from '../auth/sessions.js';
import type { DeclaredRoute } from '../http/access.js';
import { problemType } from '../http/problem.js';

const securitySchemes = {
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

interface Operation {
  requestBody?: object;
  security?: object[];
  responses?: Record<string, unknown>;
  description?: string;
}

/** A copy of the document that says so for each of the routes which it describes. */
export function withAccess(document: OpenAPIObject, routes: readonly DeclaredRoute[]): OpenAPIObject {
  const paths: Record<string, Record<string, Operation>> = structuredClone(document.paths) as never;
  Object.assign(paths, sessionPaths());
  const anyOf = Object.keys(securitySchemes).map((name) => ({ [name]: [] }));
  for (const { method, url, access } of routes) {
    const operation = paths[url.replace(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()];
    if (operation === undefined) continue;
    // A form of another site sends no content type of this kind, so a POST without anything to say has one too.
    if (method.toLowerCase() === 'post') operation.requestBody ??= emptyBody;
    operation.security = access === 'public' ? [] : anyOf;
    if (access === 'public') continue;
    const asks = access === 'authenticated' ? 'Any credential.' : `Scope \`${access}\`.`;
    operation.description = operation.description === undefined ? asks : `${operation.description} ${asks}`;
    operation.responses = {
      ...operation.responses,
      401: problem('No valid credential'),
      ...(access !== 'authenticated' && { 403: problem(`The credential does not have the scope ${access}`) }),
      429: problem('Too many requests; Retry-After says when to come back'),
    };
  }
  const components = { ...document.components, securitySchemes: securitySchemes };
  // @nestjs/swagger types documents as OpenAPI 3.0's, which has no mutualTLS.
  return { ...document, paths, components } as unknown as OpenAPIObject;
}

const emptyBody = {
  required: true,
  content: { 'application/json': { schema: { type: 'object', additionalProperties: false } } },
};

/** They are Fastify's own, so Nest does not know them. */
function sessionPaths(): Record<
  string,
  Record<string, Operation & { operationId: string; tags: string[]; summary: string }>
> {
  const operation = (operationId: string, summary: string, status: number, description: string) => ({
    operationId,
    tags: ['session'],
    summary,
    responses: { [status]: { description } },
  });
  return {
    '/v1/session': {
      post: operation('startSession', 'An API key for a cookie, and a CSRF token', 201, 'The cookie is set.'),
      get: operation('describeSession', 'Who the caller is, and what he may do', 200, 'Name, method and scopes.'),
      delete: operation('endSession', 'Log out', 204, 'The cookie is gone.'),
    },
  };
}

function problem(description: string): object {
  return { description, content: { [problemType]: { schema: { $ref: '#/components/schemas/Problem' } } } };
}
