import { Controller, Get, Header, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';
import { Metrics } from './metrics.js';

@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: Metrics) {}

  @Get()
  @Requires('metrics:read', { allSets: true })
  @Header('cache-control', 'no-store')
  @Documented({
    id: 'readMetrics',
    tag: 'health',
    summary: 'What Prometheus asks',
    answers: { 200: { description: 'The metrics, as Prometheus reads them.', text: ['text/plain'] } },
  })
  text(@Res({ passthrough: true }) reply: FastifyReply): Promise<string> {
    reply.type(this.metrics.contentType);
    return this.metrics.text();
  }
}
