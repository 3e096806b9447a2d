import { type ExecutionContext, HttpStatus, Inject, Injectable, Logger } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { DecideRequest, Decision, Entity, VerdictProblem, VerdictUnavailable } from '@verdict/client';
import { type Awaitable, andThen } from './awaitable.js';
import { type Call, nameOf, transportOf } from './call.js';
import { remember } from './decided.js';
import { fulfil, ObligationAnswer } from './obligations.js';
import type { QuestionSettings } from './options.js';
import { Refusal, refusalFor } from './refusal.js';
import type { Authorization } from './rules.js';
import type { DecisionSource } from './source.js';
import { settingsToken, sourceToken } from './tokens.js';

/** A question, and the call that raises it. */
interface Asked {
  readonly question: DecideRequest;
  readonly call: Call;
}

/** Makes a call a question, asks it, and says whether the call may pass. Why it may not is for the log. */
@Injectable()
export class Authorizer {
  private readonly logger = new Logger('VerdictGuard');

  constructor(
    @Inject(settingsToken) private readonly settings: QuestionSettings,
    @Inject(sourceToken) private readonly source: DecisionSource,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
  ) {}

  /**
   * @returns true for an allow, false for a deny
   * @throws what the transport makes 400 (no id), 401 (no user) and 503 (no answer) of
   */
  authorize(context: ExecutionContext, rule: Authorization): Awaitable<boolean> {
    try {
      const passed = andThen(this.question(context, rule), ({ question, call }) => this.ask(question, call));
      return passed instanceof Promise ? passed.catch((error) => this.refuse(context, error)) : passed;
    } catch (error) {
      return this.refuse(context, error);
    }
  }

  private ask(question: DecideRequest, call: Call): Awaitable<boolean> {
    const { context } = call;
    const traceparent = call.request?.headers?.traceparent;
    const options = typeof traceparent === 'string' ? { traceparent } : {};
    return andThen(this.source.decide(question, options), (decision) => {
      const { obligations: handlers } = this.settings;
      if (handlers === undefined || decision.obligations.length === 0)
        return this.isPassed(context, question, decision);
      // Also with a deny: what must be told to somebody is told.
      return andThen(fulfil(handlers, { decision, call }), (unfulfilled) => {
        if (unfulfilled.length === 0) return this.isPassed(context, question, decision);
        const why = withoutControls(unfulfilled.join('; '));
        this.logger.warn(`${nameOf(context)} is denied: ${why}, decision ${decision.decisionId ?? 'none'}`);
        return false;
      });
    });
  }

  private isPassed(context: ExecutionContext, question: DecideRequest, decision: Decision): boolean {
    if (decision.allowed !== true) {
      const { subject, action, resource } = question;
      const asked = JSON.stringify([withoutAttributes(subject), action, withoutAttributes(resource)]);
      this.logger.warn(
        `${nameOf(context)} is denied: ${decision.reason.code}, decision ${decision.decisionId ?? 'none'}, ${asked}`,
      );
      return false;
    }
    remember(context, { subject: question.subject, decision });
    return true;
  }

  private question(context: ExecutionContext, rule: Authorization): Awaitable<Asked> {
    const transport = transportOf(context);
    const get: Call['get'] = (token) => this.moduleRef.get(token, { strict: false });
    const early: Call = { context, get, ...transport };
    return andThen(this.settings.user === undefined ? transport.user : this.settings.user(early), (user) => {
      if (user === undefined || user === null) {
        throw new Refusal(HttpStatus.UNAUTHORIZED, 'nobody is signed in: no guard before this one found a user');
      }
      const call = { ...early, user };
      return andThen(this.asked(rule, call), (question) => ({ question, call }));
    });
  }

  /**
   * One after the other: nothing is looked up for what is no id, and where one function fails no other is left running, whose
   * rejection nobody would hear.
   */
  private asked(rule: Authorization, call: Call): Awaitable<DecideRequest> {
    const { action, type, policySet } = rule;
    const { subject: subjectOf, environment: situationOf, tokens: tokensOf } = this.settings;
    return andThen(subjectOf === undefined ? defaultSubject(call.user) : subjectOf(call.user, call), (subject) => {
      if (!isSubject(subject)) throw new Refusal(HttpStatus.FORBIDDEN, 'the subject is no text and has none as its id');
      return andThen(idOf(rule, call), (id) =>
        andThen(rule.attributes?.(call.params, call), (attributes) =>
          andThen(situationOf?.(call), (situation) =>
            andThen(rule.environment?.(call.params, call), (environment) =>
              andThen(tokensOf?.(call), (tokens) => ({
                subject,
                action,
                resource: {
                  type,
                  id,
                  ...(attributes !== undefined && { attributes: members('attributes', attributes) }),
                },
                ...((situation !== undefined || environment !== undefined) && {
                  attributes: { ...members('environment', situation), ...members('environment', environment) },
                }),
                ...(tokens !== undefined && { tokens: texts('tokens', tokens) }),
                ...(policySet !== undefined && { policySet }),
              })),
            ),
          ),
        ),
      );
    });
  }

