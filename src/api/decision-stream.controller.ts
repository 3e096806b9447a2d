import { Readable } from 'node:stream';
import { Controller, Get, Headers, type OnModuleDestroy, Query, Req, Res, StreamableFile } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { callerKey } from '../auth/caller.js';
import { DecisionStream, type FollowerSink } from '../decision-log/decision-stream.js';
import { lastEventId } from '../decision-log/stream-position.js';
import { StreamQuery } from '../decision-log/stream-query.js';
import { Requires } from '../http/access.js';
import { VisibleSets } from '../http/caller.decorator.js';
import { Gate } from '../http/gate.js';
import { Documented } from '../http/operation.js';
import { queryPipe } from '../http/validation-pipes.js';

/** New decisions as server-sent events. */
@Controller('v1/decisions')
export class DecisionStreamController implements OnModuleDestroy {
  constructor(
    private readonly stream: DecisionStream,
    private readonly gate: Gate,
  ) {}

  /** Streams have no end of their own: they are ended before the listener waits for its connections. */
  onModuleDestroy(): Promise<void> {
    return this.stream.stop();
  }

  @Get('stream')
  @Requires('decisions:read', { limit: 'search', audit: 'decisions_read' })
  @Documented({
    id: 'followDecisions',
    tag: 'decisions',
    summary: 'New decisions that match, as server-sent events, each a record',
    query: StreamQuery,
    headers: [
      {
        name: lastEventId,
        description:
          'The id of the last event that was received: the stream goes on behind it, and no record is missing or comes twice.',
      },
    ],
    answers: { 200: { description: 'Events, until the caller closes the connection.', text: ['text/event-stream'] } },
    refusals: ['invalid_request', 'too_many_requests', 'decision_log_unavailable'],
  })
  async follow(
    @Query(queryPipe) filters: StreamQuery,
    @VisibleSets('decisions:read') policySets: readonly string[] | undefined,
    @Headers('last-event-id') id: string | undefined,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<StreamableFile> {
    const events = new EventReadable();
    const following = {
      filters,
      policySets,
      caller: callerKey(request.caller, request.ip),
      lastEventId: id,
      isStillAdmitted: () => this.gate.stillAdmits(request),
    };
    const leave = await this.stream.follow(following, () => events.sink);
    events.once('close', leave);
    // A client that has gone before anything was sent is not noticed otherwise.
    if (reply.raw.destroyed) events.destroy();
    reply.raw.once('close', () => events.destroy());
    reply.header('cache-control', 'no-store');
    // NGINX keeps answers back otherwise.
    reply.header('x-accel-buffering', 'no');
    return new StreamableFile(events, { type: 'text/event-stream; charset=utf-8' });
  }
}

/** Text that is pushed, and waits here until the connection takes it. */
class EventReadable extends Readable {
  private isDrained: () => void = () => undefined;

  constructor() {
    super({ highWaterMark: 0 });
    this.once('close', () => this.isDrained());
  }

  override _read(): void {
    if (this.readableLength === 0) this.isDrained();
  }

  get sink(): FollowerSink {
    const events = this;
    return {
      write: (text) => {
        if (!events.destroyed) events.push(text);
      },
      get waiting() {
        return events.readableLength;
      },
      drained: async () => {
        if (events.readableLength === 0 || events.destroyed) return;
        await new Promise<void>((resolve) => {
          this.isDrained = resolve;
        });
      },
      end: () => {
        if (!events.destroyed) events.push(null);
      },
      drop: () => events.destroy(),
    };
  }
}
