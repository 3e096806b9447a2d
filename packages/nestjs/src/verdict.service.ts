import { Inject, Injectable, Logger, ServiceUnavailableException } from '@nestjs/common';
import type { DecideRequest, Decision, Entity } from '@verdict/client';
import { decisionOf, subjectOf } from './decided.js';
import type { DecisionSource, Outcomes } from './source.js';
import { sourceToken } from './tokens.js';

/** What is asked of each item of a list. */
export interface FilterQuestion<Item> {
  readonly subject: Entity | string;
  readonly action: string;
  readonly resource: (item: Item) => Entity | string;
  /** Attributes of the situation. */
  readonly environment?: Record<string, unknown>;
  readonly policySet?: string;
}

/**
 * Asks from within a handler or a service.
 *
 *     constructor(private readonly verdict: VerdictService) {}
 *     …
 *     return this.verdict.filter(invoices, { subject, action: 'read', resource: ({ id }) => ({ type: 'invoice', id }) });
 *
 * Where there is no answer it throws a `ServiceUnavailableException` (503) that says nothing more; its cause, and the log, do.
 */
@Injectable()
export class VerdictService {
  private readonly logger = new Logger('VerdictService');

  constructor(@Inject(sourceToken) private readonly source: DecisionSource) {}

  /** One question; only `allowed === true` may go ahead. */
  async decide(request: DecideRequest): Promise<Decision> {
    return this.answered(() => this.source.decide(request));
  }

  /** As `decide`, and true for an allow alone. */
  async can(request: DecideRequest): Promise<boolean> {
    const { allowed } = await this.decide(request);
    return allowed === true;
  }

  /**
   * The items that are allowed, in their order, asked about in one batch: as many as the service takes, 10,000 by default. One that
   * is denied is left out, and so is one about which no question can be made, or whose question has a problem; the log says why.
   */
  async filter<Item>(items: readonly Item[], question: FilterQuestion<Item>): Promise<Item[]> {
    const asked = items.flatMap((item) => {
      const request = this.requestOf(item, question);
      return request === undefined ? [] : [{ item, request }];
    });
    if (asked.length === 0) return [];
    const outcomes: Outcomes = await this.answered(() => this.source.decideMany(asked.map(({ request }) => request)));
    const first = outcomes.find((outcome) => 'problem' in outcome);
    if (first !== undefined && 'problem' in first) this.logger.error(`an item is left out: ${first.problem?.detail}`);
    // With `onUnavailable: 'deny'`: a list that is empty for want of an answer looks like one that is empty.
    const missing = outcomes.find((outcome) => 'unavailable' in outcome);
    if (missing !== undefined) this.logger.error('items are left out: there was no answer');
    return asked.flatMap(({ item }, index) => (outcomes[index]?.allowed === true ? [item] : []));
  }

  /**
   * The decision that let a call pass, with its reason and its obligations.
   *
   * @param call the `ExecutionContext`; over HTTP, the request will do, as `@Inject(REQUEST)` gives it
   */
  decisionOf(call: object): Decision | undefined {
    return decisionOf(call);
  }

  /** Of whom that decision is. */
  subjectOf(call: object): Entity | string | undefined {
    return subjectOf(call);
  }

  private requestOf<Item>(
    item: Item,
    { subject, action, resource, environment, policySet }: FilterQuestion<Item>,
  ): DecideRequest | undefined {
    try {
      return {
        subject,
        action,
        resource: resource(item),
        ...(environment !== undefined && { attributes: environment }),
        ...(policySet !== undefined && { policySet }),
      };
    } catch (error) {
      this.logger.error('an item is left out: its resource could not be named', error);
      return undefined;
    }
  }

  private async answered<T>(ask: () => T | Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (cause) {
      this.logger.error(cause instanceof Error ? cause.message : String(cause));
      throw new ServiceUnavailableException(undefined, { cause });
    }
  }
}
