import { Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { DecisionLog } from '../decision-log/decision-log.js';
import { LogWriters, writerNotFound } from '../decision-log/log-writers.js';
import { Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';

/** The writers whose records are in the log, and how complete their records are. */
@Controller('v1/decisions/writers')
export class DecisionWritersController {
  constructor(private readonly log: DecisionLog) {}

  @Get()
  @Requires('decisions:read', { allSets: true, audit: 'decision_writers_read' })
  @Documented({
    id: 'listDecisionWriters',
    tag: 'decisions',
    summary: 'The replicas that write the log: how far each has decided and shipped, and what is missing',
    answers: { 200: { description: 'All writers, in order of their numbers.', json: LogWriters } },
  })
  list(): Promise<LogWriters> {
    return this.log.writers();
  }

  @Post(':writer/retire')
  @HttpCode(200)
  @Requires('decisions:erase', { allSets: true, audit: 'decision_writer_retired', bodyOptional: true })
  @Documented({
    id: 'retireDecisionWriter',
    tag: 'decisions',
    summary: 'Gives up a writer that has ended without shipping all that it decided: what is missing becomes a gap',
    answers: { 200: { description: 'All writers, as they are now.', json: LogWriters } },
    refusals: ['writer_not_found', 'writer_running'],
  })
  async retire(@Param('writer') writer: string): Promise<LogWriters> {
    if (!/^[1-9][0-9]{0,8}$/.test(writer)) throw writerNotFound(writer);
    await this.log.retire(Number(writer));
    return this.log.writers();
  }
}
