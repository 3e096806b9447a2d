/**
 * Decorators for the members of answers. Each states the rule of class-validator that the member keeps, and the OpenAPI
 * document is made from those rules (`http/json-schema.ts`): one class is the type and the schema.
 *
 *     class Page {
 *       @Parts(() => Item)
 *       readonly items!: readonly Item[];
 *
 *       @Text({ optional: true, description: 'Missing on the last page.' })
 *       readonly nextCursor?: string;
 *     }
 */
import {
  Allow,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsNumber,
  IsObject,
  IsOptional,
  IsRFC3339,
  IsString,
  ValidateBy,
} from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';

export type AnswerShape = new () => object;

interface About {
  /** The member may be missing. */
  readonly optional?: true;
  /** The member may be null. */
  readonly nullable?: true;
  readonly description?: string;
}

export const Text = (about?: About) => member(IsString(), about);
export const Texts = (about?: About) => member(IsString({ each: true }), about);
export const Integer = (about?: About) => member(IsInt(), about);
export const Decimal = (about?: About) => member(IsNumber(), about);
export const Flag = (about?: About) => member(IsBoolean(), about);
/** A time as RFC 3339 writes it. */
export const Time = (about?: About) => member(IsRFC3339(), about);
export const OneOf = (values: readonly string[], about?: About) => member(IsIn(values), about);
export const SomeOf = (values: readonly string[], about?: About) => member(IsIn(values, { each: true }), about);
/** Any JSON. */
export const Anything = (about?: About) => member(Allow(), about);
export const ListOfAnything = (about?: About) => member(IsArray(), about);
/** An object with any members. */
export const OpenObject = (about?: About) => member(IsObject(), about, { additionalProperties: true });
/** An object with any members, each a text. */
export const TextsByName = (about?: About) => member(IsObject(), about, { additionalProperties: { type: 'string' } });
/** An object of the class, or of one of several classes. */
export const Part = (shape: () => AnswerShape | readonly AnswerShape[], about?: About) => member(isPart(shape), about);
export const Parts = (shape: () => AnswerShape | readonly AnswerShape[], about?: About) =>
  member(isPart(shape, { each: true }), about);

/** Its constraint is read by `http/json-schema.ts`; a function, since classes may stand further down in their file. */
function isPart(shape: () => AnswerShape | readonly AnswerShape[], options?: { each: true }): PropertyDecorator {
  return ValidateBy(
    {
      name: 'isPart',
      constraints: [shape],
      validator: {
        validate: (value) => typeof value === 'object' && value !== null,
        defaultMessage: () => '$property must be an object',
      },
    },
    options,
  );
}

function member(rule: PropertyDecorator, about: About = {}, more: object = {}): PropertyDecorator {
  const { optional, nullable, description } = about;
  return (target, name) => {
    rule(target, name);
    if (optional) IsOptional()(target, name);
    JSONSchema((schema) => ({
      ...schema,
      ...more,
      // class-validator-jsonschema has the types of OpenAPI 3.0, in which a type is one.
      ...(nullable && { type: [schema.type, 'null'] as unknown as 'string' }),
      ...(description !== undefined && { description }),
    }))(target, name as string);
  };
}
