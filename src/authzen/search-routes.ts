/** Subject, Resource and Action Search (section 8). */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Json } from '../core/request.js';
import type { SearchQuery } from '../core/search/search-query.js';
import { askerOf } from '../http/asker.js';
import { demandOf } from '../http/demand-headers.js';
import type { HttpLimits } from '../http/http-limits.js';
import { invalidRequest, Validation } from '../http/json-schema.js';
import { freshPolicySetOf, policySetBases } from '../http/policy-set-base.js';
import type { FreshSets } from '../pdp/fresh-sets.js';
import type { PolicySearch, SearchPage } from '../pdp/policy-search.js';
import { authzenOperation } from './authzen-operation.js';
import { type PagePlace, pageToken, readPageToken, refused } from './page-token.js';
import { ActionSearchAnswer, EntitySearchAnswer, type FoundContext } from './search-answer.js';
import {
  ActionSearchRequest,
  actionQuery,
  type PageRequest,
  ResourceSearchRequest,
  resourceQuery,
  SubjectSearchRequest,
  searchShapes,
  subjectQuery,
} from './search-request.js';

export interface SearchServices {
  readonly search: PolicySearch;
  readonly freshSets: FreshSets;
  readonly limits: HttpLimits;
  /** Whether callers say which obligations they execute (draft `obligations`). */
  readonly negotiatesObligations: boolean;
}

const searchIds = { subject: 'searchSubjects', resource: 'searchResources', action: 'searchActions' } as const;

/** Most results on one page, and the default. */
const maxResults = 1_000;

export function registerSearchRoutes(fastify: FastifyInstance, services: SearchServices): void {
  const { search, freshSets, limits, negotiatesObligations } = services;
  const validation = new Validation(searchShapes, limits, 'ignore');

  async function answer(
    query: SearchQuery,
    page: PageRequest,
    request: FastifyRequest,
  ): Promise<EntitySearchAnswer | ActionSearchAnswer> {
    const set = await freshPolicySetOf(request, freshSets, demandOf(request));
    // As JSON: a query holds what came in a body, and the name of a set.
    const identity = [set.name, query] as unknown as Json;
    const { after, limit } = placeOf(page, identity);
    const found = await search.search(
      set,
      query,
      { after, limit: Math.min(limit, maxResults), negotiatesObligations },
      askerOf(request, 'search'),
    );
    return responseOf(query, found, found.end === 'complete' ? '' : pageToken({ after: found.next, limit }, identity));
  }

  function route<Body extends { readonly page?: PageRequest }>(
    kind: SearchQuery['kind'],
    shape: new () => Body,
    queryOf: (body: Body) => SearchQuery,
  ): void {
    for (const base of policySetBases) {
      fastify.post(`${base}/access/v1/search/${kind}`, {
        config: {
          access: 'decide',
          limit: 'search',
          operation: authzenOperation(base, {
            id: searchIds[kind],
            summary: `AuthZEN 1.0: ${kind[0]!.toUpperCase()}${kind.slice(1)} Search`,
            body: shape,
            json: kind === 'action' ? ActionSearchAnswer : EntitySearchAnswer,
          }),
        },
        schema: { body: { $ref: shape.name } },
        validatorCompiler: () => validation.of(shape),
        schemaErrorFormatter: invalidRequest,
        handler: (request) => {
          const body = request.body as Body;
          return answer(queryOf(body), body.page ?? {}, request);
        },
      });
    }
  }

  route('subject', SubjectSearchRequest, subjectQuery);
  route('resource', ResourceSearchRequest, resourceQuery);
  route('action', ActionSearchRequest, actionQuery);
}

/** Where the page begins and how much it may hold: with a token, what the first page said (section 8.2.3). */
function placeOf({ token, limit }: PageRequest, identity: Json): PagePlace {
  if (token === undefined || token === '') return { after: undefined, limit: limit ?? maxResults };
  const place = readPageToken(token, identity);
  if (limit !== undefined && limit !== place.limit) {
    throw refused(`was given for pages of ${place.limit}, not of ${limit}`);
  }
  return place;
}

function responseOf(
  { kind, type }: SearchQuery,
  found: SearchPage,
  nextToken: string,
): EntitySearchAnswer | ActionSearchAnswer {
  const { searchId, policySet, policyVersion, revision, results, obligations, examined, rolesLeftOut, end } = found;
  const extent = end === 'complete' ? { complete: true } : { complete: false, stopped_by: end };
  const page = {
    page: {
      next_token: nextToken,
      count: results.length,
      properties: { ...extent, examined, ...(rolesLeftOut > 0 && { roles_left_out: rolesLeftOut }) },
    },
    context: {
      id: searchId,
      policy_set: policySet,
      policy_version: policyVersion,
      ...(revision !== undefined && { revision }),
    },
  };
  return kind === 'action'
    ? { ...page, results: results.map((name) => ({ name, ...contextOf(name, obligations) })) }
    : { ...page, results: results.map((id) => ({ type: type!, id, ...contextOf(id, obligations) })) };
}

function contextOf(id: string, obligations: SearchPage['obligations']): { readonly context?: FoundContext } {
  const own = obligations?.get(id);
  // Sound: obligations are JSON.
  return own === undefined ? {} : { context: { obligations: own as unknown as readonly Json[] } };
}
