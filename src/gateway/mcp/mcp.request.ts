/** The body of `POST /v1/gateway/mcp`: each class is the type, the validation and the OpenAPI schema. */
import { Equals, IsString, MaxLength } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import { Anything, OpenObject, Part } from '../../answers/members.js';
import type { Json, JsonObject } from '../../core/request.js';
import { Optional } from '../../http/request-rules.js';

const longestToken = 8_192;

@JSONSchema({ description: 'A JSON-RPC 2.0 request or notification, as the agent sent it.' })
export class McpMessageBody {
  @Equals('2.0')
  readonly jsonrpc!: '2.0';

  @Optional()
  @Anything({ description: 'A text or a number; a notification has none.' })
  readonly id?: Json;

  @IsString()
  @MaxLength(256)
  readonly method!: string;

  @Optional()
  @OpenObject()
  readonly params?: JsonObject;
}

@JSONSchema({ description: 'What an agent asks of an MCP server, and by which token.' })
export class McpRequest {
  @Part(() => McpMessageBody)
  readonly message!: McpMessageBody;

  @Optional()
  @IsString()
  @MaxLength(longestToken)
  @JSONSchema({ description: 'The access token that the message came with. It is verified here.' })
  readonly token?: string;

  @Optional()
  @OpenObject({
    description:
      'Of `tools/call`: the tool as the server lists it. Its `x-authzen-mapping` is followed, if it has one.',
  })
  readonly tool?: JsonObject;

  @Optional()
  @OpenObject({
    description: "Of a list: the server's result. It comes back with what the user and the agent may use.",
  })
  readonly result?: JsonObject;
}
