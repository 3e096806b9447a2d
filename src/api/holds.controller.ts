import { Body, Controller, Delete, Get, Param, Post, Query, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { describeHold, HoldDescription, HoldPage } from '../decision-log/holds/hold.js';
import { HoldAdministration, type HoldAdministrator } from '../decision-log/holds/hold-administration.js';
import { Requires } from '../http/access.js';
import { VisibleSets } from '../http/caller.decorator.js';
import { Documented } from '../http/operation.js';
import { bodyPipe, queryPipe } from '../http/validation-pipes.js';
import { CreateHoldRequest, HoldsQuery } from './holds.requests.js';

const defaultLimit = 50;

/** Holds keep records from retention and from erasure. */
@Controller('v1/holds')
export class HoldsController {
  constructor(private readonly holds: HoldAdministration) {}

  @Get()
  @Requires('decisions:erase')
  @Documented({
    id: 'listHolds',
    tag: 'holds',
    summary:
      'The holds that keep records from retention and erasure, then those that were released; pass nextCursor as cursor for the page after',
    query: HoldsQuery,
    answers: { 200: { description: 'A page of holds.', json: HoldPage } },
    refusals: ['invalid_request'],
  })
  list(
    @Query(queryPipe) { cursor, limit = defaultLimit }: HoldsQuery,
    @Req() request: FastifyRequest,
    @VisibleSets('decisions:erase') sets: Sets,
  ): Promise<HoldPage> {
    return this.holds.page(administratorOf(request, sets), limit, cursor);
  }

  @Get(':id')
  @Requires('decisions:erase')
  @Documented({
    id: 'readHold',
    tag: 'holds',
    summary: 'One hold',
    answers: { 200: { description: 'The hold.', json: HoldDescription } },
    refusals: ['hold_not_found'],
  })
  async find(
    @Param('id') id: string,
    @Req() request: FastifyRequest,
    @VisibleSets('decisions:erase') sets: Sets,
  ): Promise<HoldDescription> {
    return describeHold(await this.holds.find(id, administratorOf(request, sets)));
  }

  @Post()
  @Requires('decisions:erase')
  @Documented({
    id: 'createHold',
    tag: 'holds',
    summary: 'Keep the records of a range and of policy sets from retention and erasure until the hold is released',
    body: CreateHoldRequest,
    answers: { 201: { description: 'The hold; it is in force.', json: HoldDescription } },
    refusals: ['invalid_request', 'policy_set_not_found', 'conflict'],
  })
  async create(
    @Body(bodyPipe) body: CreateHoldRequest,
    @Req() request: FastifyRequest,
    @VisibleSets('decisions:erase') sets: Sets,
  ): Promise<HoldDescription> {
    return describeHold(await this.holds.add(body, administratorOf(request, sets)));
  }

  @Delete(':id')
  @Requires('decisions:erase')
  @Documented({
    id: 'releaseHold',
    tag: 'holds',
    summary: 'Release a hold: what it alone kept is removed as retention says, and erased as erasures say',
    answers: { 200: { description: 'The hold, which is not in force any more.', json: HoldDescription } },
    refusals: ['hold_not_found'],
  })
  async release(
    @Param('id') id: string,
    @Req() request: FastifyRequest,
    @VisibleSets('decisions:erase') sets: Sets,
  ): Promise<HoldDescription> {
    return describeHold(await this.holds.release(id, administratorOf(request, sets)));
  }
}

/** The policy sets that the caller may hold records of; undefined: all. */
type Sets = readonly string[] | undefined;

function administratorOf({ caller, ip: address, id: requestId }: FastifyRequest, policySets: Sets): HoldAdministrator {
  const { name, method } = caller;
  return { name, method, policySets, address, requestId };
}