  private refuse(context: ExecutionContext, error: unknown): false | Promise<never> {
    if (error instanceof ObligationAnswer) return Promise.reject(error.exception);
    const { status, message, cause } = asRefusal(error);
    // A message may hold what the caller sent: it is one line, and begins no other.
    const text = `${nameOf(context)} is refused (${status}): ${withoutControls(message)}`;
    if (status === HttpStatus.UNAUTHORIZED) this.logger.warn(text);
    else this.logger.error(text, cause instanceof Error ? stackOf(cause) : undefined);
    return status === HttpStatus.FORBIDDEN ? false : refusalFor(context, status);
  }
}

/**
 * The empty text is what a rule without an id asks about: no caller can name it.
 *
 * @throws Refusal for what is no id
 */
function idOf({ id }: Authorization, call: Call): Awaitable<string> {
  if (id === undefined) return '';
  return andThen(typeof id === 'string' ? call.params[id] : id(call.params, call), (value) => {
    if (isId(value)) return value;
    throw new Refusal(HttpStatus.BAD_REQUEST, 'the id of the resource is missing, or is no text that an id can be');
  });
}

/** What an id can be, as the service has it: 1 to 1,024 characters, none of them a control character or half of a pair. */
function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 1_024 && !/[\p{Cc}\p{Cs}]/u.test(value);
}

function isSubject(value: unknown): value is Entity | string {
  return isId(value) || (typeof value === 'object' && value !== null && 'id' in value && isId(value.id));
}

/** @throws Refusal where users have their id elsewhere, or not as a text: `subject` says then where it is */
function defaultSubject(user: unknown): Entity {
  const ids = ['id', 'sub', 'userId'].flatMap((name) => {
    const isThere = typeof user === 'object' && user !== null && Object.hasOwn(user, name);
    return isThere ? [Reflect.get(user, name)] : [];
  });
  const [id] = ids;
  if (!isId(id) || ids.some((other) => other !== id)) {
    throw new Refusal(
      HttpStatus.FORBIDDEN,
      'the user has no id, sub or userId that is a text, or two that differ: the option `subject` says who it is',
    );
  }
  return { type: 'user', id };
}

function members(name: string, value: unknown): Record<string, unknown> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Refusal(HttpStatus.FORBIDDEN, `${name} are no object`);
  }
  return value as Record<string, unknown>;
}

function texts(name: string, value: unknown): Record<string, string> {
  const all = members(name, value);
  if (Object.values(all).every((each) => typeof each === 'string')) return all as Record<string, string>;
  throw new Refusal(HttpStatus.FORBIDDEN, `${name} are no texts`);
}

/** What went wrong, as a refusal. Without an answer it is 503; what the application's own functions threw is a deny. */
function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const message = messageOf(error);
  if (isNamed<VerdictUnavailable>(error, 'VerdictUnavailable')) {
    return new Refusal(HttpStatus.SERVICE_UNAVAILABLE, `no answer (${error.kind}): ${message}`);
  }
  if (isNamed<VerdictProblem>(error, 'VerdictProblem')) {
    // What is not valid came with this call. A key, a scope or a set that is wrong is wrong for all calls.
    const isOfCall = error.status === 400 || error.status === 413;
    return new Refusal(isOfCall ? HttpStatus.FORBIDDEN : HttpStatus.SERVICE_UNAVAILABLE, message);
  }
  return new Refusal(HttpStatus.FORBIDDEN, `the question could not be made: ${message}`, error);
}

/** What was thrown may be anything, also what no text can be made of. */
function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error);
  } catch {
    return 'something was thrown that is no error';
  }
}

/** By its name: an application of modules may have made the client of the copy for `require`. */
function isNamed<T extends Error>(error: unknown, name: T['name']): error is T {
  return error instanceof Error && error.name === name;
}

function withoutAttributes(entity: DecideRequest['resource']): unknown {
  return typeof entity === 'string' ? entity : { type: entity.type, id: entity.id };
}

function withoutControls(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029]/gu,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The frames alone, since the message is in the line above, escaped; what stands before them is the message anew. */
function stackOf({ stack }: Error): string | undefined {
  const frames = String(stack)
    .split('\n')
    .filter((line) => /^ {4}at /.test(line));
  return frames.length > 0 ? frames.map(withoutControls).join('\n') : undefined;
}
