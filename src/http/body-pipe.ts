import { ValidationPipe } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { VerdictError } from '../core/errors.js';

/** Bodies of the routes that are not about decisions, against their class. Unknown members are refused. */
export const bodyPipe = new ValidationPipe({
  transform: true,
  whitelist: true,
  forbidNonWhitelisted: true,
  exceptionFactory: (errors: ValidationError[]) => {
    const faults = errors.flatMap(({ property, constraints }) =>
      Object.values(constraints ?? {}).map((detail) => ({ pointer: `/${property}`, detail })),
    );
    return new VerdictError('invalid_request', `The body is not valid: ${faults[0]?.detail}.`, { errors: faults });
  },
});
