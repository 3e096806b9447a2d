/**
 * The candidate of a policy set: what is tried on the requests of today before it serves. Routes of Fastify's own, since a set
 * is larger than the bodies that controllers take.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { AuditLog } from '../audit/audit-log.js';
import { VerdictError } from '../errors.js';
import type { HttpLimits } from '../http/http-limits.js';
import { invalidRequest, Validation } from '../http/json-schema.js';
import { type CandidateSettings, defaultGates } from '../policy-store/candidates/candidate.js';
import type { PolicyCandidates } from '../policy-store/candidates/policy-candidates.js';
import type { TriedContent } from '../policy-store/candidates/tried-contents.js';
import { PolicySetStatus } from '../policy-store/policy-set-status.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import { defaultSourceLimits } from '../policy-store/source-limits.js';
import { CandidateAnswer, candidateAnswer } from './candidate-answer.js';
import { CandidateGatesRequest, CandidateRequest } from './candidate-request.js';
import { filesOf } from './sent-files.js';

const path = '/v1/policy-sets/:set/candidate';

interface SetParams {
  readonly set: string;
}

export function registerCandidateRoutes(
  fastify: FastifyInstance,
  candidates: PolicyCandidates,
  policySets: PolicyStore,
  audit: Pick<AuditLog, 'note'>,
  limits: HttpLimits,
): void {
  const validation = new Validation([CandidateRequest, CandidateGatesRequest], limits, 'refuse');
  const answer = async (request: FastifyRequest<{ Params: SetParams }>): Promise<CandidateAnswer> => {
    const { set } = request.params;
    const found = await candidates.find(set);
    const maySee = request.caller.grants.allows('decisions:read', set);
    return candidateAnswer(found, maySee ? await candidates.differences(found.candidate) : undefined);
  };
  fastify.put<{ Body: CandidateRequest; Params: SetParams }>(path, {
    config: {
      access: 'policies:write',
      audit: 'policy_candidate_set',
      operation: {
        id: 'setCandidate',
        tag: 'policy sets',
        summary: 'Try a version or files on the requests of today, as shadow or canary; the counts begin at 0',
        body: CandidateRequest,
        answers: { 200: { description: 'It runs here, and on all replicas within a second.', json: CandidateAnswer } },
        refusals: [
          'invalid_request',
          'policy_set_invalid',
          'bundle_refused',
          'policy_set_not_found',
          'policy_version_not_found',
          'policy_version_invalid',
          'conflict',
          'payload_too_large',
          'policy_writes_in_progress',
          'policy_set_unavailable',
        ],
      },
    },
    schema: { body: { $ref: CandidateRequest.name } },
    validatorCompiler: () => validation.of(CandidateRequest),
    schemaErrorFormatter: invalidRequest,
    bodyLimit: defaultSourceLimits.maxBytes,
    handler: async (request) => {
      const { body, caller, params } = request;
      const settings = settingsOf(body);
      const replaced = await candidates.set(params.set, contentOf(params.set, body), settings, { by: caller.name });
      const set = await answer(request);
      request.servedVersions = {
        ...(replaced && { type: 'policy_candidate_changed' }),
        fromVersion: set.activeVersion,
        toVersion: set.version,
        detail: `${set.mode}${set.subjects === undefined ? '' : ` for ${set.subjects} of the subjects`}, sample ${set.sample}`,
      };
      return set;
    },
  });
  fastify.get<{ Params: SetParams }>(path, {
    config: {
      access: 'policies:read',
      operation: {
        id: 'readCandidate',
        tag: 'policy sets',
        summary: 'The candidate of a policy set: its state, what was counted, and the decisions that differ',
        answers: { 200: { description: 'The candidate.', json: CandidateAnswer } },
        refusals: ['policy_set_not_found', 'candidate_not_found'],
      },
    },
    handler: async (request) => {
      const { caller, ip: address, id: requestId, method, params, url } = request;
      const found = await answer(request);
      if (found.differences !== undefined) {
        const who = { actor: caller.name, method: caller.method, address, requestId };
        audit.note({ type: 'decisions_read', ...who, policySet: params.set, detail: `${method} ${url}` });
      }
      return found;
    },
  });
  fastify.post<{ Params: SetParams }>(`${path}/promote`, {
    config: {
      access: 'policies:write',
      audit: 'policy_candidate_promoted',
      bodyOptional: true,
      operation: {
        id: 'promoteCandidate',
        tag: 'policy sets',
        summary:
          'Serve the candidate on every replica: written as the set where the database is the source, else pinned',
        answers: { 200: { description: 'The policy set afterwards.', json: PolicySetStatus } },
        refusals: [
          'policy_set_not_found',
          'candidate_not_found',
          'candidate_not_running',
          'policy_set_invalid',
          'policy_version_not_found',
          'policy_version_invalid',
          'precondition_failed',
          'policy_writes_in_progress',
          'policy_set_unavailable',
        ],
      },
    },
    handler: async (request): Promise<PolicySetStatus> => {
      const { version, base, mode } = await candidates.promote(request.params.set, request.caller.name);
      request.servedVersions = { fromVersion: base, toVersion: version, detail: `it was a ${mode}` };
      return policySets.status(request.params.set);
    },
  });
  fastify.delete<{ Params: SetParams }>(path, {
    config: {
      access: 'policies:write',
      audit: 'policy_candidate_ended',
      operation: {
        id: 'dropCandidate',
        tag: 'policy sets',
        summary: 'End the candidate of a policy set; what serves stays',
        answers: { 204: { description: 'Nothing of it is evaluated any more.' } },
        refusals: ['policy_set_not_found', 'candidate_not_found', 'conflict'],
      },
    },
    handler: async (request, reply) => {
      const { version, base } = await candidates.drop(request.params.set);
      request.servedVersions = { fromVersion: version, toVersion: base, detail: 'it was dropped' };
      return reply.code(204).send();
    },
  });
}

/** @throws VerdictError `invalid_request` */
function contentOf(name: string, { version, files }: CandidateRequest): TriedContent {
  if (version !== undefined && files === undefined) return { version };
  if (version === undefined && files !== undefined) return { files: filesOf(name, files) };
  throw invalid('', 'the body must have either "version" or "files"');
}

/** @throws VerdictError `invalid_request` */
function settingsOf({ mode, sample = 1, subjects, gates = {} }: CandidateRequest): CandidateSettings {
  if (mode === 'canary' && subjects === undefined) throw invalid('/subjects', 'a canary must have "subjects"');
  if (mode === 'shadow' && subjects !== undefined) throw invalid('/subjects', 'a shadow answers for no "subjects"');
  if (mode === 'canary' && sample === 0) {
    throw invalid('/sample', 'of the answers of a canary some must be compared: "sample" must be more than 0');
  }
  return { mode, sample, subjects: subjects ?? 0, gates: { ...defaultGates, ...gates } };
}

function invalid(pointer: string, detail: string): VerdictError {
  return new VerdictError('invalid_request', `The request is not valid: ${detail}.`, { errors: [{ pointer, detail }] });
}
