/** Simulations of a policy set: what a candidate would have answered (docs/simulation.md). */
import { IsRFC3339, IsString, Matches, MaxLength } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Part, TextsByName } from '../answers/members.js';
import type { AuditLog } from '../audit/audit-log.js';
import type { ScopeName } from '../auth/scopes.js';
import { formatProblem } from '../core/problem.js';
import { longestCondition } from '../decision-log/record-condition.js';
import { policySetNotFound, VerdictError } from '../errors.js';
import type { HttpLimits } from '../http/http-limits.js';
import { invalidRequest, Validation } from '../http/json-schema.js';
import type { Operation } from '../http/operation.js';
import { Optional } from '../http/request-rules.js';
import { Simulation, SimulationList, SimulationStatus, type Simulations } from '../pdp/simulation/simulations.js';
import type { PolicySetFiles } from '../policy-store/policy-set-files.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import { sentSetProblems } from '../policy-store/set-file-problems.js';
import { defaultSourceLimits } from '../policy-store/source-limits.js';
import { filesOf } from './sent-files.js';

@JSONSchema({ description: 'What is simulated: a version that has served, or files. One of the two.' })
export class SimulatedCandidate {
  @Optional()
  @Matches(/^sha256:[0-9a-f]{64}$/, { message: '$property must be a version, "sha256:" and 64 hexadecimal digits' })
  readonly version?: string;

  @TextsByName({ optional: true, description: 'The texts of all files by their paths: `model.conf`, `rules.csv`…' })
  readonly files?: Readonly<Record<string, string>>;
}

/** The body of `POST /v1/policy-sets/{set}/simulations`. */
export class CreateSimulationRequest {
  @Part(() => SimulatedCandidate)
  readonly candidate!: SimulatedCandidate;

  @Optional()
  @IsRFC3339()
  @JSONSchema({ description: 'Decisions from this time on.' })
  readonly from?: string;

  @Optional()
  @IsRFC3339()
  @JSONSchema({ description: 'Decisions before this time. Left out: those up to now.' })
  readonly to?: string;

  @Optional()
  @IsString()
  @MaxLength(longestCondition)
  @JSONSchema({ description: 'A condition over records, as `filter` of `GET /v1/decisions`.' })
  readonly filter?: string;
}

const begin: Operation = {
  id: 'startSimulation',
  tag: 'policy sets',
  summary:
    'Answer logged decisions again on a candidate, in the background: who would gain, who would lose, by which rule',
  body: CreateSimulationRequest,
  answers: {
    202: { description: 'It runs; `Location` is where its progress and its result are.', json: SimulationStatus },
  },
  refusals: [
    'invalid_request',
    'policy_set_invalid',
    'forbidden',
    'policy_set_not_found',
    'policy_version_not_found',
    'payload_too_large',
    'simulations_in_progress',
    'decision_log_unavailable',
  ],
};

const list: Operation = {
  id: 'listSimulations',
  tag: 'policy sets',
  summary: 'The simulations of a policy set that run on this replica, or ended within an hour',
  answers: { 200: { description: 'Without their results.', json: SimulationList } },
  refusals: ['forbidden', 'policy_set_not_found'],
};

const read: Operation = {
  id: 'readSimulation',
  tag: 'policy sets',
  summary: 'How far a simulation is, and its result',
  answers: { 200: { description: 'With its result when it has ended.', json: Simulation } },
  refusals: ['forbidden', 'policy_set_not_found', 'simulation_not_found'],
};

const end: Operation = {
  id: 'endSimulation',
  tag: 'policy sets',
  summary: 'Cancel a simulation, which keeps what it has counted; or forget one that has ended',
  answers: { 204: { description: 'It ends in a moment, or is forgotten.' } },
  refusals: ['forbidden', 'policy_set_not_found', 'simulation_not_found'],
};

interface SetParams {
  readonly set: string;
}

interface SimulationParams extends SetParams {
  readonly id: string;
}

/**
 * Each route wants `policies:read` for the set, and `decisions:read` too: a result says what was decided. A candidate that is asked
 * with live data wants `data:read`: its rules can be written to find out what is stored.
 */
