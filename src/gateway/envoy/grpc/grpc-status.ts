import { status } from '@grpc/grpc-js';
import type { VerdictError } from '../../../errors.js';

/** The status of a call that fails. Whatever it is, Envoy takes it for an error, and lets no request go forward. */
export function grpcStatusOf({ status: http, detail }: VerdictError): { code: number; details: string } {
  return { code: codes.get(http) ?? status.UNAVAILABLE, details: detail };
}

const codes: ReadonlyMap<number, number> = new Map([
  [400, status.INVALID_ARGUMENT],
  [401, status.UNAUTHENTICATED],
  [403, status.PERMISSION_DENIED],
  [404, status.NOT_FOUND],
  [413, status.RESOURCE_EXHAUSTED],
  [429, status.RESOURCE_EXHAUSTED],
]);
