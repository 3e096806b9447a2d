import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { Controller, Get, Headers, Query, Res, StreamableFile } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionStats } from '../decision-log/decision-stats.js';
import { ExportQuery } from '../decision-log/export-query.js';
import { gapForSome, type SeenGap } from '../decision-log/partial-view.js';
import { provenExportStream } from '../decision-log/proof/proven-export.js';
import { readFilter } from '../decision-log/record-filter.js';
import { RecordedVersions } from '../decision-log/recorded-entities.js';
import { StatsQuery } from '../decision-log/stats-query.js';
import { invalidParameter, VerdictError } from '../errors.js';
import { Requires } from '../http/access.js';
import { VisibleSets } from '../http/caller.decorator.js';
import { Documented } from '../http/operation.js';
import { queryPipe } from '../http/validation-pipes.js';

interface SeenStats extends Omit<DecisionStats, 'gaps'> {
  readonly gaps?: readonly SeenGap[];
}

/** Counts and exports of decisions. */
@Controller('v1/decisions')
export class DecisionReportsController {
  constructor(
    private readonly log: DecisionLog,
    private readonly versions: RecordedVersions,
  ) {}

  @Get('stats')
  @Requires('decisions:read', { limit: 'search' })
  @Documented({
    id: 'countDecisions',
    tag: 'decisions',
    summary: 'Counts of decisions, by time and by field',
    query: StatsQuery,
    answers: { 200: { description: 'The counts.', json: DecisionStats } },
    refusals: ['invalid_request'],
  })
  async stats(
    @Query(queryPipe) query: StatsQuery,
    @VisibleSets('decisions:read') policySets: readonly string[] | undefined,
  ): Promise<SeenStats> {
    const { gaps, ...stats } = await this.log.stats(query, { policySets });
    if (gaps === undefined) return stats;
    return { ...stats, gaps: policySets === undefined ? gaps : gaps.map(gapForSome) };
  }

  /** If an export fails midway, the connection is cut: an answer that ends properly is complete. */
  @Get('export')
  @Requires('decisions:read', { limit: 'export', audit: 'decisions_exported', allSets: 'proof' })
  @Documented({
    id: 'exportDecisions',
    tag: 'decisions',
    summary:
      'All decisions that match, newest first, as NDJSON or CSV, or with their proof; gzip where the caller accepts it',
    query: ExportQuery,
    answers: { 200: { description: 'The decisions.', text: ['application/x-ndjson', 'text/csv'] } },
    refusals: ['invalid_request'],
  })
  async export(
    @Query(queryPipe) query: ExportQuery,
    @VisibleSets('decisions:read') policySets: readonly string[] | undefined,
    @Headers('accept-encoding') accepted: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<StreamableFile> {
    const text =
      query.proof === undefined
        ? Readable.from(this.log.export(query, { policySets, versions: this.versions }), { objectMode: false })
        : await this.proven(query);
    const csv = query.format === 'csv';
    reply.header('vary', 'accept-encoding');
    const type = csv ? 'text/csv; charset=utf-8' : 'application/x-ndjson';
    const disposition = `attachment; filename="decisions.${csv ? 'csv' : 'ndjson'}"`;
    if (!acceptsGzip(accepted)) return new StreamableFile(text, { type, disposition });
    reply.header('content-encoding', 'gzip');
    const zipped = createGzip({ level: 1 });
    text.on('error', (error) => zipped.destroy(error));
    zipped.on('close', () => text.destroy());
    return new StreamableFile(text.pipe(zipped), { type, disposition });
  }

  private async proven(query: ExportQuery): Promise<Readable> {
    if (query.format === 'csv') throw invalidParameter('format', 'is NDJSON with `proof`');
    // They read the entities of a version, which nothing here proves.
    if (query.filter !== undefined) throw invalidParameter('filter', 'does not go with `proof`');
    if (query.expand !== undefined) throw invalidParameter('expand', 'does not go with `proof`');
    const filter = readFilter(query, {});
    const records = await this.log.proofs.records();
    if (records.locked !== undefined) {
      const detail = `The decision log cannot be read: ${records.locked.message}.`;
      throw new VerdictError('decision_log_unavailable', detail, { retryAfter: 1 });
    }
    return provenExportStream(records, filter);
  }
}

/** `gzip`, `gzip;q=0.5`, but not `gzip;q=0` (RFC 9110, section 12.5.3). */
function acceptsGzip(accepted = ''): boolean {
  return accepted.split(',').some((coding) => /^\s*(gzip|x-gzip)\s*(;\s*q=(?!0(\.0*)?\s*$)[\d.]+\s*)?$/i.test(coding));
}
