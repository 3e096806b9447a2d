import { Body, Controller, Delete, Get, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { KeyAdministration, type KeyAdministrator } from '../auth/key-administration.js';
import { describeKey } from '../auth/key-description.js';
import { parseRfc3339 } from '../core/rfc3339.js';
import { Requires } from '../http/access.js';
import { bodyPipe } from '../http/validation-pipes.js';
import { CreateApiKeyRequest, defaultOverlapSeconds, RotateApiKeyRequest } from './api-keys.requests.js';

/** The API keys that are kept in the database; those of the declared file are changed there. */
@ApiTags('api keys')
@Controller('v1/api-keys')
export class ApiKeysController {
  constructor(private readonly keys: KeyAdministration) {}

  @Get()
  @Requires('keys:admin', { limit: 'keys' })
  @ApiOperation({ summary: 'Every API key, revoked ones too; never a secret' })
  async list(@Req() request: FastifyRequest): Promise<{ readonly items: readonly object[] }> {
    return { items: (await this.keys.list(administratorOf(request))).map(describeKey) };
  }

  @Get(':name')
  @Requires('keys:admin', { limit: 'keys' })
  @ApiOperation({ summary: 'One API key' })
  async find(@Param('name') name: string, @Req() request: FastifyRequest): Promise<object> {
    return describeKey(await this.keys.find(name, administratorOf(request)));
  }

  @Post()
  @Requires('keys:admin', { limit: 'keys' })
  @ApiOperation({ summary: 'Make an API key; its text is in this answer and nowhere else' })
  async create(@Body(bodyPipe) body: CreateApiKeyRequest, @Req() request: FastifyRequest): Promise<object> {
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
  @ApiOperation({ summary: 'Make a new secret for a key; the one before stays good for a day, or as long as is said' })
  async rotate(
    @Param('name') name: string,
    @Body(bodyPipe) { overlapSeconds = defaultOverlapSeconds }: RotateApiKeyRequest,
    @Req() request: FastifyRequest,
  ): Promise<object> {
    const by = administratorOf(request);
    const text = await this.keys.rotate(name, overlapSeconds * 1000, by);
    return { key: text, ...describeKey(await this.keys.find(name, by)) };
  }

  @Delete(':name')
  @HttpCode(204)
  @Requires('keys:admin', { limit: 'keys' })
  @ApiOperation({ summary: 'Revoke an API key; its name is not given out again' })
  revoke(@Param('name') name: string, @Req() request: FastifyRequest): Promise<void> {
    return this.keys.revoke(name, administratorOf(request));
  }
}

function administratorOf({ caller, ip: address, id: requestId }: FastifyRequest): KeyAdministrator {
  const { name, method, grants } = caller;
  return { name, method, policySets: grants.policySets('keys:admin'), address, requestId };
}
