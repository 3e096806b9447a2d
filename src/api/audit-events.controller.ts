import { Controller, Get, Query } from '@nestjs/common';
import { type AuditEvent, AuditPage, AuditQuery } from '../audit/audit-event.js';
import { AuditLog } from '../audit/audit-log.js';
import { Requires } from '../http/access.js';
import { VisibleSets } from '../http/caller.decorator.js';
import { Documented } from '../http/operation.js';
import { queryPipe } from '../http/validation-pipes.js';
import { SealedCursors } from './sealed-cursors.js';

interface EventsForSome extends Omit<AuditPage, 'items'> {
  readonly items: readonly Omit<AuditEvent, 'id'>[];
}

/** Events of changes, reads, exports and refusals. */
@Controller('v1/audit-events')
export class AuditEventsController {
  constructor(
    private readonly audit: AuditLog,
    private readonly cursors: SealedCursors,
  ) {}

  /** Drops events of other sets for a caller that may read the decisions of some sets only. */
  @Get()
  @Requires('decisions:read', { limit: 'search', audit: 'audit_events_read' })
  @Documented({
    id: 'searchAuditEvents',
    tag: 'audit events',
    summary: 'Audit events, newest first; pass nextCursor as cursor for the page after',
    query: AuditQuery,
    answers: { 200: { description: 'A page of events.', json: AuditPage } },
    refusals: ['invalid_request'],
  })
  async search(
    @Query(queryPipe) query: AuditQuery,
    @VisibleSets('decisions:read') policySets: readonly string[] | undefined,
  ): Promise<AuditPage | EventsForSome> {
    const page = await this.audit.search(this.cursors.openQuery(query, policySets), policySets);
    if (policySets === undefined) return page;
    // The ids count the events of all sets.
    const { items, ...rest } = this.cursors.sealPage(page, policySets);
    return { ...rest, items: items.map(({ id: _, ...event }) => event) };
  }
}
