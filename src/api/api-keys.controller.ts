import { Body, Controller, Delete, Get, HttpCode, Param, Post, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Parts, Text } from '../answers/members.js';
import { KeyAdministration, type KeyAdministrator } from '../auth/key-administration.js';
import { ApiKeyDescription, describeKey } from '../auth/key-description.js';
import { parseRfc3339 } from '../core/rfc3339.js';
import { Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';
import { bodyPipe } from '../http/validation-pipes.js';
import { CreateApiKeyRequest, defaultOverlapSeconds, RotateApiKeyRequest } from './api-keys.requests.js';

class ApiKeyList {
  @Parts(() => ApiKeyDescription)
  readonly items!: readonly ApiKeyDescription[];
}

class NewApiKey extends ApiKeyDescription {
  @Text({ description: 'The text of the key, which is shown this once.' })
  readonly key!: string;
}

/** The API keys that are kept in the database; those of the declared file are changed there. */
@Controller('v1/api-keys')
export class ApiKeysController {
  constructor(private readonly keys: KeyAdministration) {}

  @Get()
  @Requires('keys:admin', { limit: 'keys' })
  @Documented({
    id: 'listApiKeys',
    tag: 'api keys',
    summary: 'Every API key, revoked ones too; never a secret',
    answers: { 200: { description: 'The keys.', json: ApiKeyList } },
  })
  async list(@Req() request: FastifyRequest): Promise<ApiKeyList> {
    return { items: (await this.keys.list(administratorOf(request))).map(describeKey) };
  }

  @Get(':name')
  @Requires('keys:admin', { limit: 'keys' })
  @Documented({
    id: 'readApiKey',
    tag: 'api keys',
    summary: 'One API key',
    answers: { 200: { description: 'The key.', json: ApiKeyDescription } },
    refusals: ['api_key_not_found'],
  })
  async find(@Param('name') name: string, @Req() request: FastifyRequest): Promise<ApiKeyDescription> {
    return describeKey(await this.keys.find(name, administratorOf(request)));
  }

  @Post()
  @Requires('keys:admin', { limit: 'keys' })
  @Documented({
    id: 'createApiKey',
    tag: 'api keys',
    summary: 'Make an API key; its text is in this answer and nowhere else',
    body: CreateApiKeyRequest,
    answers: { 201: { description: 'The key and its text.', json: NewApiKey } },
    refusals: ['invalid_request', 'api_key_exists'],
  })
  async create(@Body(bodyPipe) body: CreateApiKeyRequest, @Req() request: FastifyRequest): Promise<NewApiKey> {
    const { sets, expires, ...same } = body;
    const key = {
      ...same,
      ...(sets !== undefined && { policySets: sets }),
      ...(expires !== undefined && { expires: parseRfc3339(expires)! }),
    };
    const by = administratorOf(request);
    const text = await this.keys.create(key, by);
    return { key: text, ...describeKey(await this.keys.find(key.name, by)) };
  }

  @Post(':name/rotate')
  @HttpCode(200)
  @Requires('keys:admin', { limit: 'keys', bodyOptional: true })
  @Documented({
    id: 'rotateApiKey',
    tag: 'api keys',
    summary: 'Make a new secret for a key; the one before stays good for a day, or as long as is said',
    body: RotateApiKeyRequest,
    answers: { 200: { description: 'The key and its new text.', json: NewApiKey } },
    refusals: ['invalid_request', 'api_key_not_found'],
  })
  async rotate(
    @Param('name') name: string,
    @Body(bodyPipe) { overlapSeconds = defaultOverlapSeconds }: RotateApiKeyRequest,
    @Req() request: FastifyRequest,
  ): Promise<NewApiKey> {
    const by = administratorOf(request);
    const text = await this.keys.rotate(name, overlapSeconds * 1000, by);
    return { key: text, ...describeKey(await this.keys.find(name, by)) };
  }

  @Delete(':name')
  @HttpCode(204)
  @Requires('keys:admin', { limit: 'keys' })
  @Documented({
    id: 'revokeApiKey',
    tag: 'api keys',
    summary: 'Revoke an API key; its name is not given out again',
    answers: { 204: { description: 'It is revoked.' } },
    refusals: ['api_key_not_found'],
  })
  revoke(@Param('name') name: string, @Req() request: FastifyRequest): Promise<void> {
    return this.keys.revoke(name, administratorOf(request));
  }
}

function administratorOf({ caller, ip: address, id: requestId }: FastifyRequest): KeyAdministrator {
  const { name, method, grants } = caller;
  return { name, method, grants, address, requestId };
}
