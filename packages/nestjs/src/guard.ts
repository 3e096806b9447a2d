import { type CanActivate, type ExecutionContext, Inject, Injectable, Logger } from '@nestjs/common';
import { Authorizer } from './authorizer.js';
import type { Awaitable } from './awaitable.js';
import { nameOf } from './call.js';
import { HandlerRules } from './handler-rules.js';
import { leaveToLast } from './last-guard.js';

/**
 * The global guard: where a handler without a rule is called for all that, the call is refused. What has a rule is decided by the
 * last guard of its handler, or here where it has none.
 */
@Injectable()
export class VerdictGuard implements CanActivate {
  private readonly logger = new Logger('VerdictGuard');

  constructor(
    @Inject(Authorizer) private readonly authorizer: Authorizer,
    @Inject(HandlerRules) private readonly rules: HandlerRules,
  ) {}

  canActivate(context: ExecutionContext): Awaitable<boolean> {
    const known = this.rules.of(context.getClass(), context.getHandler());
    if (known === undefined) {
      this.logger.error(`${nameOf(context)} is refused: it has no rule`);
      return false;
    }
    const { rule, guards } = known;
    if (rule === 'part' && isRootField(context)) {
      this.logger.error(`${nameOf(context)} is refused: it is a field that no query is above, without a rule`);
      return false;
    }
    const decide = () => rule === 'public' || rule === 'part' || this.authorizer.authorize(context, rule);
    if (guards === 0) return decide();
    leaveToLast(context, guards, decide);
    return true;
  }
}

/** Also where a schema calls its root types something else than Query, Mutation and Subscription. */
function isRootField(context: ExecutionContext): boolean {
  const [, , , info] = context.getArgs();
  return info?.path?.prev === undefined;
}
