import { Body, Controller, Get, Header, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Text } from '../answers/members.js';
import { VerdictError, versionNotFound } from '../errors.js';
import { Requires } from '../http/access.js';
import { VisibleSets } from '../http/caller.decorator.js';
import { Documented } from '../http/operation.js';
import { bodyPipe, queryPipe } from '../http/validation-pipes.js';
import { ArchivedVersion, VersionsPage } from '../policy-store/archive/archived-version.js';
import { PolicyArchive } from '../policy-store/archive/policy-archive.js';
import { BoundedDiff, boundDiff, diffPoliciesInSteps } from '../policy-store/policy-diff.js';
import type { PolicySetFiles } from '../policy-store/policy-set-files.js';
import { PolicySetList, PolicySetStatus } from '../policy-store/policy-set-status.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { inTurns } from '../turns/turns.js';
import { DiffQuery, RollbackRequest, VersionsQuery } from './policy-sets.requests.js';

/** What differs from one version to another. */
class VersionsDiff extends BoundedDiff {
  @Text()
  readonly from!: string;

  @Text()
  readonly to!: string;
}

/** The versions of policy sets that are or were served, and rollbacks. */
@Controller('v1/policy-sets')
export class PolicySetsController {
  constructor(
    private readonly store: PolicyStore,
    private readonly archive: PolicyArchive,
  ) {}

  @Get()
  @Requires('policies:read')
  @Documented({
    id: 'listPolicySets',
    tag: 'policy sets',
    summary: 'Every policy set: what is served, since when, and what is wrong with its folder',
    answers: { 200: { description: 'The policy sets.', json: PolicySetList } },
  })
  list(@VisibleSets('policies:read') visible: readonly string[] | undefined): PolicySetList {
    return { items: this.store.statuses().filter(({ name }) => visible?.includes(name) ?? true) };
  }

  @Get(':set')
  @Requires('policies:read')
  @Documented({
    id: 'readPolicySet',
    tag: 'policy sets',
    summary: 'One policy set',
    answers: { 200: { description: 'The policy set.', json: PolicySetStatus } },
    refusals: ['policy_set_not_found'],
  })
  find(@Param('set') set: string): PolicySetStatus {
    return this.store.status(set);
  }

  @Get(':set/versions')
  @Requires('policies:read')
  @Documented({
    id: 'listPolicySetVersions',
    tag: 'policy sets',
    summary: 'Every version that served, the newest first; pass nextCursor as cursor for the page after',
    query: VersionsQuery,
    answers: { 200: { description: 'A page of versions.', json: VersionsPage } },
    refusals: ['invalid_request', 'policy_set_not_found'],
  })
  async versions(@Param('set') set: string, @Query(queryPipe) { limit, cursor }: VersionsQuery): Promise<VersionsPage> {
    const page = await this.archive.versions(set, limit, cursor);
    // The versions of a set that was removed stay; only a set that never was is not found.
    if (page.items.length === 0) this.store.status(set);
    return page;
  }

  @Get(':set/versions/:version')
  @Requires('policies:read')
  @Documented({
    id: 'readPolicySetVersion',
    tag: 'policy sets',
    summary: 'One version: its files, when it served, the commit that it came from',
    answers: { 200: { description: 'The version.', json: ArchivedVersion } },
    refusals: ['policy_version_not_found'],
  })
  async version(@Param('set') set: string, @Param('version') version: string): Promise<ArchivedVersion> {
    return (await this.archive.version(set, version)) ?? neverServed(set, version);
  }

  @Get(':set/versions/:version/files/:path')
  @Requires('policies:read')
  @Header('content-type', 'text/plain; charset=utf-8')
  @Documented({
    id: 'readPolicySetFile',
    tag: 'policy sets',
    summary: 'One file of a version, as it was',
    answers: { 200: { description: 'The file.', text: ['text/plain'] } },
    refusals: ['policy_version_not_found'],
  })
  async file(
    @Param('set') set: string,
    @Param('version') version: string,
    @Param('path') path: string,
  ): Promise<Uint8Array> {
    const content = await this.archive.file(set, version, path);
    if (content !== undefined) return content;
    if ((await this.archive.version(set, version)) === undefined) neverServed(set, version);
    throw new VerdictError('not_found', `That version of the policy set "${set}" has no file "${path}".`);
  }

  @Post(':set/reload')
  @Requires('policies:write', { audit: 'policy_set_reloaded', bodyOptional: true })
  @HttpCode(200)
  @Documented({
    id: 'reloadPolicySet',
    tag: 'policy sets',
    summary: 'Read the folder again now; the answer says what became of it',
    answers: { 200: { description: 'The policy set afterwards.', json: PolicySetStatus } },
    refusals: ['policy_set_not_found'],
  })
  reload(@Param('set') set: string, @Req() request: FastifyRequest): Promise<PolicySetStatus> {
    return this.change(set, request, () => this.store.reload(set));
  }

  @Post(':set/rollback')
  @Requires('policies:write', { audit: 'policy_set_rolled_back' })
  @HttpCode(200)
  @Documented({
    id: 'rollBackPolicySet',
    tag: 'policy sets',
    summary: "Serve an earlier version until the folder's version changes",
    body: RollbackRequest,
    answers: { 200: { description: 'The policy set afterwards.', json: PolicySetStatus } },
    refusals: ['invalid_request', 'policy_version_not_found', 'policy_version_invalid'],
  })
  rollback(
    @Param('set') set: string,
    @Body(bodyPipe) { version }: RollbackRequest,
    @Req() request: FastifyRequest,
  ): Promise<PolicySetStatus> {
    return this.change(set, request, () => this.store.rollback(set, version, request.caller.name));
  }

  @Get(':set/diff')
  @Requires('policies:read')
  @Documented({
    id: 'comparePolicySetVersions',
    tag: 'policy sets',
    summary: 'Which rules and files differ between two versions',
    query: DiffQuery,
    answers: { 200: { description: 'The differences.', json: VersionsDiff } },
    refusals: ['invalid_request', 'policy_version_not_found'],
  })
  async diff(@Param('set') set: string, @Query(queryPipe) query: DiffQuery): Promise<VersionsDiff> {
    const to = query.to ?? this.store.resolve(set).version;
    const [before, after] = await Promise.all([this.filesOf(set, query.from), this.filesOf(set, to)]);
    const diff = await inTurns(diffPoliciesInSteps(before, after));
    return { from: query.from, to, ...boundDiff(diff) };
  }

  /** Runs the work, and adds to the audit event which version was served before and after it. */
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
  throw versionNotFound(set, version);
}
