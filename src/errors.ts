/** Every way in which a call can fail, in one table; one filter turns them into responses (RFC 9457). */

export const errorTable = {
  malformed_request: { status: 400, title: 'The request is not well-formed' },
  invalid_request: { status: 400, title: 'The request is not valid' },
  clock_off: { status: 400, title: 'The clock of the client is too far off' },
  cursor_expired: { status: 400, title: 'The cursor is of an earlier version' },
  policy_set_invalid: { status: 400, title: 'The policy set cannot be served' },
  bundle_refused: { status: 400, title: 'The bundle cannot be taken' },
  no_policy_set: { status: 400, title: 'No policy set was named and there is no default' },
  unknown_revision: { status: 400, title: 'The policy set never had the demanded revision' },
  token_unknown: { status: 400, title: 'The policy set declares no such token' },
  token_invalid: { status: 400, title: 'A token of the question is not accepted' },
  token_expired: { status: 400, title: 'A token of the question has expired' },
  no_revision: { status: 400, title: 'The policy set has no revisions that could be demanded' },
  unauthenticated: { status: 401, title: 'Authentication is required' },
  forbidden: { status: 403, title: 'The caller may not do this' },
  denied: { status: 403, title: 'The policy does not allow this' },
  ambiguous_path: { status: 403, title: 'The path can be read in more than one way' },
  unmapped_path: { status: 403, title: 'The gateway mapping does not take this request' },
  unreadable_body: { status: 403, title: 'The body of the request cannot be read' },
  local_not_allowed: { status: 403, title: 'The policy set is not for decisions elsewhere' },
  not_found: { status: 404, title: 'Nothing is here' },
  policy_set_not_found: { status: 404, title: 'There is no such policy set' },
  policy_version_not_found: { status: 404, title: 'The policy set never served that version' },
  candidate_not_found: { status: 404, title: 'The policy set has no candidate' },
  api_key_not_found: { status: 404, title: 'There is no such API key' },
  decision_not_found: { status: 404, title: 'There is no such decision' },
  writer_not_found: { status: 404, title: 'There is no such writer of the decision log' },
  hold_not_found: { status: 404, title: 'There is no such hold' },
  proof_pending: { status: 404, title: 'No checkpoint is about the decision yet' },
  no_proof: { status: 404, title: 'Nothing proves that' },
  simulation_not_found: { status: 404, title: 'There is no such simulation' },
  erasure_not_found: { status: 404, title: 'There is no such erasure' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  api_key_exists: { status: 409, title: 'There is an API key of that name' },
  records_missing: { status: 409, title: 'Records before these were not sent' },
  instance_taken: { status: 409, title: 'The instance is of another caller' },
  writer_running: { status: 409, title: 'The writer of the decision log has not ended' },
  not_replayable: { status: 409, title: 'The decision cannot be computed again' },
  candidate_not_running: { status: 409, title: 'The candidate of the policy set was held back' },
  policy_version_invalid: { status: 409, title: 'That version of the policy set cannot be loaded' },
  not_live_data: { status: 409, title: 'The policy set does not let that be changed' },
  conflict: { status: 409, title: 'The change does not fit what is there' },
  defined_in_files: { status: 409, title: 'A file of the policy set defines it' },
  idempotency_key_reused: { status: 409, title: 'The key was sent with another request' },
  policy_source_read_only: { status: 409, title: 'Policy sets are not written here' },
  too_many_policy_sets: { status: 409, title: 'There are as many policy sets as there may be' },
  precondition_failed: { status: 412, title: 'It is not what the caller expects' },
  payload_too_large: { status: 413, title: 'The request is too large' },
  too_costly: { status: 413, title: 'The request costs more than the limit ever allows at once' },
  precondition_required: { status: 428, title: 'The caller must say what it changes' },
  too_many_requests: { status: 429, title: 'Too many requests' },
  internal_error: { status: 500, title: 'Something went wrong inside' },
  policy_set_unavailable: { status: 503, title: 'The policy set is not available' },
  policy_too_old: { status: 503, title: 'What is served is older than demanded' },
  answers_unread: { status: 503, title: 'Too many answers wait to be read' },
  bodies_in_progress: { status: 503, title: 'Too many large bodies are being read' },
  policy_writes_in_progress: { status: 503, title: 'Too many policy sets are being written' },
  records_in_progress: { status: 503, title: 'Records of the instance are being taken' },
  simulations_in_progress: { status: 503, title: 'Too many simulations run' },
  bundle_keys_unavailable: { status: 503, title: 'The keys of bundles cannot be read' },
  batch_out_of_time: { status: 503, title: 'The time of the batch was not enough' },
  decision_log_unavailable: { status: 503, title: 'The decision cannot be recorded' },
  database_unavailable: { status: 503, title: 'The database cannot be read or written' },
  token_issuer_unavailable: { status: 503, title: 'The tokens of the question cannot be verified now' },
  identity_provider_unavailable: { status: 503, title: 'The caller cannot be identified now' },
  shutting_down: { status: 503, title: 'The service is stopping' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof errorTable;

/** One fault in a request body, by RFC 6901 JSON pointer; `''` is the body as a whole. */
export interface FieldError {
  readonly pointer: string;
  readonly detail: string;
}

/** Whose records are not all where they are looked for; another try may find them. */
export interface UnshippedRecords {
  /** Its number in the shared decision log. */
  readonly writer: number;
  /** RFC 3339: its records from before this time are there. */
  readonly shippedTo: string;
}

/**
 * The one error that is thrown on purpose. `detail` may be shown to the caller; what only the operator should read
 * goes into `cause`.
 */
export class VerdictError extends Error {
  override readonly name = 'VerdictError';

  constructor(
    readonly code: ErrorCode,
    readonly detail: string,
    readonly extra: {
      readonly errors?: readonly FieldError[];
      readonly cause?: unknown;
      readonly retryAfter?: number;
      readonly unshipped?: UnshippedRecords;
      /** The number of the record that is wanted next. */
      readonly next?: number;
    } = {},
  ) {
    const { stackTraceLimit } = Error;
    // A caller's mistake needs no stack, and to take one is a tenth of what a refusal costs.
    if (errorTable[code].status < 500) Error.stackTraceLimit = 0;
    super(detail, { cause: extra.cause });
    Error.stackTraceLimit = stackTraceLimit;
  }

  get status(): number {
    return errorTable[this.code].status;
  }
}

/** @param usable the sets that the request could have named */
export function noPolicySet(usable: readonly string[]): VerdictError {
  const detail = usable.length === 0 ? 'there is no policy set' : `policySet must be one of: ${usable.join(', ')}`;
  const sentence = usable.length === 0 ? 'There is no policy set.' : `There is no default policy set, so ${detail}.`;
  return new VerdictError('no_policy_set', sentence, { errors: [{ pointer: '/policySet', detail }] });
}

export function policySetNotFound(name: string): VerdictError {
  return new VerdictError('policy_set_not_found', `There is no policy set "${name}".`);
}

export function versionNotFound(set: string, version: string): VerdictError {
  return new VerdictError('policy_version_not_found', `The policy set "${set}" never served version "${version}".`);
}

/**
 * The refusal of one parameter of a query.
 *
 *     invalidParameter('limit', 'is not a whole number').detail   // 'The query is not valid: limit is not a whole number.'
 *
 * @param fault the end of a sentence that begins with the parameter's name, without a period
 */
export function invalidParameter(
  name: string,
  fault: string,
  code: 'invalid_request' | 'cursor_expired' = 'invalid_request',
): VerdictError {
  const detail = `The query is not valid: ${name} ${fault}.`;
  return new VerdictError(code, detail, { errors: [{ pointer: `/${name}`, detail: fault }] });
}

/** The refusal of one header of a request; `fault` as that of `invalidParameter`. */
export function invalidHeader(name: string, fault: string): VerdictError {
  return new VerdictError('invalid_request', `The header ${name} ${fault}.`);
}
