import { type CanActivate, type ExecutionContext, Logger } from '@nestjs/common';
import { nameOf } from './call.js';

/** A call that the global guard let through, since a guard of its handler decides. */
interface Waiting {
  /** How many guards of this kind are still to come for the call. */
  left: number;
  readonly decide: () => boolean | Promise<boolean>;
}

/** On the context, which Nest makes anew for the guards of each call. */
const waiting = Symbol('left to the last guard');

interface Context extends ExecutionContext {
  [waiting]?: Waiting;
}

export function leaveToLast(context: Context, left: number, decide: Waiting['decide']): void {
  // A guard that is both global and on the class comes twice. Counted anew, the last one would not be the last.
  context[waiting] ??= { left, decide };
}

/**
 * Decides behind the other guards of a handler, so that one which authenticates may stand anywhere. It is an object and no class:
 * Nest runs it in every module, also for what a factory made, where it would silently leave out a class that it cannot find.
 *
 * Which policies are asked the global guard says. Where that one did not run nobody is asked: the call is refused.
 */
export const lastGuard: CanActivate = {
  canActivate(context: Context) {
    const call = context[waiting];
    if (call === undefined) {
      new Logger('VerdictGuard').error(
        `${nameOf(context)} is refused, since VerdictGuard did not run: import VerdictModule, connect microservices with ` +
          '{ inheritAppConfig: true }, and give gateways of NestJS 11 @UseGuards(VerdictGuard)',
      );
      return false;
    }
    call.left--;
    return call.left > 0 || call.decide();
  },
};
