import { Controller, Get, Param, Query } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { IsInt, IsOptional, Matches, Max, Min } from 'class-validator';
import { DecisionLog } from '../decision-log/decision-log.js';
import { maxLimit } from '../decision-log/decision-query.js';
import { CheckpointPage, DecisionProof, LogKeyList, TreeConsistency } from '../decision-log/proof/decision-proofs.js';
import { pageOfCheckpoints, proveConsistency, proveDecision } from '../decision-log/proof/prove.js';
import { Public, Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';
import { queryPipe } from '../http/validation-pipes.js';
import { OptionalText } from '../query/query-text.js';

const number = ({ value }: { value: unknown }) =>
  typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;

class TreeQuery {
  /** The name of a tree: 32 hexadecimal digits. */
  @IsOptional()
  @Matches(/^[0-9a-f]{32}$/)
  readonly tree?: string;
}

export class CheckpointQuery extends TreeQuery {
  /** Where the page before ended: its `nextCursor`, with the same `tree`. */
  @OptionalText(64)
  readonly cursor?: string;

  /** Most checkpoints of a page. */
  @IsOptional()
  @Transform(number)
  @IsInt()
  @Min(1)
  @Max(maxLimit)
  readonly limit?: number;
}

export class ConsistencyQuery extends TreeQuery {
  /** Number of entries of the smaller tree. */
  @Transform(number)
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  readonly from!: number;

  /** Number of entries of the larger one. */
  @Transform(number)
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  readonly to!: number;
}

const defaultLimit = 50;

/** What proves the decision log: checkpoints, keys, and proofs for both. */
@Controller('v1/decisions')
export class DecisionProofsController {
  constructor(private readonly log: DecisionLog) {}

  @Get('checkpoints')
  @Requires('decisions:read', { limit: 'search', allSets: true })
  @Documented({
    id: 'listCheckpoints',
    tag: 'decisions',
    summary: 'Signed checkpoints of the log, newest first; pass nextCursor as cursor for the page after',
    query: CheckpointQuery,
    answers: { 200: { description: 'A page of checkpoints.', json: CheckpointPage } },
    refusals: ['invalid_request'],
  })
  checkpoints(@Query(queryPipe) { tree, cursor, limit = defaultLimit }: CheckpointQuery): Promise<CheckpointPage> {
    return pageOfCheckpoints(this.log.proofs, { tree, cursor, limit });
  }

  @Get('checkpoints/consistency')
  @Requires('decisions:read', { limit: 'search', allSets: true })
  @Documented({
    id: 'readConsistency',
    tag: 'decisions',
    summary: 'Proves that one checkpoint grew out of another, by the sizes of their trees',
    query: ConsistencyQuery,
    answers: { 200: { description: 'The proof.', json: TreeConsistency } },
    refusals: ['invalid_request', 'no_proof'],
  })
  consistency(@Query(queryPipe) { tree, from, to }: ConsistencyQuery): Promise<TreeConsistency> {
    return proveConsistency(this.log.proofs, from, to, tree);
  }

  @Get('keys')
  @Public()
  @Documented({
    id: 'listLogKeys',
    tag: 'decisions',
    summary: 'The public keys that sign checkpoints, with what certifies them',
    answers: { 200: { description: 'The keys.', json: LogKeyList } },
  })
  async keys(): Promise<LogKeyList> {
    return { keys: await this.log.proofs.keys() };
  }

  @Get(':id/proof')
  @Requires('decisions:read', { limit: 'search', allSets: true })
  @Documented({
    id: 'readProof',
    tag: 'decisions',
    summary: 'Proves that a decision is in the log that a checkpoint signs',
    answers: { 200: { description: 'The proof.', json: DecisionProof } },
    refusals: ['decision_not_found', 'no_proof', 'proof_pending'],
  })
  proof(@Param('id') id: string): Promise<DecisionProof> {
    return proveDecision(this.log, id);
  }
}
