import {
  Anything,
  Flag,
  Integer,
  ListOfAnything,
  OneOf,
  OpenObject,
  Part,
  Text,
  Texts,
} from '../../answers/members.js';
import type { Json, JsonObject } from '../../core/request.js';

export class JsonRpcErrorBody {
  @Integer({
    description: '-32001: denied. -32602: the message does not fit its mapping.',
  })
  readonly code!: number;

  @Text({ description: 'For the agent: nothing of the policy but the message of the deciding rule.' })
  readonly message!: string;
}

export class JsonRpcError {
  @OneOf(['2.0'])
  readonly jsonrpc!: '2.0';

  @Anything({ description: 'That of the message; null where it has none.' })
  readonly id!: Json;

  @Part(() => JsonRpcErrorBody)
  readonly error!: JsonRpcErrorBody;
}

export class McpAnswer {
  @Flag({ description: 'Whether the message may go on to the server, or the result on to the agent.' })
  readonly allowed!: boolean;

  @Flag({ optional: true, description: 'True where nobody was asked: `ping` and notifications pass.' })
  readonly passed?: true;

  @Text({ optional: true })
  readonly policySet?: string;

  @Text({ optional: true })
  readonly policyVersion?: string;

  @Texts({
    optional: true,
    description: "Ids of the records: the user's decision first, then the agent's. Of a list that was filtered, one.",
  })
  readonly decisionIds?: readonly string[];

  @ListOfAnything({ optional: true })
  readonly obligations?: readonly Json[];

  @OpenObject({ optional: true, description: 'The result with what may be used of it.' })
  readonly result?: JsonObject;

  @Part(() => JsonRpcError, { optional: true, description: 'What the agent gets where it is not allowed.' })
  readonly error?: JsonRpcError;

  @Integer({ optional: true, description: '401: the agent gets this status, and the challenge as `WWW-Authenticate`.' })
  readonly status?: number;

  @Text({ optional: true })
  readonly challenge?: string;
}
