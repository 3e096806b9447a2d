import { ValidationPipe } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { VerdictError } from '../core/errors.js';

/** Query strings, and bodies of the routes that are not about decisions, against their class: unknown members are refused. */
export const queryPipe = strictPipe('query');
export const bodyPipe = strictPipe('body');

function strictPipe(what: 'query' | 'body'): ValidationPipe {
  return new ValidationPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    exceptionFactory: (errors: ValidationError[]) => {
      // Decorators run from the last to the first; what is no number should be told that before that it is too large.
      const faults = errors.flatMap(({ property, constraints }) =>
        Object.values(constraints ?? {})
          .toReversed()
          .map((detail) => ({ pointer: `/${property}`, detail })),
      );
      return new VerdictError('invalid_request', `The ${what} is not valid: ${faults[0]?.detail}.`, { errors: faults });
    },
  });
}
