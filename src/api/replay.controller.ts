import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import { DecisionLog } from '../decision-log/decision-log.js';
import { Requires } from '../http/access.js';
import { VisibleSets } from '../http/caller.decorator.js';
import { Documented } from '../http/operation.js';
import { bodyPipe } from '../http/validation-pipes.js';
import { Replay, replay } from '../pdp/replay.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { ReplayRequest } from './replay.request.js';

/** Replays of recorded decisions. */
@Controller('v1/decisions')
export class ReplayController {
  constructor(
    private readonly log: DecisionLog,
    private readonly policySets: PolicyStore,
  ) {}

  /** The answer explains in full, so it needs scope `explain`. A record that the caller may not read is not found. */
  @Post(':id/replay')
  @Requires('explain', { limit: 'search', audit: 'decision_replayed', bodyOptional: true })
  @HttpCode(200)
  @Documented({
    id: 'replayDecision',
    tag: 'decisions',
    summary: 'Compute a decision again, on the version of its time or on another one',
    body: ReplayRequest,
    answers: { 200: { description: 'What was decided then, and what is decided now.', json: Replay } },
    refusals: ['invalid_request', 'decision_not_found', 'not_replayable', 'policy_set_unavailable'],
  })
  async replay(
    @Param('id') id: string,
    @Body(bodyPipe) { version }: ReplayRequest,
    @VisibleSets('decisions:read') readable: readonly string[] | undefined,
    @VisibleSets('explain') explainable: readonly string[] | undefined,
  ): Promise<Replay> {
    const record = await this.log.find(id, { policySets: readable });
    if (record === undefined || explainable?.includes(record.policySet) === false) {
      throw await this.log.notFound(id);
    }
    return replay(this.policySets, record, version);
  }
}
