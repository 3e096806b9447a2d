import { Inject, Injectable, Logger, ServiceUnavailableException } from '@nestjs/common';
import type { DecideRequest, Decision, Entity } from '@verdict/client';
import { decisionOf, subjectOf } from './decided.js';
import { fulfil, ObligationAnswer } from './obligations.js';
import type { QuestionSettings } from './options.js';
import type { DecisionSource, Outcomes } from './source.js';
import { settingsToken, sourceToken } from './tokens.js';

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

  constructor(
    @Inject(sourceToken) private readonly source: DecisionSource,
    @Inject(settingsToken) private readonly settings: QuestionSettings,
  ) {}

  /** One question; only `allowed === true` may go ahead. */
  async decide(request: DecideRequest): Promise<Decision> {
    return this.answered(() => this.source.decide(request));
  }

  /** As `decide`, and true for an allow alone whose obligations are fulfilled, where the module has handlers of them. */
  async can(request: DecideRequest): Promise<boolean> {
    const decision = await this.decide(request);
    return decision.allowed === true && (await this.isFulfilled(decision, new Map()));
  }

  /**
   * The items that are allowed, in their order, asked about in one batch: as many as the service takes, 10,000 by default. One that
   * is denied is left out, and so is one about which no question can be made, or whose question has a problem; the log says why.
   * Where the module has handlers of obligations, an item whose obligations are not fulfilled is left out; equal obligations of
   * several items are fulfilled once.
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
    const fulfilled = new Map<string, Promise<boolean>>();
    const kept: Item[] = [];
    for (const [index, { item }] of asked.entries()) {
      const outcome = outcomes[index];
      if (outcome === undefined || 'problem' in outcome || outcome.allowed !== true) continue;
      if (await this.isFulfilled(outcome as Decision, fulfilled)) kept.push(item);
    }
    return kept;
  }

  /** @param known outcomes of obligations that were met before in the same list, by their texts */
  private async isFulfilled(decision: Decision, known: Map<string, Promise<boolean>>): Promise<boolean> {
    const { obligations: handlers } = this.settings;
    if (handlers === undefined) return true;
    let all = true;
    for (const obligation of decision.obligations) {
      const text = JSON.stringify(obligation);
      let one = known.get(text);
      if (one === undefined) {
        one = this.fulfilOne({ ...decision, obligations: [obligation] } as Decision);
        known.set(text, one);
      }
      all = (await one) && all;
    }
    return all;
  }

  private async fulfilOne(decision: Decision): Promise<boolean> {
    try {
      const unfulfilled = await fulfil(this.settings.obligations, { decision });
      for (const text of unfulfilled) this.logger.warn(`an allow does not count: ${text}`);
      return unfulfilled.length === 0;
    } catch (error) {
      if (!(error instanceof ObligationAnswer)) throw error;
      this.logger.warn(`an allow does not count: ${error.message}`);
      return false;
    }
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
