import { IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { plainTextPattern } from '../core/names.js';

/** Decorates a member of a query that may be missing and is otherwise a text of `maxLength` characters at most. */
export function OptionalText(maxLength: number): PropertyDecorator {
  return (target, name) => {
    for (const decorate of [IsOptional(), IsString(), MaxLength(maxLength)]) decorate(target, name);
  };
}

/**
 * Decorates a member of a query that compares with an id or a name. A text with a control character is refused: no id
 * and no name has one (`core/names.ts`), so it could never match.
 */
export function OptionalName(maxLength: number): PropertyDecorator {
  const isPlain = Matches(plainText, { message: '$property must not hold a control character' });
  return (target, name) => {
    for (const decorate of [OptionalText(maxLength), isPlain]) decorate(target, name);
  };
}

const plainText = new RegExp(plainTextPattern);
