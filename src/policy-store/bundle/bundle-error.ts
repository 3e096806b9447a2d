import type { PolicyProblem } from '../../core/problem.js';

/** Stable; `docs/problems.md` and `docs/bundles.md` list them. */
export type BundleErrorCode =
  | 'bundle_unreachable'
  | 'bundle_access_denied'
  | 'bundle_missing'
  | 'bundle_redirected'
  | 'bundle_encoded'
  | 'bundle_too_large'
  | 'bundle_index_invalid'
  | 'bundle_index_expired'
  | 'bundle_index_older'
  | 'bundle_revision_lower'
  | 'bundle_unsigned'
  | 'bundle_signature_invalid'
  | 'bundle_key_unknown'
  | 'bundle_keys_invalid'
  | 'bundle_digest_mismatch'
  | 'bundle_archive_invalid'
  | 'bundle_manifest_invalid'
  | 'bundle_changed_meanwhile';

/** Why a bundle, an index or what they come from cannot be used. The message says which file, without secrets. */
export class BundleError extends Error {
  override readonly name = 'BundleError';

  constructor(
    readonly code: BundleErrorCode,
    message: string,
    readonly extra: {
      readonly hint?: string;
      readonly cause?: unknown;
      /** When the server wants to be asked again, in milliseconds from now. */
      readonly retryAfterMs?: number;
    } = {},
  ) {
    super(message, { cause: extra.cause });
  }

  /** The error as a problem of the source, or of a set; `.` is the place of what has no file and line. */
  asProblem(): PolicyProblem {
    const { code, message, extra } = this;
    return {
      severity: 'error',
      code,
      message,
      file: '.',
      line: 1,
      column: 1,
      ...(extra.hint !== undefined && { hint: extra.hint }),
    };
  }
}
