import { Controller, Get, Header, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';
import { Siblings, type WorkersQuestion } from '../workers/siblings.js';
import { Metrics, type OwnMetrics } from './metrics.js';

@Controller('metrics')
export class MetricsController {
  private readonly ofWorkers: WorkersQuestion<OwnMetrics>;

  constructor(
    private readonly metrics: Metrics,
    siblings: Siblings,
  ) {
    this.ofWorkers = siblings.question('metrics', () => metrics.own());
  }

  @Get()
  @Requires('metrics:read', { allSets: true })
  @Header('cache-control', 'no-store')
  @Documented({
    id: 'readMetrics',
    tag: 'health',
    summary: 'What Prometheus asks',
    answers: { 200: { description: 'The metrics, as Prometheus reads them.', text: ['text/plain'] } },
  })
  async text(@Res({ passthrough: true }) reply: FastifyReply): Promise<string> {
    reply.type(this.metrics.contentType);
    const all = await this.ofWorkers.ask();
    if (all === undefined) return this.metrics.text();
    return Metrics.textOfAll(
      all.answers.map(({ value }) => value),
      all.counts,
    );
  }
}
