/** The classes of answers say what the core's types say: no member more, none less, each as optional as there. */
import { describe, expect, it } from 'vitest';
import { DecisionFault, DecisionReason } from '../../src/answers/decision-parts.js';
import { DecisionExplanation, type RequestChange, type RoleChange } from '../../src/answers/explanation-parts.js';
import { ListOfAnything, OneOf, OpenObject, Part, Parts, Text, TextsByName } from '../../src/answers/members.js';
import { defaultRequestLimits } from '../../src/core/asked/attribute-count.js';
import type { Diagnostic, Reason } from '../../src/core/decision.js';
import type { Change, Explanation } from '../../src/core/explanation.js';
import { jsonSchemas } from '../../src/http/json-schema.js';

const schemasOf = (...shapes: (new () => object)[]) =>
  jsonSchemas(shapes, defaultRequestLimits, { unknownFields: 'refuse', refPrefix: '#/' });

/** `true` where both types are the same, so that a difference does not compile. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** An interface and a class with its members, as one form. */
type Members<T> = { [Name in keyof T]: T[Name] };

describe('the core in classes', () => {
  it('has the members that the core has', () => {
    const same: readonly [
      Same<Members<DecisionReason>, Members<Reason>>,
      Same<Members<DecisionFault>, Members<Diagnostic>>,
      Same<Members<DecisionExplanation>, Members<Explanation>>,
      Same<Members<RequestChange>, Members<Extract<Change, { kind: 'request' }>>>,
      Same<Members<RoleChange>, Members<Extract<Change, { kind: 'role' }>>>,
    ] = [true, true, true, true, true];
    expect(same).not.toContain(false);
  });

  it('is described with the members that are required there', () => {
    const {
      DecisionReason: reason,
      DecisionFault: fault,
      DecisionExplanation: explanation,
    } = schemasOf(DecisionReason, DecisionFault, DecisionExplanation);
    expect(reason).toMatchObject({ required: ['code'], additionalProperties: false });
    expect(fault).toMatchObject({ required: ['code', 'message'], additionalProperties: false });
    expect(explanation).toMatchObject({ required: ['summary', 'matching', 'nearMisses', 'changes', 'complete'] });
  });
});

class Leaf {
  @Text({ description: 'A name.' })
  readonly name!: string;
}
class OtherLeaf {
  @OneOf(['a', 'b'], { optional: true })
  readonly letter?: 'a' | 'b';
}
class Tree extends OtherLeaf {
  @Parts(() => [Leaf, OtherLeaf])
  readonly leaves!: readonly (Leaf | OtherLeaf)[];

  @Part(() => Leaf, { optional: true, description: 'One of them.' })
  readonly first?: Leaf;

  @OpenObject()
  readonly attributes!: object;

  @TextsByName()
  readonly texts!: object;

  @ListOfAnything()
  readonly obligations!: readonly unknown[];
}

describe('decorators of members', () => {
  it('make a closed schema, and one of every class within it', () => {
    expect(schemasOf(Tree)).toEqual({
      Tree: {
        type: 'object',
        additionalProperties: false,
        properties: {
          letter: { type: 'string', enum: ['a', 'b'] },
          leaves: { type: 'array', items: { anyOf: [{ $ref: '#/Leaf' }, { $ref: '#/OtherLeaf' }] } },
          first: { $ref: '#/Leaf', description: 'One of them.' },
          attributes: { type: 'object', additionalProperties: true },
          texts: { type: 'object', additionalProperties: { type: 'string' } },
          obligations: { type: 'array', items: {} },
        },
        required: ['leaves', 'attributes', 'texts', 'obligations'],
      },
      Leaf: {
        type: 'object',
        additionalProperties: false,
        properties: { name: { type: 'string', description: 'A name.' } },
        required: ['name'],
      },
      OtherLeaf: {
        type: 'object',
        additionalProperties: false,
        properties: { letter: { type: 'string', enum: ['a', 'b'] } },
      },
    });
  });

  it('refuse two classes of one name, of which one would hide the other', () => {
    const another = (() => {
      class Leaf {
        @Text()
        readonly colour!: string;
      }
      return Leaf;
    })();
    expect(() => schemasOf(Tree, another)).toThrow('two classes have the name Leaf');
  });
});
