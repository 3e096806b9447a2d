import type { Logger } from 'pino';
import type { Caller } from '../../../auth/caller.js';
import { VerdictError } from '../../../errors.js';
import { asVerdictError } from '../../../http/problem.js';
import { requestIdOf, traceIdOf } from '../../../http/request-ids.js';
import { visiblePolicySet } from '../../../pdp/visible-policy-set.js';
import { checkRequest, type GatewayServices, type GatewayVerdict } from '../../gateway-check.js';
import type { CheckRequest, CheckResponse, Received } from './check-protocol.js';
import { checkResponse } from './check-response.js';
import { type ClientRequest, clientRequestOf } from './client-request.js';
import type { GrpcGate } from './grpc-gate.js';

/** Who sent a check, and for which set. */
export interface CheckCaller {
  readonly caller: Caller;
  readonly address: string;
  /** Undefined: the default set. */
  readonly policySet: string | undefined;
}

/** Answers checks. */
export class CheckHandler {
  constructor(
    private readonly services: GatewayServices,
    private readonly gate: GrpcGate,
    private readonly logger: Logger,
  ) {}

  /**
   * The answer to a check.
   *
   * @throws VerdictError when there is none: Envoy lets no request go forward then
   */
  async answer({ message, length }: Received<CheckRequest>, asked: CheckCaller): Promise<CheckResponse> {
    const { caller, address, policySet } = asked;
    const fault = this.gate.charge(caller, address, length) ?? this.gate.faultOfSet(caller, policySet, address);
    if (fault !== undefined) throw fault;
    const client = message === undefined ? undefined : clientRequestOf(message, this.services.limits);
    if (client === undefined)
      throw new VerdictError('malformed_request', 'The message does not describe an HTTP request.');
    const { headers } = client.request;
    const requestId = requestIdOf({ 'x-request-id': ownText(headers, 'x-request-id') });
    try {
      const verdict = await this.decide(client, asked, requestId);
      return checkResponse(verdict, requestId);
    } catch (thrown) {
      const error = asVerdictError(thrown);
      if (error.status >= 500 && error.code !== 'policy_too_old') {
        this.logger.error({ err: error.extra.cause ?? thrown, requestId, code: error.code }, error.detail);
      }
      throw error;
    }
  }

  private async decide(client: ClientRequest, asked: CheckCaller, requestId: string): Promise<GatewayVerdict> {
    const { caller, policySet } = asked;
    const { name, method: authentication, grants } = caller;
    const { headers } = client.request;
    const traceId = traceIdOf({ traceparent: ownText(headers, 'traceparent') });
    const set = visiblePolicySet(this.services.policySets, grants.policySets('decide'), policySet);
    try {
      return await checkRequest(this.services, {
        caller,
        asker: { caller: name, authentication, grants, via: 'gateway', requestId, traceId },
        set,
        request: client.request,
        authorization: client.authorization(),
        header: client.header,
        body: client.body,
      });
    } catch (error) {
      // A header that may have come twice is the client's fault, and no reason to ask another replica.
      if (!(error instanceof VerdictError) || error.code !== 'malformed_request') throw error;
      return { allowed: false, code: error.code, detail: error.detail, challenge: undefined, decision: undefined };
    }
  }
}

function ownText(headers: ClientRequest['request']['headers'], name: string): string | undefined {
  const value = Object.hasOwn(headers, name) ? headers[name] : undefined;
  return typeof value === 'string' ? value : undefined;
}
