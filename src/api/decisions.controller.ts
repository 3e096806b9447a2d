import { Controller, Get, Param, Query } from '@nestjs/common';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionPage } from '../decision-log/decision-page.js';
import { DecisionQuery, maxLimit } from '../decision-log/decision-query.js';
import { DecisionRecord } from '../decision-log/decision-record.js';
import { ReadQuery } from '../decision-log/expansion.js';
import { gapForSome, recordForSome, type SeenGap, type SeenRecord } from '../decision-log/partial-view.js';
import { expandedRecord, RecordedVersions } from '../decision-log/recorded-entities.js';
import { Requires } from '../http/access.js';
import { VisibleSets } from '../http/caller.decorator.js';
import { Documented } from '../http/operation.js';
import { queryPipe } from '../http/validation-pipes.js';
import { SealedCursors } from './sealed-cursors.js';

/** The decision log: records, and their explanations. */
@Controller('v1/decisions')
export class DecisionsController {
  constructor(
    private readonly log: DecisionLog,
    private readonly cursors: SealedCursors,
    private readonly versions: RecordedVersions,
  ) {}

  @Get()
  @Requires('decisions:read', { limit: 'search', audit: 'decisions_read' })
  @Documented({
    id: 'searchDecisions',
    tag: 'decisions',
    summary: 'Decisions, newest first; pass nextCursor as cursor for the page after',
    query: DecisionQuery,
    answers: { 200: { description: 'A page of decisions.', json: DecisionPage } },
    refusals: ['invalid_request', 'cursor_expired'],
  })
  async search(
    @Query(queryPipe) filters: DecisionQuery,
    @VisibleSets('decisions:read') policySets: readonly string[] | undefined,
  ): Promise<SeenPage> {
    const page = await this.log.search(this.cursors.openQuery(filters, policySets), {
      policySets,
      versions: this.versions,
    });
    return policySets === undefined ? page : pageForSome(this.cursors.sealPage(page, policySets));
  }

  @Get(':id')
  @Requires('decisions:read', { audit: 'decisions_read' })
  @Documented({
    id: 'readDecision',
    tag: 'decisions',
    summary: 'One decision by its id',
    query: ReadQuery,
    answers: { 200: { description: 'The record.', json: DecisionRecord } },
    refusals: ['invalid_request', 'decision_not_found'],
  })
  async find(
    @Param('id') id: string,
    @Query(queryPipe) query: ReadQuery,
    @VisibleSets('decisions:read') policySets: readonly string[] | undefined,
  ): Promise<SeenRecord> {
    const found = (await this.log.find(id, { policySets })) ?? (await this.findLocal(id, policySets));
    if (found === undefined) throw await this.log.notFound(id);
    const record = await expandedRecord(found, query, this.versions);
    return policySets === undefined ? record : recordForSome(record);
  }

  /** By the id of an answer that a client gave in its own process. */
  private async findLocal(id: string, policySets: readonly string[] | undefined): Promise<DecisionRecord | undefined> {
    const [, instance, number] = localId.exec(id) ?? [];
    if (instance === undefined) return undefined;
    // Where a client names no request its id is that of the record, which is indexed.
    const { items } = await this.log.search({ requestId: id, via: 'local', limit: maxLimit }, { policySets });
    return items.find(({ local }) => local?.instance === instance && local.number === Number(number));
  }
}

/** `<instance>-<number>` */
const localId = /^([0-9a-f]{32})-([1-9]\d{0,15})$/;

interface SeenPage extends Omit<DecisionPage, 'items' | 'gaps' | 'completeTo' | 'incomplete'> {
  readonly items: readonly SeenRecord[];
  readonly gaps?: readonly SeenGap[];
}

/** The page without the members that reveal something about records of other sets. */
function pageForSome({ items, gaps, completeTo: _, incomplete: __, ...page }: DecisionPage): SeenPage {
  return { ...page, items: items.map(recordForSome), ...(gaps !== undefined && { gaps: gaps.map(gapForSome) }) };
}
