/** The gateways' route in the OpenAPI document. It answers every method; the document shows the one that gateways use. */
import { type OpenApiPart, problems } from '../http/openapi-part.js';
import { policySetBases } from '../http/policy-set-base.js';

const header = (name: string, required = false) => ({ name, in: 'header', required, schema: { type: 'string' } });

const headers = [
  header('X-Forwarded-Method', true),
  header('X-Forwarded-Uri', true),
  header('X-Forwarded-Host'),
  header('X-Forwarded-Proto'),
];

export function forwardAuthOpenApi(): OpenApiPart {
  const paths: Record<string, unknown> = {};
  for (const base of policySetBases) {
    const ofSet = base === '' ? [] : [{ name: 'set', in: 'path', required: true, schema: { type: 'string' } }];
    paths[`${base.replace(':set', '{set}')}/v1/gateway/forward-auth`] = {
      get: {
        operationId: base === '' ? 'forwardAuth' : 'forwardAuthOfSet',
        tags: ['gateway'],
        summary: 'May the request that a gateway holds go forward?',
        parameters: [...ofSet, ...headers],
        responses: {
          200: { description: 'It may; X-Verdict-Decision-Id and X-Verdict-Subject can be passed on.' },
          ...problems(
            'malformed_request',
            'unauthenticated',
            'denied',
            'policy_set_not_found',
            'policy_set_unavailable',
          ),
        },
      },
    };
  }
  return { paths, schemas: {} };
}
