import { Controller, Get, Headers, type OnModuleDestroy, Param, Query, Req, Res } from '@nestjs/common';
import { IsArray } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Integer, OpenObject, Part, Parts, Text } from '../answers/members.js';
import { AuditLog } from '../audit/audit-log.js';
import type { JsonObject } from '../core/request.js';
import { VerdictError } from '../errors.js';
import { Requires } from '../http/access.js';
import { Gate } from '../http/gate.js';
import { Documented } from '../http/operation.js';
import { queryPipe } from '../http/validation-pipes.js';
import { LocalBundles } from '../policy-store/local/local-bundles.js';
import { BundleQuery } from './policy-sets.requests.js';

class BundledFile {
  @Text({ description: 'Within the folder of the set.' })
  readonly path!: string;

  @Text()
  readonly text!: string;
}

class BundledEntity {
  @Text()
  readonly type!: string;

  @Text()
  readonly id!: string;

  @OpenObject()
  readonly attributes!: JsonObject;
}

class BundledData {
  @IsArray()
  @JSONSchema({
    items: { type: 'array', items: { type: 'string' } },
    description: 'Links of role definitions, each as a line of a rules file: `["g", "user:ana", "editor"]`.',
  })
  readonly roles!: readonly (readonly string[])[];

  @Parts(() => BundledEntity)
  readonly entities!: readonly BundledEntity[];
}

/** What `policy-store/local/local-bundle.ts` writes. */
export class LocalPolicyBundle {
  @Integer({ description: '1.' })
  readonly format!: number;

  @Text()
  readonly set!: string;

  @Text({ description: 'The version of the set, as decisions have it, also where attributes are left out here.' })
  readonly version!: string;

  @Integer({ optional: true, description: 'Left out where the set has no revisions.' })
  readonly revision?: number;

  @Text({ description: 'Of the engine that the service decides with.' })
  readonly engineVersion!: string;

  @Integer({ description: 'The number of the defaults that the files are read with.' })
  readonly semantics!: number;

  @Parts(() => BundledFile, { description: 'Without policy tests.' })
  readonly files!: readonly BundledFile[];

  @Part(() => BundledData, { optional: true, description: 'Live data; left out where the set has none.' })
  readonly data?: BundledData;
}

/** Policy sets for clients that decide in their own process. */
@Controller('v1/policy-sets')
export class LocalBundlesController implements OnModuleDestroy {
  constructor(
    private readonly bundles: LocalBundles,
    private readonly gate: Gate,
    private readonly audit: AuditLog,
  ) {}

  /** Those that wait are answered before the listener waits for its connections. */
  onModuleDestroy(): void {
    this.bundles.stop();
  }

  @Get(':set/bundle')
  @Requires('bundles:read', { limit: 'search' })
  @Documented({
    id: 'readPolicySetBundle',
    tag: 'policy sets',
    summary:
      'The version of the set that serves, for clients that decide in their own process; waits for another one if asked to',
    query: BundleQuery,
    headers: [
      { name: 'If-None-Match', description: 'The ETag of the bundle that the client has: it is not sent again.' },
    ],
    answers: {
      200: { description: 'The bundle. Verdict-Bundle-Signature is a JWS over the body.', json: LocalPolicyBundle },
      304: { description: 'What serves is the bundle that the client has.' },
    },
    refusals: [
      'invalid_request',
      'local_not_allowed',
      'policy_set_not_found',
      'policy_set_unavailable',
      'policy_too_old',
    ],
  })
  async fetch(
    @Param('set') set: string,
    @Query(queryPipe) { wait }: BundleQuery,
    @Headers('if-none-match') known: string | undefined,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const arrived = performance.now();
    const tags = tagsIn(known);
    const isKnown = (digest: string) => tags === '*' || tags.has(digest);
    const left = new AbortController();
    reply.raw.once('close', () => left.abort());
    const { bundle, ageMs, at } = await this.bundles.next(set, isKnown, wait * 1_000, left.signal);
    const waitedMs = at - arrived;
    // A key that was revoked meanwhile gets nothing any more.
    if (waitedMs > admittedMs && !(await this.gate.stillAdmits(request))) {
      reply.header('www-authenticate', 'Bearer realm="verdict"');
      throw new VerdictError('unauthenticated', 'A valid credential is required.');
    }
    reply.header('etag', `"${bundle.digest}"`);
    reply.header('verdict-waited', Math.floor(waitedMs));
    // One that was never confirmed has no age that a client could rely on.
    if (Number.isFinite(ageMs)) reply.header('verdict-source-age', Math.ceil(ageMs));
    if (isKnown(bundle.digest)) {
      // Where too many wait, or the service stops, the client is not to come back at once.
      if (wait * 1_000 > waitedMs + earlyMs) reply.header('retry-after', 1);
      await reply.code(304).send();
      return;
    }
    const { caller, ip: address, id: requestId, method, url } = request;
    const detail = `${method} ${url}`;
    const about = { policySet: set, toVersion: bundle.version };
    this.audit.note({
      type: 'policy_set_fetched',
      actor: caller.name,
      method: caller.method,
      address,
      ...about,
      detail,
      requestId,
    });
    if (bundle.signature !== undefined) reply.header('verdict-bundle-signature', bundle.signature);
    await reply.type('application/json').send(bundle.body);
  }
}

/** A request that was let in so long ago is looked at again, in milliseconds. */
const admittedMs = 100;
/** A wait that ends so long before its time was cut short, in milliseconds. */
const earlyMs = 100;

/** The digests of `If-None-Match` (RFC 9110, 13.1.2), compared weakly: a proxy that compresses makes a weak tag of ours. */
function tagsIn(header: string | undefined): ReadonlySet<string> | '*' {
  if (header?.trim() === '*') return '*';
  return new Set([...(header ?? '').matchAll(/"([^"]*)"/g)].map(([, tag]) => tag as string));
}
