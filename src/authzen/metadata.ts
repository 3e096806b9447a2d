/** AuthZEN metadata (section 9): the addresses of all endpoints, so that a client needs only the base URL. */
import { JSONSchema } from 'class-validator-jsonschema';
import { Parts, Text, Texts } from '../answers/members.js';
import { obligationTypes } from '../core/engine/obligations.js';
import { pathOfSet } from '../http/policy-set-base.js';

export const wellKnown = '/.well-known/authzen-configuration';
export const jwksPath = '/.well-known/jwks.json';

export class AuthzenMetadata {
  @Text()
  readonly policy_decision_point!: string;

  @Text()
  readonly access_evaluation_endpoint!: string;

  @Text()
  readonly access_evaluations_endpoint!: string;

  @Text()
  readonly search_subject_endpoint!: string;

  @Text()
  readonly search_resource_endpoint!: string;

  @Text()
  readonly search_action_endpoint!: string;

  @Texts({ optional: true, description: 'URNs of what the service can do beyond the specification.' })
  readonly capabilities?: readonly string[];

  @Texts({ optional: true, description: 'Types of obligations that the service can demand (a draft).' })
  readonly supported_obligations?: readonly string[];

  /** Not a parameter of the specification; other clients ignore it. */
  @Text({ optional: true, description: 'Where the keys are that the metadata is signed with.' })
  readonly jwks_uri?: string;

  @Text({ optional: true, description: 'The same as claims of a JWT.' })
  readonly signed_metadata?: string;
}

/** The public keys that signed metadata can be checked with (RFC 7517). */
export class KeySet {
  @Parts(() => PublicKey)
  readonly keys!: readonly object[];
}

@JSONSchema({ additionalProperties: true })
export class PublicKey {
  @Text()
  readonly kty!: string;

  @Text()
  readonly kid!: string;

  @Text()
  readonly alg!: string;
}

/**
 * Metadata of the service, or of one policy set.
 *
 *     metadataOf('https://pdp.example.com', 'invoices').policy_decision_point // 'https://pdp.example.com/sets/invoices'
 *
 * @param publicUrl without a slash at its end; clients compare `policy_decision_point` with what they asked by
 *   character
 */
export function metadataOf(publicUrl: string, set: string | undefined, negotiatesObligations = false): AuthzenMetadata {
  const base = set === undefined ? publicUrl : publicUrl + pathOfSet(set);
  return {
    policy_decision_point: base,
    access_evaluation_endpoint: `${base}/access/v1/evaluation`,
    access_evaluations_endpoint: `${base}/access/v1/evaluations`,
    search_subject_endpoint: `${base}/access/v1/search/subject`,
    search_resource_endpoint: `${base}/access/v1/search/resource`,
    search_action_endpoint: `${base}/access/v1/search/action`,
    ...(negotiatesObligations && {
      capabilities: ['urn:openid:authzen:capability:obligations'],
      supported_obligations: obligationTypes,
    }),
  };
}
