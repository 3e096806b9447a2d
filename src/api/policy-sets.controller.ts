import { Body, Controller, Get, Header, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { VerdictError } from '../errors.js';
import { Requires } from '../http/access.js';
import { VisibleSets } from '../http/caller.decorator.js';
import { bodyPipe, queryPipe } from '../http/validation-pipes.js';
import { inTurns } from '../policy-store/in-turns.js';
import { type ArchivedVersion, PolicyArchive, type VersionsPage } from '../policy-store/policy-archive.js';
import { type BoundedDiff, boundDiff, diffPoliciesInSteps } from '../policy-store/policy-diff.js';
import type { PolicySetFiles } from '../policy-store/policy-set-files.js';
import type { PolicySetStatus } from '../policy-store/policy-set-status.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { DiffQuery, RollbackRequest, VersionsQuery } from './policy-sets.requests.js';

/** Which policies are served, which were, and going back to them. */
@ApiTags('policy sets')
@Controller('v1/policy-sets')
export class PolicySetsController {
  constructor(
    private readonly store: PolicyStore,
    private readonly archive: PolicyArchive,
  ) {}

  @Get()
  @Requires('policies:read')
  @ApiOperation({ summary: 'Every policy set: what is served, since when, and what is wrong with its folder' })
  list(@VisibleSets('policies:read') visible: readonly string[] | undefined): {
    readonly items: readonly PolicySetStatus[];
  } {
    return { items: this.store.statuses().filter(({ name }) => visible?.includes(name) ?? true) };
  }

  @Get(':set')
  @Requires('policies:read')
  @ApiOperation({ summary: 'One policy set' })
  find(@Param('set') set: string): PolicySetStatus {
    return this.store.status(set);
  }

  @Get(':set/versions')
  @Requires('policies:read')
  @ApiOperation({
    summary: 'Every version that served, the newest first; pass nextCursor as cursor for the page after',
  })
  async versions(@Param('set') set: string, @Query(queryPipe) { limit, cursor }: VersionsQuery): Promise<VersionsPage> {
    const page = await this.archive.versions(set, limit, cursor);
    // The versions of a set that was removed stay; only a set that never was is not found.
    if (page.items.length === 0) this.store.status(set);
    return page;
  }

  @Get(':set/versions/:version')
  @Requires('policies:read')
  @ApiOperation({ summary: 'One version: its files, when it served, the commit that it came from' })
  async version(@Param('set') set: string, @Param('version') version: string): Promise<ArchivedVersion> {
    return (await this.archive.version(set, version)) ?? neverServed(set, version);
  }

  @Get(':set/versions/:version/files/:path')
  @Requires('policies:read')
  @Header('content-type', 'text/plain; charset=utf-8')
  @ApiOperation({ summary: 'One file of a version, as it was' })
  @ApiOkResponse({ content: { 'text/plain': { schema: { type: 'string' } } } })
  async file(
    @Param('set') set: string,
    @Param('version') version: string,
    @Param('path') path: string,
  ): Promise<Uint8Array> {
    const content = await this.archive.file(set, version, path);
    if (content !== undefined) return content;
    if ((await this.archive.version(set, version)) === undefined) neverServed(set, version);
    throw new VerdictError('not_found', `that version of the policy set "${set}" has no file "${path}"`);
  }

  @Post(':set/reload')
  @Requires('policies:write', { audit: 'policy_set_reloaded', bodyOptional: true })
  @HttpCode(200)
  @ApiOperation({ summary: 'Read the folder again now; the answer says what became of it' })
  reload(@Param('set') set: string, @Req() request: FastifyRequest): Promise<PolicySetStatus> {
    return this.change(set, request, () => this.store.reload(set));
  }

  @Post(':set/rollback')
  @Requires('policies:write', { audit: 'policy_set_rolled_back' })
  @HttpCode(200)
  @ApiOperation({ summary: "Serve an earlier version until the folder's version changes" })
  rollback(
    @Param('set') set: string,
    @Body(bodyPipe) { version }: RollbackRequest,
    @Req() request: FastifyRequest,
  ): Promise<PolicySetStatus> {
    return this.change(set, request, () => this.store.rollback(set, version));
  }

  @Get(':set/diff')
  @Requires('policies:read')
  @ApiOperation({ summary: 'Which rules and files differ between two versions' })
  async diff(
    @Param('set') set: string,
    @Query(queryPipe) query: DiffQuery,
  ): Promise<{ readonly from: string; readonly to: string } & BoundedDiff> {
    const to = query.to ?? this.store.resolve(set).version;
    const [before, after] = await Promise.all([this.filesOf(set, query.from), this.filesOf(set, to)]);
    const diff = await inTurns(diffPoliciesInSteps(before, after));
    return { from: query.from, to, ...boundDiff(diff) };
  }

  /** Does the work, and notes for the audit event what was served before and after it. */
  private async change(set: string, request: FastifyRequest, work: () => Promise<unknown>): Promise<PolicySetStatus> {
    const { version: from } = this.store.status(set);
    await work();
    const status = this.store.status(set);
    request.servedVersions = {
      ...(from !== undefined && { fromVersion: from }),
      ...(status.version !== undefined && { toVersion: status.version }),
    };
    return status;
  }

  private async filesOf(set: string, version: string): Promise<PolicySetFiles> {
    return (await this.archive.files(set, version)) ?? neverServed(set, version);
  }
}

function neverServed(set: string, version: string): never {
  throw new VerdictError('policy_version_not_found', `the policy set "${set}" never served version "${version}"`);
}
