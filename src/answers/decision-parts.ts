/** What the core says of a decision, as classes: answers, records and AuthZEN's context show it in these forms. */
import { type Diagnostic, type Effect, type Reason, type ReasonCode, reasonCodes } from '../core/decision.js';
import type { Json } from '../core/request.js';
import { Anything, Integer, OneOf, Text, Texts } from './members.js';

export const effects = ['allow', 'deny'] as const satisfies readonly Effect[];

export class DecisionReason implements Reason {
  @OneOf(reasonCodes)
  readonly code!: ReasonCode;

  @Texts({ optional: true, description: 'The deciding rule, its type first.' })
  readonly rule?: readonly string[];

  @Text({ optional: true })
  readonly file?: string;

  @Integer({ optional: true })
  readonly line?: number;

  @Anything({ optional: true, description: "What the deciding rule's own `reason` column says." })
  readonly message?: Json;
}

export class DecisionFault implements Diagnostic {
  @Text()
  readonly code!: string;

  @Text()
  readonly message!: string;

  @Text({ optional: true, description: 'Where in the request, as a JSON pointer.' })
  readonly pointer?: string;

  @Texts({
    optional: true,
    description: 'The rule that failed, its type first; without it the fault is outside any rule.',
  })
  readonly rule?: readonly string[];

  @Text({ optional: true })
  readonly file?: string;

  @Integer({ optional: true })
  readonly line?: number;
}
