/** The gate before every gRPC call, as `http/gate.ts` is before every route (P7, P10): who calls, may it, is it too often. */
import type { Logger } from 'pino';
import type { AuditLog } from '../../../audit/audit-log.js';
import type { Authenticator, CallCredentials, Refusal } from '../../../auth/authenticator.js';
import { anonymous, type Caller, callerKey } from '../../../auth/caller.js';
import type { FailedAuthentications } from '../../../auth/failed-authentications.js';
import type { Allowance } from '../../../auth/limiters.js';
import { pointsOf, type RateLimits } from '../../../auth/rate-limits.js';
import { VerdictError } from '../../../errors.js';

export interface GrpcGateOptions {
  /** Undefined while authentication is off: then every caller is `anonymous` and may do everything. */
  readonly authenticator: Authenticator | undefined;
  readonly limits: RateLimits;
  readonly failures: FailedAuthentications;
  readonly audit: AuditLog;
  readonly logger: Logger;
}

export class GrpcGate {
  constructor(private readonly options: GrpcGateOptions) {}

  /** The caller, or why it may not call. A promise only for an access token that was not seen before. */
  admit(credentials: CallCredentials, address: string): Caller | VerdictError | Promise<Caller | VerdictError> {
    const { authenticator } = this.options;
    if (authenticator === undefined) return anonymous;
    const outcome = authenticator.authenticateCall(credentials, address, Date.now());
    return outcome instanceof Promise
      ? outcome.then((settled) => this.judge(settled, address))
      : this.judge(outcome, address);
  }

  /** Why the caller may not ask about a set by this name. A set that its scopes do not name is not found. */
  faultOfSet(caller: Caller, set: string | undefined, address: string): VerdictError | undefined {
    if (set === undefined || caller.grants.allows('decide', set)) return undefined;
    this.noteScope(caller, `decide:${set}`, address);
    return new VerdictError('policy_set_not_found', `There is no policy set "${set}".`);
  }

  /** Counts a message against the limits of its caller; returns why it is refused. */
  charge(caller: Caller, address: string, bytes: number): VerdictError | undefined {
    const { limits, audit } = this.options;
    const quota = caller.dailyQuota;
    if (!limits.has('decide') && quota === undefined) return undefined;
    const points = pointsOf(bytes);
    const key = callerKey(caller, address);
    let allowance: Allowance = limits.take('decide', key, points);
    if (!allowance.limited && quota !== undefined) {
      allowance = limits.takeOfDay(quota, key, points);
      if (allowance.limited) limits.giveBack('decide', key, points);
    }
    if (allowance.isUncounted === true) {
      return new VerdictError('database_unavailable', 'The daily quota of the caller cannot be counted now.');
    }
    if (!allowance.limited) return undefined;
    audit.note({ type: 'limit_hit', actor: caller.name, method: caller.method, address, detail: 'decide' });
    return tooMany(allowance);
  }

  private judge(outcome: Caller | Refusal, address: string): Caller | VerdictError {
    if ('refused' in outcome) return this.refuse(outcome, address);
    if (outcome.grants.has('decide')) return outcome;
    this.noteScope(outcome, 'decide', address);
    return new VerdictError('forbidden', 'The credential does not have the scope "decide".');
  }

  private refuse({ refused: detail, method, claimed, missing }: Refusal, address: string): VerdictError {
    const { audit, failures, logger } = this.options;
    if (missing !== true) {
      const allowance = failures.count(address);
      if (allowance.limited) {
        audit.note({ type: 'limit_hit', address, detail: 'failures' });
        return tooMany(allowance);
      }
    }
    const who = { ...(method !== undefined && { method }), ...(claimed !== undefined && { actor: claimed }) };
    audit.note({ type: 'authentication_failed', ...who, address, detail });
    logger.warn({ address, ...who, reason: detail }, 'authentication failed');
    return new VerdictError('unauthenticated', 'A valid credential is required.');
  }

  private noteScope({ name: actor, method }: Caller, detail: string, address: string): void {
    this.options.audit.note({ type: 'scope_refused', actor, method, address, detail });
  }
}

function tooMany({ resetSeconds }: Allowance): VerdictError {
  return new VerdictError('too_many_requests', `Too many requests; come back in ${resetSeconds} s.`);
}
