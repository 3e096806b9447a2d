/** `/.well-known/authzen-configuration`, put between host and path of each base URL (section 9.2), and the keys beside it. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { VerdictError } from '../errors.js';
import type { Operation } from '../http/operation.js';
import { idOnBase, type PolicySetBase, policySetOf } from '../http/policy-set-base.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import { AuthzenMetadata, jwksPath, KeySet, metadataOf, wellKnown } from './metadata.js';
import type { MetadataSigner } from './metadata-signer.js';

export interface MetadataServices {
  readonly policySets: PolicyStore;
  /** Base URL without a slash at its end. Called for each request, since with port 0 it is known late. */
  readonly publicUrl: () => string;
  /** Undefined: metadata is not signed. */
  readonly signer: MetadataSigner | undefined;
  /** Path of the public URL, usually `''`. Clients append it to the address of the metadata. */
  readonly publicPath: string;
  /** Whether callers say which obligations they execute (draft `obligations`). */
  readonly negotiatesObligations: boolean;
}

/** Clients may keep metadata for five minutes (section 11.9); addresses hardly ever change. */
const cacheControl = 'max-age=300';

export function registerMetadataRoutes(fastify: FastifyInstance, services: MetadataServices): void {
  const { policySets, publicUrl, signer, publicPath, negotiatesObligations } = services;

  async function metadata(set: string | undefined): Promise<AuthzenMetadata> {
    const plain = metadataOf(publicUrl(), set, negotiatesObligations);
    if (signer === undefined) return plain;
    const withKeys = { ...plain, jwks_uri: publicUrl() + jwksPath };
    return { ...withKeys, signed_metadata: await signer.sign(withKeys) };
  }

  function root(_request: FastifyRequest, reply: FastifyReply): Promise<AuthzenMetadata> {
    if (policySets.defaultName() === undefined) {
      throw new VerdictError('not_found', 'There is no default policy set; the metadata of each is below /sets/{set}.');
    }
    reply.header('cache-control', `public, ${cacheControl}`);
    return metadata(undefined);
  }

  function ofSet(request: FastifyRequest, reply: FastifyReply): Promise<AuthzenMetadata> {
    const { name } = policySetOf(request, policySets);
    reply.header('cache-control', `private, ${cacheControl}`);
    return metadata(name);
  }

  for (const path of new Set(['', publicPath])) {
    fastify.get(
      wellKnown + path,
      { config: { access: 'public', ...(path === '' && { operation: described('') }) } },
      root,
    );
    // Only callers of a set may learn whether it exists.
    fastify.get(
      `${wellKnown}${path}/sets/:set`,
      { config: { access: 'decide', ...(path === '' && { operation: described('/sets/:set') }) } },
      ofSet,
    );
  }
  if (signer !== undefined) {
    const operation: Operation = {
      id: 'readMetadataKeys',
      tag: 'authzen',
      summary: 'The keys that signed metadata can be checked with',
      answers: { 200: { description: 'A JSON Web Key Set.', json: KeySet } },
    };
    fastify.get(jwksPath, { config: { access: 'public', operation } }, (_request, reply) => {
      reply.header('cache-control', `public, ${cacheControl}`).type('application/json');
      return { keys: [signer.publicKey] };
    });
  }
}

function described(base: PolicySetBase): Operation {
  return {
    id: idOnBase('readMetadata', base),
    tag: 'authzen',
    summary: 'AuthZEN 1.0: where what is offered',
    answers: { 200: { description: 'The metadata.', json: AuthzenMetadata } },
    refusals: ['not_found'],
  };
}
