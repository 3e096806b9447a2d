import { IsIn, IsInt, IsNumber, Matches, Max, Min, ValidateNested } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import { TextsByName } from '../answers/members.js';
import { Optional } from '../http/request-rules.js';
import { defaultGates } from '../policy-store/candidates/candidate.js';

/** A share of decisions or subjects. */
function Share(description: string): PropertyDecorator {
  return (target, name) => {
    for (const rule of [Optional(), IsNumber(), Min(0), Max(1), JSONSchema({ description })]) {
      rule(target, name as string);
    }
  };
}

/** When a candidate is held back without anybody's doing. */
export class CandidateGatesRequest {
  @Share(
    `Highest share of the compared decisions that were denied and are allowed; ${defaultGates.maxGained} by default, 0 for none, 1 for any.`,
  )
  readonly maxGained?: number;

  @Share(`Highest share of those that were allowed and are denied; ${defaultGates.maxLost} by default.`)
  readonly maxLost?: number;

  @Share(
    `Highest share of the candidate's decisions that err where those of the active version do not; ${defaultGates.maxErrors} by default.`,
  )
  readonly maxErrors?: number;

  @Optional()
  @IsNumber()
  @Min(0.001)
  @Max(60_000)
  @JSONSchema({
    description: `At most one evaluation of the candidate in a hundred may take longer, in milliseconds; ${defaultGates.maxLatencyMs} by default.`,
  })
  readonly maxLatencyMs?: number;

  @Optional()
  @IsInt()
  @Min(1)
  @Max(1_000_000_000)
  @JSONSchema({
    description: `How many decisions are compared, or made by the candidate, before a share of them counts; ${defaultGates.minCompared} by default. A highest share of 0 counts from the first.`,
  })
  readonly minCompared?: number;
}

/** The body of `PUT /v1/policy-sets/{set}/candidate`. */
export class CandidateRequest {
  @Optional()
  @Matches(/^sha256:[0-9a-f]{64}$/, { message: '$property must be a version, "sha256:" and 64 hexadecimal digits' })
  @JSONSchema({ description: 'A version that served earlier. Either this or `files`.' })
  readonly version?: string;

  @Optional()
  @TextsByName({ description: 'The texts of all files by their paths, tests included. Either this or `version`.' })
  readonly files?: Readonly<Record<string, string>>;

  @IsIn(['shadow', 'canary'])
  @JSONSchema({
    description:
      '`shadow`: it decides after the answer has left, and changes nothing. `canary`: it answers for a share of the subjects.',
  })
  readonly mode!: 'shadow' | 'canary';

  @Share(
    'Share of the decisions that are compared; 1 by default. Of a canary, of those that it answers, and more than 0.',
  )
  readonly sample?: number;

  @Share('Share of the subjects that a canary answers: the same ones on every replica. A canary must have one.')
  readonly subjects?: number;

  @Optional()
  @ValidateNested()
  readonly gates?: CandidateGatesRequest;
}
