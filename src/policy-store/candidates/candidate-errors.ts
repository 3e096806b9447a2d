import { VerdictError } from '../../errors.js';

export function candidateNotFound(name: string): VerdictError {
  return new VerdictError('candidate_not_found', `The policy set "${name}" has no candidate.`);
}

export function beingPromoted(name: string): VerdictError {
  return new VerdictError('conflict', `The candidate of "${name}" is being promoted; ask again when that is done.`);
}

export function notRunning(name: string, why: string): VerdictError {
  return new VerdictError('candidate_not_running', `The candidate of "${name}" cannot be promoted: ${why}.`);
}
