import { Controller, Get, Header, Res, ServiceUnavailableException } from '@nestjs/common';
import { HealthCheckService, type HealthIndicatorFunction } from '@nestjs/terminus';
import type { FastifyReply } from 'fastify';
import { Text } from '../answers/members.js';
import { Public, Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';
import { Siblings, type WorkersQuestion } from '../workers/siblings.js';
import { HealthIndicators } from './health-indicators.js';
import { worstOf } from './health-of-workers.js';
import { HealthReport } from './health-report.js';

class HealthStatus {
  @Text()
  readonly status!: string;
}

/** Health for probes, which get only the status, and for people. */
@Controller('health')
export class HealthController {
  private readonly wholeHealth: WorkersQuestion<HealthReport>;
  private readonly readiness: WorkersQuestion<HealthReport>;

  constructor(
    private readonly health: HealthCheckService,
    indicators: HealthIndicators,
    siblings: Siblings,
  ) {
    this.wholeHealth = siblings.question('health', () =>
      this.check([
        () => indicators.policies(),
        () => indicators.database(),
        () => indicators.keys(),
        () => indicators.fleet(),
        () => indicators.logQueue(),
        () => indicators.checkpoints(),
        () => indicators.eventLoop(),
        () => indicators.disk(),
      ]),
    );
    this.readiness = siblings.question('readiness', () =>
      this.check([() => indicators.policies(), () => indicators.logQueue()]),
    );
  }

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
  details(@Res({ passthrough: true }) reply: FastifyReply): Promise<HealthReport> {
    return this.answer(this.wholeHealth, reply);
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
    const { status } = await this.answer(this.readiness, reply);
    return { status };
  }

  /** Of one process alone its own report; of several workers the worst of each. */
  private async answer(question: WorkersQuestion<HealthReport>, reply: FastifyReply): Promise<HealthReport> {
    const all = await question.ask();
    const report = all === undefined ? await question.own() : worstOf(all.answers, all.counts);
    if (report.status === 'error' || report.status === 'shutting_down') reply.status(503);
    return report;
  }

  /** Terminus throws if an indicator is down. The answer has the same form then. */
  private async check(checks: HealthIndicatorFunction[]): Promise<HealthReport> {
    try {
      const { status, info = {}, error = {}, details } = await this.health.check(checks);
      return { status, info, error, details };
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      return error.getResponse() as HealthReport;
    }
  }
}
