/** The body of `POST /v1/decision-records`: each class is the type, the validation and the OpenAPI schema. */
import { IsBoolean, IsIn, IsInt, IsNumber, IsRFC3339, Matches, Max, MaxLength, Min } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import { effects } from '../answers/decision-parts.js';
import { Anything, ListOfAnything, Part, Parts, Texts } from '../answers/members.js';
import type { Effect } from '../core/decision.js';
import type { Json } from '../core/request.js';
import { IsId, IsItems, Optional } from '../http/request-rules.js';
import { AskedRequest } from './decide-request.js';

/** Highest number of a record, and most records that are lost in one piece: sums of them stay exact. */
const highestNumber = 2 ** 50;
const mostLost = 2 ** 32;

export class LocalReasonBody {
  @IsId()
  readonly code!: string;

  @Optional()
  @Texts({ description: 'The deciding rule, its type first.' })
  readonly rule?: readonly string[];

  @Optional()
  @IsId()
  readonly file?: string;

  @Optional()
  @IsInt()
  readonly line?: number;

  @Optional()
  @Anything()
  readonly message?: Json;
}

export class LocalFaultBody extends LocalReasonBody {
  @Optional()
  @IsId()
  readonly pointer?: string;
}

@JSONSchema({ description: 'What the client answered: that of the engine.' })
export class LocalAnswerBody {
  @IsIn(effects)
  readonly decision!: Effect;

  @Part(() => LocalReasonBody)
  readonly reason!: LocalReasonBody;

  @Parts(() => LocalFaultBody)
  readonly errors!: readonly LocalFaultBody[];

  @ListOfAnything()
  readonly obligations!: readonly Json[];
}

@JSONSchema({ description: 'A decision that a client made in its own process.' })
export class LocalRecordBody {
  @IsRFC3339()
  @JSONSchema({ description: 'When, by the clock of the client: the time that the evaluation saw.' })
  readonly decidedAt!: string;

  @IsId()
  readonly policySet!: string;

  @Matches(/^sha256:[0-9a-f]{64}$/, { message: '$property must be a version, "sha256:" and 64 hexadecimal digits' })
  readonly policyVersion!: string;

  @IsId()
  readonly engineVersion!: string;

  @Part(() => AskedRequest)
  readonly request!: AskedRequest;

  @Part(() => LocalAnswerBody)
  readonly answer!: LocalAnswerBody;

  @Optional()
  @IsNumber()
  @Min(0)
  @Max(1_000_000_000)
  @JSONSchema({ description: 'Microseconds that it took.' })
  readonly durationUs?: number;

  @Optional()
  @IsId()
  @JSONSchema({ description: 'Of the request that it was made for; by default `<instance>-<number>`.' })
  readonly requestId?: string;

  @Optional()
  @MaxLength(256)
  @JSONSchema({ description: 'As W3C Trace Context has it.' })
  readonly traceparent?: string;
}

@JSONSchema({
  description: 'Records that the client lost: they take the place of as many numbers, and become a gap of the log.',
})
export class LostRecordsBody {
  @IsInt()
  @Min(1)
  @Max(mostLost)
  readonly lost!: number;

  @IsRFC3339()
  @JSONSchema({ description: 'When the first of them was decided, by the clock of the client.' })
  readonly from!: string;

  @IsRFC3339()
  @JSONSchema({ description: 'When the last one was.' })
  readonly to!: string;
}

@JSONSchema({ description: 'What a client decided in its own process, in the order in which it did.' })
export class DecisionRecordsRequest {
  @Matches(/^[0-9a-f]{32}$/, { message: '$property must be 32 hexadecimal digits in lower case' })
  @JSONSchema({ description: 'The name of the process: 128 random bits in hexadecimal, made by the client.' })
  readonly instance!: string;

  @IsInt()
  @Min(1)
  @Max(highestNumber)
  @JSONSchema({ description: 'The number of the first record: an instance counts its records from 1.' })
  readonly first!: number;

  @IsRFC3339()
  @JSONSchema({ description: 'The clock of the client now: it may differ from that of the service by five minutes.' })
  readonly sentAt!: string;

  @Optional()
  @IsBoolean()
  @JSONSchema({ description: 'True with the last records of an instance: nothing follows.' })
  readonly end?: boolean;

  @IsItems(LocalRecordBody, LostRecordsBody)
  readonly records!: readonly unknown[];
}
