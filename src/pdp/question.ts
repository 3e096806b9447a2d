/** What the PDP is asked, and by whom; every door (HTTP, AuthZEN, gateways) brings its callers' words into this form. */
import type { AuthenticationMethod } from '../auth/caller.js';
import type { Grants } from '../auth/grants.js';
import type { SignedTokens } from '../auth/question-tokens.js';
import type { QuestionInput } from '../core/request.js';
import type { RequestSpan } from '../telemetry/request-span.js';
import type { Demand } from './demand.js';

export const explanationLevels = ['none', 'brief', 'full'] as const;
export type Explain = (typeof explanationLevels)[number];

export interface Question extends QuestionInput, Demand {
  /** Tokens as they were sent. What is evaluated and recorded are the claims in them, once they are verified. */
  readonly tokens?: SignedTokens;
  /** By default the default set. */
  readonly policySet?: string;
  readonly explain?: Explain;
  /** Whether the attributes say which obligations the caller executes, and an allow with others is a deny. */
  readonly negotiatesObligations?: boolean;
  /** RFC 3339; only for sets whose manifest says `clock: request`, and for callers with scope `explain`. */
  readonly at?: string;
}

/** The caller of a question. All members but `grants` and `span` are recorded. */
export interface Asker {
  readonly caller: string;
  /** How the caller was authenticated. */
  readonly authentication: AuthenticationMethod;
  /** Scopes of the caller. A policy set that they do not name does not exist for it. */
  readonly grants: Grants;
  /** The door: `decide`, `batch`, `authzen`… */
  readonly via: string;
  readonly requestId: string;
  readonly traceId?: string | undefined;
  /** Where the request is traced. It is not recorded. */
  readonly span?: RequestSpan | undefined;
}
