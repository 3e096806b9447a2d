import { Transform } from 'class-transformer';
import { IsInt, IsOptional, Max, Min } from 'class-validator';

/** Decorates a member of a query that may be missing and is otherwise a whole number from 1 to `most`, in digits. */
export function OptionalCount(most: number): PropertyDecorator {
  const toNumber = ({ value }: { value: unknown }) =>
    typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  return (target, name) => {
    for (const decorate of [Max(most), Min(1), IsInt(), Transform(toNumber), IsOptional()]) decorate(target, name);
  };
}
