import { Body, Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AuditLog } from '../audit/audit-log.js';
import { Erasure, ErasurePage, ErasurePreview, untouched } from '../decision-log/erasure/erasure-answers.js';
import type { ErasedKind } from '../decision-log/erasure/erasure-orders.js';
import { Erasures, previewed } from '../decision-log/erasure/erasures.js';
import { VerdictError } from '../errors.js';
import { Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';
import { bodyPipe, queryPipe } from '../http/validation-pipes.js';
import { PolicySetsNaming } from '../policy-store/policy-sets-naming.js';
import { ErasureRequest, ErasuresQuery, PreviewErasureRequest } from './erasures.requests.js';

const defaultLimit = 50;

/** The orders to erase a person from the decision log. */
@Controller('v1/erasures')
export class ErasuresController {
  constructor(
    private readonly erasures: Erasures,
    private readonly naming: PolicySetsNaming,
    private readonly audit: AuditLog,
  ) {}

  @Post()
  @HttpCode(202)
  @Requires('decisions:erase', { limit: 'export', allSets: true })
  @Documented({
    id: 'createErasure',
    tag: 'decisions',
    summary: 'Erase a person from the decision log: a standing order, which is carried out behind the answer',
    body: ErasureRequest,
    answers: { 202: { description: 'The order. `GET /v1/erasures/{id}` says when it is carried out.', json: Erasure } },
    refusals: ['invalid_request', 'conflict'],
  })
  async create(@Body(bodyPipe) body: ErasureRequest, @Req() request: FastifyRequest): Promise<Erasure> {
    const [kind, person] = personOf(body);
    const { caller, ip: address, id: requestId } = request;
    const order = await this.erasures.draft(kind, person, body.reason, caller.name);
    // Before it stands, so that no erasure is missing from the audit log; whom it is about is not in it.
    const detail = `erasure ${order.id} of a ${kind}`;
    const { name: actor, method } = caller;
    await this.audit.record({ type: 'erasure_ordered', actor, method, address, detail, requestId });
    await this.erasures.commit(order);
    return this.erasures.find(order.id);
  }

  @Post('preview')
  @HttpCode(200)
  @Requires('decisions:erase', { limit: 'export', allSets: true })
  @Documented({
    id: 'checkErasure',
    tag: 'decisions',
    summary: 'What an erasure would rewrite, and where the person is that no erasure touches; nothing is changed',
    body: PreviewErasureRequest,
    answers: { 200: { description: 'The numbers of records, and the places.', json: ErasurePreview } },
    refusals: ['invalid_request'],
  })
  async preview(@Body(bodyPipe) body: PreviewErasureRequest): Promise<ErasurePreview> {
    const [kind, person] = personOf(body);
    const counts = await this.erasures.preview(kind, person);
    const { about, named, held } = counts.of(previewed);
    const records = { about, named, held, unreadable: counts.unreadable };
    return { records, untouched: untouched(await this.naming.find(person)) };
  }

  @Get()
  @Requires('decisions:erase', { limit: 'search', allSets: true })
  @Documented({
    id: 'listErasures',
    tag: 'decisions',
    summary: 'The erasures, newest first; pass nextCursor as cursor for the page after',
    query: ErasuresQuery,
    answers: { 200: { description: 'A page of erasures.', json: ErasurePage } },
    refusals: ['invalid_request'],
  })
  list(@Query(queryPipe) { cursor, limit = defaultLimit }: ErasuresQuery): Promise<ErasurePage> {
    return this.erasures.page(limit, cursor);
  }

  @Get(':id')
  @Requires('decisions:erase', { limit: 'search', allSets: true })
  @Documented({
    id: 'readErasure',
    tag: 'decisions',
    summary: 'One erasure: whether it is carried out, and how many records it changed',
    answers: { 200: { description: 'The erasure.', json: Erasure } },
    refusals: ['erasure_not_found'],
  })
  find(@Param('id') id: string): Promise<Erasure> {
    return this.erasures.find(id);
  }
}

/** @throws VerdictError `invalid_request` where not exactly one of the two is named */
function personOf({ subject, resource }: PreviewErasureRequest): readonly [ErasedKind, string] {
  if (subject !== undefined && resource === undefined) return ['subject', subject];
  if (resource !== undefined && subject === undefined) return ['resource', resource];
  const detail = 'must have either `subject` or `resource`';
  throw new VerdictError('invalid_request', `The body ${detail}.`, { errors: [{ pointer: '', detail }] });
}
