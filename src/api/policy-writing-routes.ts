/**
 * Whole policy sets, written and read, where the database is their source. Routes of Fastify's own, since a set is larger
 * than the bodies that controllers take.
 */

import { Matches } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Integer, Text, TextsByName } from '../answers/members.js';
import { VerdictError } from '../errors.js';
import { bytesType } from '../http/fastify-adapter.js';
import type { Gate } from '../http/gate.js';
import type { HttpLimits } from '../http/http-limits.js';
import { invalidRequest, Validation, type Validator } from '../http/json-schema.js';
import type { Operation, OperationHeader } from '../http/operation.js';
import { Optional } from '../http/request-rules.js';
import type { PolicyWriting } from '../policy-store/database/policy-writing.js';
import type { PolicyFile } from '../policy-store/policy-set-files.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import { defaultSourceLimits } from '../policy-store/source-limits.js';
import { OneAtATime } from '../turns/one-at-a-time.js';
import { Turns } from '../turns/turns.js';
import { expectedOf, ifMatchHeader } from './if-match.js';
import { filesOf } from './sent-files.js';

/** The body of `PUT /v1/policy-sets/{set}`. */
export class WritePolicySetRequest {
  @TextsByName({ description: 'The texts of all files by their paths: `model.conf`, `rules.csv`, `tests/roles.yaml`…' })
  readonly files!: Readonly<Record<string, string>>;

  @Optional()
  @Matches(/^[0-9a-f]{7,64}$/, { message: '$property must be the id of a commit, in hexadecimal' })
  @JSONSchema({ description: 'The commit that the files come from: a note for people, kept with the version.' })
  readonly gitCommit?: string;
}

class WrittenSet {
  @Text()
  readonly set!: string;

  @Text({ description: 'The version of its files.' })
  readonly version!: string;

  @Integer({ description: 'The revision to demand (`atLeast`) of an answer that must know this change.' })
  readonly revision!: number;
}

/** A set as it was written: the body that would write it again, and its revision. */
class StoredSet {
  @Integer()
  readonly revision!: number;

  @Text({ description: 'The version of these files, also where a rollback has another one served.' })
  readonly version!: string;

  @TextsByName({ description: 'The texts of all files by their paths, tests included.' })
  readonly files!: Readonly<Record<string, string>>;

  @Text({ optional: true })
  readonly gitCommit?: string | undefined;
}

const readOperation: Operation = {
  id: 'readPolicySetFiles',
  tag: 'policy sets',
  summary: 'All files of a policy set as they were written, tests included, where the database is the source',
  answers: { 200: { description: 'What `PUT` would write again.', json: StoredSet } },
  refusals: ['policy_set_not_found', 'policy_source_read_only'],
};

const signatureHeader: OperationHeader = {
  name: 'Verdict-Bundle-Signature',
  description: 'The signature of a bundle that is the body: the detached JWS that `verdict bundle sign` writes.',
};

const putOperation: Operation = {
  id: 'writePolicySet',
  tag: 'policy sets',
  summary:
    'Replace a policy set as a whole, or write a new one, where the database is the source; from texts or a bundle',
  body: WritePolicySetRequest,
  bytes: bytesType,
  headers: [ifMatchHeader, signatureHeader],
  answers: { 200: { description: 'It is in force, or in a moment.', json: WrittenSet } },
  refusals: [
    'invalid_request',
    'policy_set_invalid',
    'bundle_refused',
    'policy_source_read_only',
    'too_many_policy_sets',
    'precondition_failed',
    'precondition_required',
    'payload_too_large',
    'policy_writes_in_progress',
    'bundle_keys_unavailable',
  ],
};

const deleteOperation: Operation = {
  id: 'deletePolicySet',
  tag: 'policy sets',
  summary: 'Remove a policy set from the database; its versions stay in the archive',
  headers: [ifMatchHeader],
  answers: { 204: { description: 'It is not served any more.' } },
  refusals: ['invalid_request', 'policy_set_not_found', 'policy_source_read_only', 'precondition_failed'],
};

interface SetParams {
  readonly set: string;
}

/** Most sets that are read, or wait for it. A set and its answer may have 64 MiB each. */
const readingLimits = { pieces: 64, piecesOfCaller: 32 };

