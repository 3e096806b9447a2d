import { ValidationPipe } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { VerdictError } from '../core/errors.js';

/** Query strings against their class; reading has time for Nest's own pipe. Unknown parameters are refused. */
export const queryPipe = new ValidationPipe({
  transform: true,
  whitelist: true,
  forbidNonWhitelisted: true,
  exceptionFactory: (errors: ValidationError[]) => {
    const faults = errors.flatMap(({ property, constraints }) =>
      Object.values(constraints ?? {}).map((detail) => ({ pointer: `/${property}`, detail })),
    );
    return new VerdictError('invalid_request', `The query is not valid: ${faults[0]?.detail}.`, { errors: faults });
  },
});
