import { IsOptional, IsString, MaxLength } from 'class-validator';

/** Decorates a member of a query that may be missing and is otherwise a text of `maxLength` characters at most. */
export function OptionalText(maxLength: number): PropertyDecorator {
  return (target, name) => {
    for (const decorate of [IsOptional(), IsString(), MaxLength(maxLength)]) decorate(target, name);
  };
}
