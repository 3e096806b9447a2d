/** The rules that requests share, as class-validator decorators; json-schema.ts turns the same rules into JSON Schema. */

import { isObject, ValidateBy, ValidateIf, validateSync } from 'class-validator';
import { pointerStep } from '../core/json-pointer.js';
import { faultInName } from '../core/names.js';
import type { Json } from '../core/request.js';

export interface RequestLimits {
  /** Characters (code points, as JSON Schema counts them) of an id, a type, a name. */
  readonly idLength: number;
  /** Levels of objects and arrays in attributes; the attributes object itself is 1. */
  readonly attributeDepth: number;
  /** Members of objects in all attributes of one request, nested ones included. */
  readonly attributeMembers: number;
  /** Elements of lists in all attributes of one request. */
  readonly attributeElements: number;
  readonly batchItems: number;
}

/** What holds where nothing else is configured, and what class-validator alone checks. */
export const defaultRequestLimits: RequestLimits = Object.freeze({
  idLength: 1024,
  attributeDepth: 16,
  attributeMembers: 1_000,
  attributeElements: 10_000,
  batchItems: 10_000,
});

/** May be missing. Unlike `IsOptional` this does not let null pass, which a reader could take for a value. */
export function Optional(): PropertyDecorator {
  return ValidateIf((_object, value) => value !== undefined);
}

/** A text that names something, without control characters. The empty text is a name like any other. */
export function IsId(): PropertyDecorator {
  return ValidateBy({
    name: 'isId',
    validator: {
      validate: isId,
      defaultMessage: () =>
        `$property must be a string of at most ${defaultRequestLimits.idLength} characters, none a control character`,
    },
  });
}

/** A JSON object of any content, up to a depth, whose numbers survive being written down again. */
export function IsAttributes(): PropertyDecorator {
  return ValidateBy({
    name: 'isAttributes',
    validator: {
      validate: (value) => new AttributeCount(defaultRequestLimits).faultIn(value) === undefined,
      defaultMessage: (args) => `$property ${new AttributeCount(defaultRequestLimits).faultIn(args?.value)?.detail}`,
    },
  });
}

/** An id, standing for an object that has nothing else, or that object. */
export function IsIdOr(shape: new () => object): PropertyDecorator {
  return ValidateBy({
    name: 'isIdOr',
    constraints: [shape],
    validator: {
      validate: (value) =>
        isId(value) ||
        (isObject(value) &&
          !Array.isArray(value) &&
          validateSync(Object.assign(new shape(), value), { whitelist: true, forbidNonWhitelisted: true }).length ===
            0),
      defaultMessage: () => '$property must be a string or an object',
    },
  });
}

/**
 * A list as long as a batch may be, of anything: its items are validated one by one, so that one bad item is only that.
 * `item` is what each is with the defaults added; the OpenAPI document says so.
 */
export function IsBatch(item: new () => object): PropertyDecorator {
  return ValidateBy({
    name: 'isBatch',
    constraints: [item],
    validator: {
      validate: (value) => Array.isArray(value) && value.length <= defaultRequestLimits.batchItems,
      defaultMessage: () => `$property must be an array of at most ${defaultRequestLimits.batchItems} elements`,
    },
  });
}

/** Members of a batch's `item` that the items take where they lack them. Any object: a bad one harms those items alone. */
export function IsDefaultsOf(item: new () => object): PropertyDecorator {
  return isAnyObject('isDefaultsOf', item);
}

/** One such member, where each has a place of its own: `shape` is what it should be. */
export function IsDefault(shape: new () => object): PropertyDecorator {
  return isAnyObject('isDefault', shape);
}

function isAnyObject(name: string, meant: new () => object): PropertyDecorator {
  return ValidateBy({
    name,
    constraints: [meant],
    validator: {
      validate: (value) => isObject(value) && !Array.isArray(value),
      defaultMessage: () => '$property must be an object',
    },
  });
}

export interface AttributeFault {
  /** A JSON pointer below the attributes. */
  readonly pointer: string;
  /** The end of a sentence about what is there. */
  readonly detail: string;
}

/** Looks at the attributes of one request and counts what all of them hold. */
export class AttributeCount {
  private members = 0;
  private elements = 0;

  constructor(private readonly limits: RequestLimits) {}

  /** What is wrong with attributes; undefined if nothing is. */
  faultIn(value: unknown): AttributeFault | undefined {
    if (!isObject(value) || Array.isArray(value)) return { pointer: '', detail: 'must be an object' };
    return this.faultAt(value as Json, 1);
  }

  /** Recursion ends below the depth that is allowed, however deep the value is. */
  private faultAt(value: Json, depth: number): AttributeFault | undefined {
    if (typeof value === 'number') return Number.isFinite(value) ? undefined : inexactNumber;
    if (typeof value !== 'object' || value === null) return undefined;
    const { attributeDepth, attributeMembers, attributeElements } = this.limits;
    if (depth > attributeDepth) return whole(`is nested deeper than ${attributeDepth} levels`);
    if (Array.isArray(value)) {
      this.elements += value.length;
      if (this.elements > attributeElements) return whole(`holds more than ${attributeElements} elements of lists`);
      for (let index = 0; index < value.length; index++) {
        const fault = this.faultAt(value[index]!, depth + 1);
        if (fault !== undefined) return below(String(index), fault);
      }
      return undefined;
    }
    for (const name in value) {
      if (++this.members > attributeMembers) return whole(`holds more than ${attributeMembers} members`);
      const fault = this.faultAt(value[name]!, depth + 1);
      if (fault !== undefined) return below(name, fault);
    }
    return undefined;
  }
}

/** Infinity: beyond all numbers, or an integer that is not exact (`core/exact-json.ts`). */
const inexactNumber: AttributeFault = { pointer: '', detail: 'is a number that is too large to be exact' };

/** Of all attributes together. */
function whole(detail: string): AttributeFault {
  return { pointer: '', detail };
}

/** Only a number has its own place. */
function below(name: string, fault: AttributeFault): AttributeFault {
  if (fault.detail !== inexactNumber.detail) return fault;
  return { ...fault, pointer: `/${pointerStep(name)}${fault.pointer}` };
}

function isId(value: unknown): boolean {
  return (
    typeof value === 'string' && [...value].length <= defaultRequestLimits.idLength && faultInName(value) === undefined
  );
}
