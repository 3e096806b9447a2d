import { Controller, Get, Header, Res, ServiceUnavailableException } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { HealthCheckService, type HealthIndicatorFunction } from '@nestjs/terminus';
import type { FastifyReply } from 'fastify';
import { Public, Requires } from '../http/access.js';
import { HealthIndicators } from './health-indicators.js';

const healthResponses = [
  { status: 200, description: 'It is.' },
  { status: 503, description: 'It is not.' },
] as const;

/** For probes and people. Probes learn the status and nothing else. */
@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicators,
  ) {}

  @Get()
  @Requires('metrics:read', { allSets: true })
  @Header('cache-control', 'no-store')
  @ApiOperation({ summary: 'Is everything well, and if not, what?' })
  @ApiResponse(healthResponses[0])
  @ApiResponse(healthResponses[1])
  details(@Res({ passthrough: true }) reply: FastifyReply): Promise<object> {
    const { indicators } = this;
    return this.check(reply, [
      () => indicators.policies(),
      () => indicators.database(),
      () => indicators.logQueue(),
      () => indicators.eventLoop(),
      () => indicators.disk(),
    ]);
  }

  @Get('live')
  @Public()
  @Header('cache-control', 'no-store')
  @ApiOperation({ summary: 'Does the process answer at all?' })
  @ApiResponse(healthResponses[0])
  live(): { status: 'ok' } {
    return { status: 'ok' };
  }

  @Get('ready')
  @Public()
  @Header('cache-control', 'no-store')
  @ApiOperation({ summary: 'Should requests be sent here?' })
  @ApiResponse(healthResponses[0])
  @ApiResponse(healthResponses[1])
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<{ status: string }> {
    const { indicators } = this;
    const { status } = await this.check(reply, [() => indicators.policies(), () => indicators.logQueue()]);
    return { status };
  }

  /** Terminus throws what is not well; the same document goes out either way, with another status. */
  private async check(reply: FastifyReply, checks: HealthIndicatorFunction[]): Promise<{ status: string }> {
    try {
      return await this.health.check(checks);
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      reply.status(503);
      return error.getResponse() as { status: string };
    }
  }
}
