import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { VerdictError } from '../core/errors.js';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionQuery } from '../decision-log/decision-query.js';
import type { DecisionRecord } from '../decision-log/decision-record.js';
import type { DecisionPage } from '../decision-log/decision-search.js';
import { Requires } from './access.js';
import { VisibleSets } from './caller.decorator.js';
import { queryPipe } from './validation-pipes.js';

/** What was decided, and why. */
@ApiTags('decisions')
@Controller('v1/decisions')
export class DecisionsController {
  constructor(private readonly log: DecisionLog) {}

  @Get()
  @Requires('decisions:read', { limit: 'search', audit: 'decisions_read' })
  @ApiOperation({ summary: 'Decisions, newest first; pass nextCursor as cursor for the page after.' })
  search(
    @Query(queryPipe) filters: DecisionQuery,
    @VisibleSets('decisions:read') policySets: readonly string[] | undefined,
  ): Promise<DecisionPage> {
    return this.log.search(filters, { policySets });
  }

  @Get(':id')
  @Requires('decisions:read', { audit: 'decisions_read' })
  @ApiOperation({ summary: 'One decision by its id' })
  async find(
    @Param('id') id: string,
    @VisibleSets('decisions:read') policySets: readonly string[] | undefined,
  ): Promise<DecisionRecord> {
    const record = await this.log.find(id, { policySets });
    if (record === undefined) throw new VerdictError('decision_not_found', `There is no decision "${id}".`);
    return record;
  }
}
