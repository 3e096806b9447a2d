/** The bodies of `who-can`, `what-can` and `access-review` of a policy set. */
import { IsInt, IsRFC3339, Matches, Max, Min } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import type { JsonObject } from '../core/request.js';
import { IsAttributes, IsId, IsIdOr, Optional } from '../http/request-rules.js';
import { EntityBody } from './decide-request.js';

/** Most permissions of an answer, and the default. */
export const mostListed = 10_000;

class ReviewBody {
  @Optional()
  @IsIdOr(EntityBody)
  readonly resource?: string | EntityBody;

  @Optional()
  @IsAttributes()
  @JSONSchema({ description: "The request's own attributes; without them, those that the rules name are tried." })
  readonly attributes?: JsonObject;

  @Optional()
  @Matches(/^sha256:[0-9a-f]{64}$/)
  @JSONSchema({ description: 'A version that served once; without it, the one that serves.' })
  readonly version?: string;

  @Optional()
  @IsRFC3339()
  @JSONSchema({ description: 'The clock of the decisions; without it, now.' })
  readonly at?: string;

  @Optional()
  @IsInt()
  @Min(1)
  @Max(mostListed)
  @JSONSchema({ description: `Most permissions in the answer; ${mostListed} by default.` })
  readonly limit?: number;
}

@JSONSchema({ description: 'Who may do what: everything that is not named is asked about.' })
export class AccessReviewRequest extends ReviewBody {
  @Optional()
  @IsIdOr(EntityBody)
  readonly subject?: string | EntityBody;

  @Optional()
  @IsId()
  readonly action?: string;
}

@JSONSchema({ description: 'Who may do this?' })
export class WhoCanRequest extends ReviewBody {
  @Optional()
  @IsIdOr(EntityBody)
  readonly subject?: string | EntityBody;

  @IsId()
  readonly action!: string;
}

@JSONSchema({ description: 'What may this subject do?' })
export class WhatCanRequest extends ReviewBody {
  @IsIdOr(EntityBody)
  readonly subject!: string | EntityBody;

  @Optional()
  @IsId()
  readonly action?: string;
}