/** @param writing undefined where the source of the sets is another one */
export function registerPolicyWriting(
  fastify: FastifyInstance,
  store: PolicyStore,
  writing: PolicyWriting | undefined,
  limits: HttpLimits,
  gate: Gate,
): void {
  const validation = new Validation([WritePolicySetRequest], limits, 'refuse');
  const reading = new OneAtATime(readingLimits);
  fastify.get<{ Params: SetParams }>(
    '/v1/policy-sets/:set/files',
    { config: { access: 'policies:read', limit: 'export', operation: readOperation } },
    async (request, reply) => {
      const stored = writable(writing);
      const { name } = request.caller;
      if (!reading.hasRoomFor(name)) throw tooManyReads();
      return reading.run(name, async () => {
        const unread = gate.unreadFault(request);
        if (unread !== undefined) throw unread;
        const { head, set } = await stored.read(request.params.set);
        const { revision, version, gitCommit } = head;
        const text = await filesText({ revision, version, gitCommit }, set.files);
        // Sent within its turn, so that its bytes count as unread when the next answer is asked for.
        return reply.header('etag', `"${revision}"`).type('application/json; charset=utf-8').send(text);
      });
    },
  );
  fastify.put<{ Body: WritePolicySetRequest | Buffer; Params: SetParams }>(
    '/v1/policy-sets/:set',
    {
      config: { access: 'policies:write', audit: 'policy_set_written', operation: putOperation },
      schema: { body: { $ref: WritePolicySetRequest.name } },
      validatorCompiler: () => unlessBytes(validation.of(WritePolicySetRequest)),
      schemaErrorFormatter: invalidRequest,
      bodyLimit: defaultSourceLimits.maxBytes,
    },
    async (request, reply) => {
      const { body, caller, params } = request;
      const note = { expected: expectedOf(request) ?? ('new' as const), by: caller.name };
      const from = versionServed(store, params.set);
      const written = Buffer.isBuffer(body)
        ? await writable(writing).putBundle(params.set, { archive: body, signature: signatureOf(request) }, note)
        : await writable(writing).put(filesOf(params.set, body.files), { ...note, gitCommit: body.gitCommit });
      request.servedVersions = { ...(from !== undefined && { fromVersion: from }), toVersion: written.version };
      return reply.header('etag', `"${written.revision}"`).send(written);
    },
  );
  fastify.delete<{ Params: SetParams }>(
    '/v1/policy-sets/:set',
    { config: { access: 'policies:write', audit: 'policy_set_deleted', operation: deleteOperation } },
    async (request, reply) => {
      const { set } = request.params;
      const expected = expectedOf(request) ?? 'any';
      const from = versionServed(store, set);
      await writable(writing).remove(set, { expected, by: request.caller.name });
      request.servedVersions = { ...(from !== undefined && { fromVersion: from }) };
      return reply.code(204).send();
    },
  );
}

/** JSON has no bytes, so a body of bytes is a bundle, which is read elsewhere. */
function unlessBytes(ofJson: Validator): Validator {
  const validator: Validator = (body) => {
    const isValid = Buffer.isBuffer(body) || ofJson(body);
    validator.errors = ofJson.errors ?? null;
    return isValid;
  };
  return validator;
}

function signatureOf({ headers }: FastifyRequest): string | undefined {
  return headers[signatureHeader.name.toLowerCase()] as string | undefined;
}

/** Most characters that are made JSON in one go. */
const sliceLength = 64 * 1024;

/** A `StoredSet` as JSON, in turns. */
async function filesText(head: Omit<StoredSet, 'files'>, files: readonly PolicyFile[]): Promise<Buffer> {
  const turns = new Turns();
  const parts = [Buffer.from(`${JSON.stringify(head).slice(0, -1)},"files":{`)];
  for (const [n, { path, bytes }] of files.entries()) {
    parts.push(Buffer.from(`${n === 0 ? '' : ','}${JSON.stringify(path)}:"`));
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
    for (let start = 0; start < text.length; start += sliceLength) {
      if (turns.isOver) await turns.next();
      // A surrogate pair that is cut in two becomes two escapes, which are the same pair.
      parts.push(Buffer.from(JSON.stringify(text.slice(start, start + sliceLength)).slice(1, -1)));
    }
    parts.push(Buffer.from('"'));
  }
  parts.push(Buffer.from('}}'));
  return Buffer.concat(parts);
}

function tooManyReads(): VerdictError {
  return new VerdictError('answers_unread', 'Too many policy sets are being read.', { retryAfter: 1 });
}

function writable(writing: PolicyWriting | undefined): PolicyWriting {
  if (writing !== undefined) return writing;
  const detail = 'Policy sets are written where they come from: VERDICT_POLICY_SOURCE is not "database".';
  throw new VerdictError('policy_source_read_only', detail);
}

function versionServed(store: PolicyStore, name: string): string | undefined {
  return store.statuses().find((status) => status.name === name)?.version;
}
