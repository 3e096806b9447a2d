/**
 * `POST /v1/gateway/mcp`: may a message of the Model Context Protocol go on? By the COAZ binding for MCP, a draft of the OpenID AuthZEN
 * working group: there while `VERDICT_DRAFTS` has `mcp`.
 */
import type { FastifyInstance } from 'fastify';
import type { Json } from '../../core/request.js';
import { VerdictError } from '../../errors.js';
import { askerOf } from '../../http/asker.js';
import type { HttpLimits } from '../../http/http-limits.js';
import { invalidRequest, Validation } from '../../http/json-schema.js';
import type { Operation } from '../../http/operation.js';
import { idOnBase, type PolicySetBase, policySetBases, policySetOf } from '../../http/policy-set-base.js';
import type { PolicyStore } from '../../policy-store/policy-store.js';
import { McpRequest } from './mcp.request.js';
import { McpAnswer } from './mcp-answer.js';
import { checkMessage, declaredMapping, type McpServices } from './mcp-check.js';
import type { McpMessage } from './mcp-methods.js';

export interface McpRouteServices extends McpServices {
  readonly policySets: PolicyStore;
}

export function registerMcpRoutes(fastify: FastifyInstance, services: McpRouteServices, limits: HttpLimits): void {
  const validation = new Validation([McpRequest], limits, 'refuse');
  for (const base of policySetBases) {
    fastify.post<{ Body: McpRequest }>(`${base}/v1/gateway/mcp`, {
      config: { access: 'decide', limit: 'decide', operation: described(base) },
      schema: { body: { $ref: McpRequest.name } },
      validatorCompiler: () => validation.of(McpRequest),
      schemaErrorFormatter: invalidRequest,
      bodyLimit: limits.bodyBytes,
      handler: async (request, reply): Promise<McpAnswer> => {
        reply.header('cache-control', 'no-store');
        const { message, token, tool, result } = request.body;
        const { id } = message;
        if (!isJsonRpcId(id)) throw wrongId;
        if (tool !== undefined && message.method === 'tools/call' && tool.name !== message.params?.name)
          throw otherTool;
        const call = {
          asker: askerOf(request, 'mcp'),
          set: policySetOf(request, services.policySets),
          message: { method: message.method, params: message.params ?? {}, id } satisfies McpMessage,
          token,
          mapping: tool === undefined ? undefined : declaredMapping(tool),
          result,
        };
        return checkMessage(services, call);
      },
    });
  }
}

function described(base: PolicySetBase): Operation {
  return {
    id: idOnBase('checkMcpMessage', base),
    tag: 'gateway',
    summary: 'May this message of the Model Context Protocol go on? (draft)',
    body: McpRequest,
    answers: { 200: { description: 'Whether it may, and what the agent gets if not.', json: McpAnswer } },
    refusals: [
      'malformed_request',
      'policy_set_not_found',
      'payload_too_large',
      'policy_set_unavailable',
      'policy_too_old',
      'identity_provider_unavailable',
      'decision_log_unavailable',
    ],
  };
}

function isJsonRpcId(id: Json | undefined): id is McpMessage['id'] {
  return id === undefined || id === null || typeof id === 'string' || typeof id === 'number';
}

const wrongId = new VerdictError(
  'invalid_request',
  'The request is not valid: message.id is neither a text nor a number.',
  {
    errors: [{ pointer: '/message/id', detail: 'is neither a text nor a number' }],
  },
);

/** Its mapping would decide on another one's call. */
const otherTool = new VerdictError('invalid_request', 'The request is not valid: tool is not the one that is called.', {
  errors: [{ pointer: '/tool/name', detail: 'is not the name in message.params' }],
});