export function registerSimulations(
  fastify: FastifyInstance,
  store: PolicyStore,
  simulations: Simulations,
  limits: HttpLimits,
  audit: AuditLog,
): void {
  const requireSet = (request: FastifyRequest, set: string): void => checkSet(request, store, audit, set);
  const validation = new Validation([CreateSimulationRequest], limits, 'refuse');
  const path = '/v1/policy-sets/:set/simulations';
  fastify.post<{ Body: CreateSimulationRequest; Params: SetParams }>(
    path,
    {
      config: { access: 'policies:read', limit: 'export', audit: 'simulation_started', operation: begin },
      schema: { body: { $ref: CreateSimulationRequest.name } },
      validatorCompiler: () => validation.of(CreateSimulationRequest),
      schemaErrorFormatter: invalidRequest,
      bodyLimit: defaultSourceLimits.maxBytes,
    },
    async (request, reply) => {
      const { set } = request.params;
      requireSet(request, set);
      const { candidate, ...asked } = request.body;
      const { name: by } = request.caller;
      const started = await simulations.start({
        ...asked,
        policySet: set,
        candidate: candidateOf(set, candidate),
        by,
        requireData: () => requireScope(request, audit, 'data:read', set),
      });
      const location = `/v1/policy-sets/${encodeURIComponent(set)}/simulations/${started.id}`;
      return reply.code(202).header('location', location).send(started);
    },
  );
  fastify.get<{ Params: SetParams }>(
    path,
    { config: { access: 'policies:read', operation: list } },
    async (request) => {
      requireSet(request, request.params.set);
      return simulations.list(request.params.set);
    },
  );
  fastify.get<{ Params: SimulationParams }>(
    `${path}/:id`,
    { config: { access: 'policies:read', operation: read } },
    async (request) => {
      const { set, id } = request.params;
      requireSet(request, set);
      const simulation = await simulations.find(set, id);
      if (simulation.result !== undefined) noteRead(request, audit, set);
      return simulation;
    },
  );
  fastify.delete<{ Params: SimulationParams }>(
    `${path}/:id`,
    { config: { access: 'policies:read', audit: 'simulation_ended', operation: end } },
    async (request, reply) => {
      requireSet(request, request.params.set);
      simulations.cancel(request.params.set, request.params.id);
      return reply.code(204).send();
    },
  );
}

/** A result says who decided what, as records do. How far a simulation is says nothing of them, and is asked for again and again. */
function noteRead(
  { caller, ip: address, id: requestId, url }: FastifyRequest,
  audit: AuditLog,
  policySet: string,
): void {
  const { name: actor, method } = caller;
  audit.note({ type: 'simulation_read', actor, method, address, policySet, detail: `GET ${url}`, requestId });
}

/** @throws VerdictError `policy_set_not_found`, `forbidden` */
function checkSet(request: FastifyRequest, store: PolicyStore, audit: AuditLog, set: string): void {
  if (!store.statuses().some(({ name }) => name === set)) throw policySetNotFound(set);
  requireScope(request, audit, 'decisions:read', set);
}

/** @throws VerdictError `forbidden` */
function requireScope(
  { caller, ip: address, id }: FastifyRequest,
  audit: AuditLog,
  scope: ScopeName,
  set: string,
): void {
  if (caller.grants.allows(scope, set)) return;
  const { name: actor, method } = caller;
  audit.note({ type: 'scope_refused', actor, method, address, detail: `${scope}:${set}`, requestId: id });
  throw new VerdictError('forbidden', `The credential does not have the scope "${scope}" for the policy set.`);
}

/** @throws VerdictError `invalid_request` for neither or both, `policy_set_invalid` for files that are none of a set */
function candidateOf(
  name: string,
  { version, files }: SimulatedCandidate,
): { version: string } | { files: PolicySetFiles } {
  if ((version === undefined) === (files === undefined)) {
    const detail = 'candidate must have either version or files';
    throw new VerdictError('invalid_request', `The request is not valid: ${detail}.`, {
      errors: [{ pointer: '/candidate', detail }],
    });
  }
  if (version !== undefined) return { version };
  const set = filesOf(name, files!);
  const problems = sentSetProblems(set, defaultSourceLimits);
  if (problems.length === 0) return { files: set };
  const errors = problems.map((problem) => ({ pointer: '/candidate/files', detail: formatProblem(problem) }));
  throw new VerdictError('policy_set_invalid', 'The candidate cannot be served.', { errors });
}
