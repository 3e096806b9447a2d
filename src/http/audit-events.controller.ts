import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { AuditQuery } from '../audit/audit-event.js';
import { AuditLog, type AuditPage } from '../audit/audit-log.js';
import { Requires } from './access.js';
import { VisibleSets } from './caller.decorator.js';
import { queryPipe } from './validation-pipes.js';

/** Who changed, read or exported what, and who was turned away. */
@ApiTags('audit events')
@Controller('v1/audit-events')
export class AuditEventsController {
  constructor(private readonly audit: AuditLog) {}

  /** Whoever reads the decisions of some sets alone sees the events about those. */
  @Get()
  @Requires('decisions:read', { limit: 'search', audit: 'audit_events_read' })
  @ApiOperation({ summary: 'Audit events, newest first; pass nextCursor as cursor for the page after' })
  search(
    @Query(queryPipe) query: AuditQuery,
    @VisibleSets('decisions:read') policySets: readonly string[] | undefined,
  ): Promise<AuditPage> {
    return this.audit.search(query, policySets);
  }
}
