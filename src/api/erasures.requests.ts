import { IsString, MaxLength, MinLength } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import { plainTextPattern } from '../core/names.js';
import { mostReason } from '../decision-log/plain-text.js';
import { IsId, isPlain, Meets, Optional } from '../http/request-rules.js';
import { OptionalCount } from '../query/query-number.js';
import { OptionalText } from '../query/query-text.js';

/** Whom an erasure is about. */
@JSONSchema({ oneOf: [{ required: ['subject'] }, { required: ['resource'] }] })
export class PreviewErasureRequest {
  /** The id of a subject. Either this or `resource`. */
  @Optional()
  @IsId()
  @MinLength(1)
  readonly subject?: string;

  /** The id of a resource. Either this or `subject`. */
  @Optional()
  @IsId()
  @MinLength(1)
  readonly resource?: string;
}

@JSONSchema({ oneOf: [{ required: ['subject'] }, { required: ['resource'] }] })
export class ErasureRequest extends PreviewErasureRequest {
  /** Why, for who reads it later. It may not name the person. */
  @IsString()
  @MinLength(1)
  @MaxLength(mostReason)
  @Meets(isPlain, 'must not hold control characters')
  @JSONSchema({ pattern: plainTextPattern })
  readonly reason!: string;
}

/** The query string of `GET /v1/erasures`. */
export class ErasuresQuery {
  /** `nextCursor` of the page before. */
  @OptionalText(64)
  readonly cursor?: string;

  @OptionalCount(1_000)
  readonly limit?: number;
}
