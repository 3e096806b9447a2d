/** What Envoy is answered over gRPC. */
import type { Json } from '../../../core/request.js';
import { errorTable, VerdictError } from '../../../errors.js';
import { problemOf, problemType } from '../../../http/problem.js';
import type { DecisionAnswer } from '../../../pdp/decision-answer.js';
import type { GatewayVerdict, RefusedRequest } from '../../gateway-check.js';
import { decisionIdHeader } from '../../header-text.js';
import { upstreamHeaders } from '../upstream-headers.js';
import type { CheckResponse, HeaderOption } from './check-protocol.js';
import { structOf } from './proto-json.js';

/** `google.rpc.Code` */
const codes = { ok: 0, permissionDenied: 7, unauthenticated: 16 } as const;
/** `HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD`: a client's header of the name is replaced. */
const overwrite = 2;

/** The answer to a check: go forward, or what the client gets instead. */
export function checkResponse(verdict: GatewayVerdict, requestId: string): CheckResponse {
  if (!verdict.allowed) return deniedResponse(verdict, requestId);
  const headers = upstreamHeaders(verdict);
  if (headers === undefined) return deniedResponse(tooLong(verdict.decision), requestId);
  return {
    status: { code: codes.ok },
    okResponse: { headers: headers.set.map(([name, value]) => option(name, value)), headersToRemove: headers.remove },
    dynamicMetadata: metadataOf(verdict.decision, verdict.question.subject.id),
  };
}

function tooLong(decision: DecisionAnswer): RefusedRequest {
  const detail = 'What the server must be told does not fit its headers.';
  return { allowed: false, code: 'denied', detail, challenge: undefined, decision };
}

function deniedResponse({ code, detail, challenge, decision }: RefusedRequest, requestId: string): CheckResponse {
  const { status } = errorTable[code];
  return {
    status: { code: status === 401 ? codes.unauthenticated : codes.permissionDenied },
    deniedResponse: {
      status: { code: status },
      headers: [
        option('content-type', problemType),
        option('cache-control', 'no-store'),
        ...(challenge === undefined ? [] : [option('www-authenticate', challenge)]),
        ...(decision === undefined ? [] : [option(decisionIdHeader, decision.decisionId)]),
      ],
      body: JSON.stringify(problemOf(new VerdictError(code, detail), requestId)),
    },
    dynamicMetadata: decision === undefined ? structOf({ decision: 'deny' }) : metadataOf(decision),
  };
}

/** For Envoy's access log and its other filters, under `envoy.filters.http.ext_authz`. */
function metadataOf(decision: DecisionAnswer, subject?: string): CheckResponse['dynamicMetadata'] {
  const { decision: effect, decisionId, policySet, policyVersion, obligations } = decision;
  return structOf({
    decision: effect,
    decisionId,
    policySet,
    policyVersion,
    subject,
    obligations: obligations as Json,
  });
}

function option(key: string, value: string): HeaderOption {
  return { header: { key, value }, appendAction: overwrite };
}
