import type { Entity, VerdictClientOptions } from '@verdict/client';
import type { LocalVerdictOptions } from '@verdict/client/local';
import type { Awaitable } from './awaitable.js';
import type { Call } from './call.js';
import type { ObligationHandlers } from './obligations.js';
import type { DecisionSource } from './source.js';

/** How calls become questions, whoever answers them. */
export interface QuestionSettings {
  /**
   * Who called, as authentication left it. By default `request.user`, in GraphQL that of the context's `req`, in a message that of
   * its context, in a gateway that of the client or its `data`. Nobody (undefined or null) is 401.
   */
  readonly user?: (call: Call) => unknown;
  /**
   * The subject of the questions that a user raises. By default `{ type: 'user', id }`, with the id from the user's `id`, `sub` or
   * `userId`: a text, and the same in each of them that is there.
   */
  readonly subject?: (user: Untyped, call: Call) => Awaitable<Entity | string>;
  /** Attributes of the situation that every question carries: the address, the tenant. Those of `@Authorize` come on top. */
  readonly environment?: (call: Call) => Awaitable<object | undefined>;
  /**
   * Signed tokens for every question, by the names that the policy sets declare: the service verifies them. Undefined brings
   * none. The service alone can: with `mode: 'local'` the application does not start.
   */
  readonly tokens?: (call: Call) => Awaitable<Readonly<Record<string, string>> | undefined>;
  /**
   * What fulfils obligations, by their type. With it, an allow with an obligation that has no handler, or whose handler fails, is
   * a deny. Without it, obligations are for the application alone, which finds them in `@Decided()`.
   */
  readonly obligations?: ObligationHandlers;
}

/** Asks a service; all options of `VerdictClient` are here too. */
export interface HttpOptions extends VerdictClientOptions, QuestionSettings {
  readonly mode?: 'http';
  readonly client?: undefined;
}

/**
 * Decides in this process, by policy sets that the service gives it, and records there what was decided. It needs
 * `@verdict/engine`; all options of `LocalVerdict` are here too. The log is told its warnings.
 */
export interface LocalOptions extends LocalVerdictOptions, QuestionSettings {
  readonly mode: 'local';
  readonly client?: undefined;
}

/** Asks what you made yourself: a `VerdictClient` or a `LocalVerdict`, which you close yourself, or in tests a `MockVerdict`. */
export interface ClientOptions extends QuestionSettings {
  readonly client: DecisionSource;
  readonly mode?: undefined;
}

export type VerdictModuleOptions = HttpOptions | LocalOptions | ClientOptions;

// biome-ignore lint/suspicious/noExplicitAny: what the application has there only the application knows
export type Untyped = any;
