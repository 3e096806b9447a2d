/** How much a question may hold, and what is wrong with attributes. */
import { pointerStep } from '../json-pointer.js';
import type { Json } from '../request.js';

export interface RequestLimits {
  /** Longest id, type or name, in code points (as JSON Schema counts). */
  readonly idLength: number;
  /** Deepest nesting of attributes; the attributes object itself is level 1. */
  readonly attributeDepth: number;
  /** Most members of objects in all attributes of one request, nested ones included. */
  readonly attributeMembers: number;
  /** Most elements of lists in all attributes of one request. */
  readonly attributeElements: number;
  readonly batchItems: number;
}

/** Defaults of the configuration, and the limits of what is asked without a service. */
export const defaultRequestLimits: RequestLimits = Object.freeze({
  idLength: 1024,
  attributeDepth: 16,
  attributeMembers: 1_000,
  attributeElements: 10_000,
  batchItems: 10_000,
});

export interface AttributeFault {
  /** A JSON pointer below the attributes. */
  readonly pointer: string;
  /** The end of a sentence that begins with the place. */
  readonly detail: string;
}

/** Checks the attributes of one request and counts their members and elements. */
export class AttributeCount {
  private members = 0;
  private elements = 0;

  constructor(private readonly limits: RequestLimits) {}

  /** What is wrong with attributes; undefined if nothing is. */
  faultIn(value: unknown): AttributeFault | undefined {
    if (!isMembers(value)) return { pointer: '', detail: 'must be an object' };
    return this.faultAt(value as Json, 1);
  }

  /** Recursion stops one level below the allowed depth. */
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

/** A fault of all attributes together, without a place of its own. */
function whole(detail: string): AttributeFault {
  return { pointer: '', detail };
}

/** Adds a step to the place of a fault; only faults of numbers have a place. */
function below(name: string, fault: AttributeFault): AttributeFault {
  if (fault.detail !== inexactNumber.detail) return fault;
  return { ...fault, pointer: `/${pointerStep(name)}${fault.pointer}` };
}

/** Whether a value is an object, and no list. */
export function isMembers(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
