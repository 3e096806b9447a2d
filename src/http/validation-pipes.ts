import { type ArgumentMetadata, Injectable, type PipeTransform, ValidationPipe } from '@nestjs/common';
import { getMetadataStorage, type ValidationError } from 'class-validator';
import { pointerStep } from '../core/json-pointer.js';
import { type FieldError, VerdictError } from '../errors.js';

/**
 * Validates query strings, and bodies of routes that are not about decisions, against their class, and refuses unknown
 * members. class-validator's whitelist accepts names that every object inherits (`constructor`) and takes null for an
 * empty body, so names and form are checked before it.
 */
@Injectable()
class StrictPipe implements PipeTransform {
  private readonly validation: ValidationPipe;

  constructor(private readonly what: 'query' | 'body') {
    this.validation = new ValidationPipe({
      transform: true,
      exceptionFactory: (errors: ValidationError[]) => {
        // Decorators run from the last to the first. "Not a number" should be said before "too large".
        const faults = errors.flatMap(({ property, constraints }) =>
          Object.values(constraints ?? {})
            .toReversed()
            .map((detail) => ({ pointer: `/${property}`, detail })),
        );
        return this.refusal(faults);
      },
    });
  }

  async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const shape = metadata.metatype;
    if (value === undefined || shape === undefined) return this.validation.transform(value, metadata);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.refusal([{ pointer: '', detail: `the ${this.what} must be an object` }]);
    }
    const known = membersOf(shape);
    const unknown = Object.keys(value).filter((name) => !known.has(name));
    if (unknown.length > 0) {
      throw this.refusal(
        unknown
          .slice(0, maxReported)
          .map((name) => ({ pointer: pointerTo(name), detail: `property ${name} should not exist` })),
      );
    }
    return this.validation.transform(value, metadata);
  }

  private refusal(faults: readonly FieldError[]): VerdictError {
    return new VerdictError('invalid_request', `The ${this.what} is not valid: ${faults[0]?.detail}.`, {
      errors: faults,
    });
  }
}

/** Most unknown names that are listed. A body can hold a hundred thousand. */
const maxReported = 20;

export const queryPipe = new StrictPipe('query');
export const bodyPipe = new StrictPipe('body');

const members = new WeakMap<object, ReadonlySet<string>>();

/** The members that a class or its parents have rules for. */
function membersOf(shape: new () => unknown): ReadonlySet<string> {
  let names = members.get(shape);
  if (names === undefined) {
    const rules = getMetadataStorage().getTargetValidationMetadatas(shape, '', false, false);
    names = new Set(rules.map(({ propertyName }) => propertyName));
    members.set(shape, names);
  }
  return names;
}

function pointerTo(name: string): string {
  return `/${pointerStep(name)}`;
}
