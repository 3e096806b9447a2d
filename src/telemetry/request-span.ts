import type { FastifyReply, FastifyRequest } from 'fastify';

declare module 'fastify' {
  interface FastifyRequest {
    /** Undefined where requests are not traced, and for a request that the sampler left out. */
    readonly span?: RequestSpan;
  }
}

/** What a span says of a decision or a search: what was asked about whom is not in it. */
export interface TracedAnswer {
  readonly policySet: string;
  readonly policyVersion: string;
  readonly decision: string;
  readonly reason: { readonly code: string };
  readonly errors: readonly unknown[];
  readonly via: string;
  /** How long it took, up to now. */
  readonly durationUs: number;
}

/** The span of a request that is traced. */
export interface RequestSpan {
  readonly traceId: string;
  readonly spanId: string;

  /** Adds the span of an evaluation that has just ended. */
  evaluated(answer: TracedAnswer): void;

  /** Adds the span of questions of a batch that were answered since `startedMs` (monotonic clock). */
  evaluatedBatch(size: number, startedMs: number): void;

  /** Adds the span of a commit that lasts as long as `commit`, which is handed back. */
  committing<T>(commit: Promise<T>, records?: number): Promise<T>;
}

/** Traces requests. */
export interface Tracing {
  /** Begins the span of a request, if the sampler takes it. */
  begin(request: FastifyRequest, reply: FastifyReply): void;
}
