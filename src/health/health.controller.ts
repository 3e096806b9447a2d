import { Controller, Get, Header, Res, ServiceUnavailableException } from '@nestjs/common';
import { HealthCheckService, type HealthIndicatorFunction } from '@nestjs/terminus';
import type { FastifyReply } from 'fastify';
import { OpenObject, Text } from '../answers/members.js';
import { Public, Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';
import { HealthIndicators } from './health-indicators.js';

/** The answer of Terminus: the indicators by their names. */
class HealthReport {
  @Text()
  readonly status!: string;

  @OpenObject({ description: 'What is well.' })
  readonly info!: object;

  @OpenObject({ description: 'What is not.' })
  readonly error!: object;

  @OpenObject({ description: 'Both.' })
  readonly details!: object;
}

class HealthStatus {
  @Text()
  readonly status!: string;
}

/** Health for probes, which get only the status, and for people. */
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicators,
  ) {}

  @Get()
  @Requires('metrics:read', { allSets: true })
  @Header('cache-control', 'no-store')
  @Documented({
    id: 'checkHealth',
    tag: 'health',
    summary: 'Is everything well, and if not, what?',
    answers: {
      200: { description: 'It is.', json: HealthReport },
      503: { description: 'It is not.', json: HealthReport },
    },
  })
  details(@Res({ passthrough: true }) reply: FastifyReply): Promise<HealthStatus> {
    const { indicators } = this;
    return this.check(reply, [
      () => indicators.policies(),
      () => indicators.database(),
      () => indicators.keys(),
      () => indicators.fleet(),
      () => indicators.logQueue(),
      () => indicators.eventLoop(),
      () => indicators.disk(),
    ]);
  }

  @Get('live')
  @Public()
  @Header('cache-control', 'no-store')
  @Documented({
    id: 'checkLiveness',
    tag: 'health',
    summary: 'Does the process answer at all?',
    answers: {
      200: { description: 'It is.', json: HealthStatus },
    },
  })
  live(): HealthStatus {
    return { status: 'ok' };
  }

  @Get('ready')
  @Public()
  @Header('cache-control', 'no-store')
  @Documented({
    id: 'checkReadiness',
    tag: 'health',
    summary: 'Should requests be sent here?',
    answers: {
      200: { description: 'It is.', json: HealthStatus },
      503: { description: 'It is not.', json: HealthStatus },
    },
  })
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<HealthStatus> {
    const { indicators } = this;
    const { status } = await this.check(reply, [() => indicators.policies(), () => indicators.logQueue()]);
    return { status };
  }

  /** Terminus throws if an indicator is down. The answer has the same form then, with another status. */
  private async check(reply: FastifyReply, checks: HealthIndicatorFunction[]): Promise<HealthStatus> {
    try {
      return await this.health.check(checks);
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      reply.status(503);
      return error.getResponse() as HealthStatus;
    }
  }
}
